"""The sketch's fat, glands and fibres: a function of the place alone, with the parent as its mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from everslide.model.architecture import DARKEST, FINEST_DRAWN, GLASS, Architecture, within_range
from everslide.model.drawn_vessels import draw_vessels
from everslide.model.evaluate import MemoryTiles
from everslide.model.fake import SpeckleDenoiser
from everslide.model.geometry import Rect, TileIndex
from everslide.model.painter import Painter
from everslide.model.sketch import TOP_SCALE, Sketch
from everslide.model.slide import Slide
from everslide.model.value_noise import fractal, lattice, nearest
from everslide.model.wavelet import box_mean, merge

AROUND = np.full((42, 50, 3), [180, 120, 160], np.float32)
"""Pixels of 40 rows and 48 columns, and one more on each side."""


def grid(x: float, y: float, side: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    across, down = np.meshgrid(x + step * np.arange(side), y + step * np.arange(side))
    return across, down


@pytest.mark.parametrize("s", [FINEST_DRAWN, 7])
def test_a_part_is_the_same_as_in_the_whole(s: int) -> None:
    """Bit for bit, also far out: tiles are drawn one by one, and large ones by two threads."""
    drawn, around = Architecture(5), np.repeat(AROUND, 2, axis=0)
    for x in (0, 2**27):
        whole = drawn.bands(s, Rect(x, 64, 48, 82), around)
        part = drawn.bands(s, Rect(x + 7, 64 + 36, 20, 11), around[36:49, 7:29])
        np.testing.assert_array_equal(part, whole[36:47, 7:27])


def test_seeds_have_their_own() -> None:
    rect = Rect(0, 0, 48, 40)
    assert not np.array_equal(Architecture(5).bands(4, rect, AROUND), Architecture(6).bands(4, rect, AROUND))


def test_glass_stays_glass() -> None:
    glass = np.full((10, 10, 3), GLASS, np.float32)
    assert not Architecture(5).bands(4, Rect(3, 3, 8, 8), glass).any()


@pytest.mark.parametrize("s", [0, 4])
def test_glass_beside_tissue_is_what_it_is_alone(s: int) -> None:
    """Glass is drawn without a look at the place; a region of glass alone must not differ by a bit."""
    around = np.full((34, 50, 3), [243, 242, 244], np.float32)
    around[:, 30:] = [190, 130, 170]
    whole = Architecture(5).bands(s, Rect(900, 64, 48, 32), around)
    part = Architecture(5).bands(s, Rect(900, 64, 20, 32), around[:, :22])
    np.testing.assert_array_equal(part, whole[:, :20])
    assert np.abs(whole[:, 30:]).max() > 1


def test_children_are_not_denser_than_can_be() -> None:
    parent = AROUND[1:-1, 1:-1]
    children = merge(parent, Architecture(5).bands(4, Rect(900, 900, 48, 40), AROUND))
    assert children.max() < GLASS + 60 and children.min() > -30, "the exact step moves what is left into range"
    np.testing.assert_allclose(children.reshape(40, 2, 48, 2, 3).mean((1, 3)), parent, atol=1e-3)


def test_it_has_fat_glands_and_fibres() -> None:
    """Over a few millimetres: some places nearly glass, some far denser than their surroundings, most between."""
    density = np.concatenate(
        [Architecture(seed).density(*grid(0, 0, 512, 8.0), 8.0).reshape(-1, 4) for seed in range(4)]
    )
    assert 0.03 < (density[:, 0] < 0.2).mean() < 0.45
    assert 0.01 < (density[:, 3] > 0.28).mean() < 0.35
    assert 0.6 < density[:, :3].mean() < 1.1


def test_coarse_pixels_show_the_mean_of_what_fine_ones_show() -> None:
    fine = Architecture(5).density(*grid(4, 4, 1024, 8.0), 8.0)
    coarse = Architecture(5).density(*grid(64, 64, 64, 128.0), 128.0)
    means = fine.reshape(64, 16, 64, 16, 4).mean((1, 3))
    assert np.corrcoef(means[..., 0].ravel(), coarse[..., 0].ravel())[0, 1] > 0.7
    assert abs(means.mean() - coarse.mean()) < 0.12


def test_it_is_drawn_on_a_slide_down_to_its_finest_plane() -> None:
    slide = Slide("a", 7)
    sketch = Sketch(slide, architecture=True)
    painter = Painter(slide, SpeckleDenoiser(), MemoryTiles(), sketch)
    assert [s for s in range(TOP_SCALE + 1) if sketch.draws(s)] == list(range(FINEST_DRAWN, TOP_SCALE))
    top = sketch.tile(1, 1).astype(float).mean(-1)
    row, col = np.unravel_index(np.argmin(top[::16, ::16]), (16, 16))
    for s in (TOP_SCALE - 1, FINEST_DRAWN):
        scale = 2 ** (TOP_SCALE - s)
        tile = TileIndex(s, (256 + 16 * int(col)) * scale // 256, (256 + 16 * int(row)) * scale // 256)
        pixels, parent = painter.tile(tile), painter.tile(tile.parent)
        y, x = (tile.row % 2) * 128, (tile.col % 2) * 128
        np.testing.assert_array_equal(box_mean(pixels), parent[y : y + 128, x : x + 128])


def test_a_sketch_without_it_draws_nothing_below_itself() -> None:
    slide = Slide("a", 7)
    plain, drawn = Sketch(slide), Sketch(slide, architecture=True)
    assert not any(plain.draws(s) for s in range(TOP_SCALE + 1))
    assert plain.fingerprint != drawn.fingerprint
    assert not np.array_equal(plain.tile(1, 1), drawn.tile(1, 1))


def test_nuclei_are_drawn_where_a_pixel_shows_them() -> None:
    """Of 10x pixels of a square millimetre some hundred to ten thousand nuclei; of 1.25x only their share."""
    x, y = grid(2000, 3000, 1000, 1.0)
    density = Architecture(7).density(x, y, 1.0)
    _, count = ndimage.label(density[..., 3] > 0.5)
    assert 100 < count < 10_000
    flat = Architecture(7).density(x, y, 8.0)
    assert 0.02 < flat[..., 3].mean() < 0.4 and flat[..., 3].max() < 0.6, "only how many there are"
    assert abs(flat[..., 3].mean() / density[..., 3].mean() - 1) < 0.35


def test_detail_out_of_range_is_faded_and_keeps_its_colour() -> None:
    means = np.full((1, 2, 3), [120, 60, 150], np.float32)
    bands, smooth = np.zeros((1, 2, 3, 3), np.float32), np.zeros((1, 2, 3, 3), np.float32)
    bands[0, 0, 0], bands[0, 1, 0] = (20, 10, 5), (40, 80, 10)
    kept = within_range(means, bands, smooth, np.broadcast_to(DARKEST, means.shape))
    np.testing.assert_array_equal(kept[0, 0], bands[0, 0])
    np.testing.assert_allclose(kept[0, 1], bands[0, 1] * 0.5)
    assert merge(means, kept)[..., 1].min() == DARKEST[1]


def test_what_is_faded_is_the_smooth_surface_and_not_squares() -> None:
    means = np.full((1, 1, 3), [120, 60, 150], np.float32)
    bands, smooth = np.zeros((1, 1, 3, 3), np.float32), np.zeros((1, 1, 3, 3), np.float32)
    bands[0, 0, 0], smooth[0, 0, 1] = (40, 80, 10), (4, 4, 4)
    kept = within_range(means, bands, smooth, np.broadcast_to(DARKEST, means.shape))
    np.testing.assert_allclose(kept[0, 0], 0.5 * bands[0, 0] + 0.5 * smooth[0, 0], atol=3.0)
    assert merge(means, kept)[..., 1].min() >= DARKEST[1] - 1e-3


def test_what_a_lumen_lacks_is_not_heaped_up_beside_it() -> None:
    """Three children of four that turn into glass would leave the fourth nearly black."""
    around, bands = np.full((4, 5, 3), [180, 120, 160], np.float32), np.zeros((2, 3, 3, 3), np.float32)
    bands[:] = 60.0  # three children 60 grey levels brighter, the fourth 180 darker
    children = merge(around[1:-1, 1:-1], Architecture(5).fitted(5, around, bands))
    density = -np.log(children / GLASS)
    assert density.max() <= 1.26 * -np.log(120 / GLASS) and children.max() > 182
    finer = merge(around[1:-1, 1:-1], Architecture(5).fitted(1, around, bands))
    assert finer.min() < children.min(), "where there are nuclei they may be darker"


@pytest.mark.parametrize("um", [0.5, 4.0, 16.0])
def test_vessels_lie_where_they_lie(um: float) -> None:
    """A vessel is the same in a part as in the whole, and where there is none nothing changes."""
    x, y = grid(3000.0, 4000.0, 400, um)
    whole, part = np.ones((400, 400, 4)), np.ones((150, 200, 4))
    draw_vessels(5, 980, whole, x, y, (x + 9, y - 9), um)
    cut = np.s_[90:240, 60:260]
    draw_vessels(5, 980, part, x[cut], y[cut], (x[cut] + 9, y[cut] - 9), um)
    np.testing.assert_array_equal(part, whole[cut])
    if um > 0.5:
        wall = (whole[..., :3] > 1.05).all(-1)
        assert 0 < wall.mean() < 0.2 and (whole != 1).any(-1).mean() < 0.3, "few, and each has a wall"


def test_pixels_too_coarse_for_vessels_show_none() -> None:
    x, y = grid(0.0, 0.0, 64, 64.0)
    plain = np.ones((64, 64, 4))
    draw_vessels(5, 980, plain, x, y, (x, y), 64.0)
    assert (plain == 1).all()


def test_sections_differ_in_their_make_up() -> None:
    """Of millimetres far apart some hold much fat and some none, some many glands and some none."""
    places = [Architecture(7).density(*grid(9000.0 * i, 0, 160, 16.0), 16.0) for i in range(12)]
    fat = [float((place[..., 0] < 0.35).mean()) for place in places]
    epithelium = [float((place[..., 3] > 0.28).mean()) for place in places]
    assert min(fat) < 0.05 < 0.3 < max(fat)
    assert min(epithelium) < 0.02 < 0.08 < max(epithelium)


def test_a_plain_grid_is_quicker_and_the_same() -> None:
    x, y = grid(-3.2, 7.1, 64, 0.11)
    np.testing.assert_array_equal(fractal(3, 1, x[:1], y[:, :1], 1.0, 3), fractal(3, 1, x, y, 1.0, 3))
    for sparse, full in zip(nearest(3, 1, x[:1], y[:, :1]), nearest(3, 1, x, y), strict=True):
        np.testing.assert_array_equal(sparse, full)


def test_value_noise() -> None:
    x, y = grid(-3.2, 7.1, 64, 0.11)
    noise = fractal(3, 1, x, y, 1.0, 3)
    assert noise.shape == x.shape and 0.1 < noise.std() < 0.8 and np.abs(noise).max() < 1.7
    np.testing.assert_array_equal(fractal(3, 1, x[5:9, 2:7].copy(), y[5:9, 2:7].copy(), 1.0, 3), noise[5:9, 2:7])
    values = lattice(3, 1, np.arange(-500, 500), np.zeros(1000, np.int64))
    assert abs(values.mean()) < 0.1 and values.min() >= -1 and values.max() < 1


def test_the_nearest_of_scattered_points() -> None:
    x, y = grid(-2.0, 5.0, 50, 0.08)
    first, second, own = nearest(4, 7, x, y)
    assert (first <= second).all() and first.min() < 0.1 and second.max() < 1.6
    assert len(np.unique(own)) < 60, "one value to a point"
    away = np.hypot(np.diff(first, axis=1), 0)
    assert away.max() <= 0.08 + 1e-9, "a distance changes no faster than the place"

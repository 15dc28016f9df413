"""Detail of the sketch's drawn tissue: a function of the place and the parent, with the parent as its mean."""

from __future__ import annotations

import numpy as np
import pytest

from everslide.model.architecture import BRIGHTEST, DARKEST, FINEST_DRAWN, GLASS, Architecture, within_range
from everslide.model.bands import smooth_bands
from everslide.model.evaluate import MemoryTiles
from everslide.model.fake import SpeckleDenoiser
from everslide.model.geometry import Rect, TileIndex
from everslide.model.painter import Painter
from everslide.model.sketch import TOP_SCALE, Sketch
from everslide.model.slide import Slide
from everslide.model.wavelet import box_mean, merge

AROUND = np.full((42, 50, 3), [180, 120, 160], np.float32)
"""Pixels of 40 rows and 48 columns, and one more on each side."""


@pytest.mark.parametrize("s", [FINEST_DRAWN, 7])
def test_a_part_is_the_same_as_in_the_whole(s: int) -> None:
    """Bit for bit, also far out: tiles are drawn one by one, and large ones by two threads."""
    drawn, around = Architecture(5), np.repeat(AROUND, 5, axis=0)
    for x in (0, 2**27):
        whole = drawn.bands(s, Rect(x, 64, 48, 208), around)
        part = drawn.bands(s, Rect(x + 7, 64 + 98, 20, 11), around[98:111, 7:29])
        np.testing.assert_array_equal(part, whole[98:109, 7:27])


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


def test_glass_beside_tissue_stays_as_it_is() -> None:
    """The smooth surface through a steep outline would overshoot on the side of the glass."""
    around = np.full((4, 6, 3), 243, np.float32)
    around[:, 4:] = 120
    smooth = smooth_bands(around)[1:-1, 1:-1]
    assert merge(around[1:-1, 1:-1], smooth).max() > 255
    kept = merge(around[1:-1, 1:-1], Architecture(5).fitted(5, around, smooth))
    assert kept.max() <= BRIGHTEST and kept[:, -2:].min() < 121


def test_what_a_lumen_lacks_is_not_heaped_up_beside_it() -> None:
    """Three children of four that turn into glass would leave the fourth nearly black."""
    around, bands = np.full((4, 5, 3), [180, 120, 160], np.float32), np.zeros((2, 3, 3, 3), np.float32)
    bands[:] = 60.0  # three children 60 grey levels brighter, the fourth 180 darker
    children = merge(around[1:-1, 1:-1], Architecture(5).fitted(5, around, bands))
    density = -np.log(children / GLASS)
    assert density.max() <= 1.26 * -np.log(120 / GLASS) and children.max() > 182
    finer = merge(around[1:-1, 1:-1], Architecture(5).fitted(1, around, bands))
    assert finer.min() < children.min(), "where there are nuclei they may be darker"

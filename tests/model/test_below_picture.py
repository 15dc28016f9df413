"""Tissue drawn below a real picture: a function of place, picture and parent, with the parent as its mean."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.bands import smooth_bands
from everslide.model.below_picture import DRAWINGS, REACH_PX, BelowPicture
from everslide.model.drawn_fibres import STEPS, draw_fibres, trace
from everslide.model.evaluate import MemoryTiles, field_of
from everslide.model.fake import SpeckleDenoiser
from everslide.model.geometry import Rect, TileIndex, mpp
from everslide.model.painter import Painter
from everslide.model.picture_view import PictureView
from everslide.model.shown_nuclei import discs
from everslide.model.slide import Slide
from everslide.model.stain import from_optical_density, hematoxylin_eosin
from everslide.model.top import ImageTop
from everslide.model.wavelet import box_mean, merge

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
HEMATOXYLIN = np.array([0.650, 0.704, 0.286], np.float32)
EOSIN = np.array([0.072, 0.990, 0.105], np.float32)


def stained(hematoxylin: Floats, eosin: Floats) -> Pixels:
    return from_optical_density(hematoxylin[..., None] * HEMATOXYLIN + eosin[..., None] * EOSIN)


def tissue(high: int, wide: int, seed: int = 0) -> Pixels:
    """Pink ground with blue spots, a share of it glass."""
    rng = np.random.default_rng(seed)
    blue = np.where(rng.random((high, wide)) < 0.1, rng.uniform(0.2, 0.5, (high, wide)), 0.03)
    cover = 1.0 - (np.arange(wide) < wide // 8)
    return stained(
        (blue * cover).astype(np.float32), (rng.uniform(0.08, 0.14, (high, wide)) * cover).astype(np.float32)
    )


PICTURE = tissue(96, 96)


def drawn(s: int, rect: Rect, around: Floats, seed: int = 5) -> Floats:
    painted = smooth_bands(around[REACH_PX - 1 : 1 - REACH_PX, REACH_PX - 1 : 1 - REACH_PX])[1:-1, 1:-1]
    return BelowPicture(PICTURE, 4, seed).drawn(s, rect, around, painted)


@pytest.mark.parametrize("s", sorted(DRAWINGS))
@pytest.mark.parametrize("x", [0, 2**27])
def test_a_part_is_the_same_as_in_the_whole(s: int, x: int) -> None:
    """Bit for bit, also far out: nothing is looked at that lies farther away than the reach."""
    around = tissue(40 + 2 * REACH_PX, 48 + 2 * REACH_PX, 2).astype(np.float32)
    whole = drawn(s, Rect(x, 64, 48, 40), around)
    part = drawn(s, Rect(x + 7, 64 + 18, 20, 11), around[18 : 18 + 11 + 2 * REACH_PX, 7 : 7 + 20 + 2 * REACH_PX])
    np.testing.assert_array_equal(part, whole[18:29, 7:27])


@pytest.mark.parametrize("s", sorted(DRAWINGS))
def test_children_stay_within_their_parent_and_within_range(s: int) -> None:
    around = tissue(40 + 2 * REACH_PX, 48 + 2 * REACH_PX, 2).astype(np.float32)
    parent = around[REACH_PX:-REACH_PX, REACH_PX:-REACH_PX]
    children = merge(parent, drawn(s, Rect(0, 64, 48, 40), around))
    np.testing.assert_allclose(children.reshape(40, 2, 48, 2, 3).mean((1, 3)), parent, atol=1e-3)
    assert children.min() > 0 and children.max() < 256


def test_seeds_have_their_own() -> None:
    around = tissue(40 + 2 * REACH_PX, 48 + 2 * REACH_PX, 2).astype(np.float32)
    assert not np.array_equal(drawn(1, Rect(0, 64, 48, 40), around), drawn(1, Rect(0, 64, 48, 40), around, seed=6))


@pytest.mark.parametrize(
    ("s", "planes"), [(8, [0, 1, 2, 3]), (4, [0, 1, 2, 3]), (3, [0, 1]), (2, [0]), (1, []), (0, [])]
)
def test_where_it_is_drawn(s: int, planes: list[int]) -> None:
    """A picture that shows single nuclei is left to the network for an octave."""
    top = BelowPicture(PICTURE, s, 5)
    assert [plane for plane in range(9) if top.draws(plane)] == planes


def test_it_is_another_slide_than_without() -> None:
    assert BelowPicture(PICTURE, 4, 5).fingerprint != ImageTop(PICTURE, 4).fingerprint


def test_order_and_eviction_change_nothing_and_the_parent_is_kept() -> None:
    slide = Slide("a", 7, 96 * 16, 96 * 16)

    def painter() -> Painter:
        return Painter(slide, SpeckleDenoiser(), MemoryTiles(), BelowPicture(PICTURE, 4, 7))

    one, other = painter(), painter()
    tile = TileIndex(0, 3, 2)
    field_of(one, 1, Rect(0, 0, 768, 768))
    neighbour = one.tile(TileIndex(0, 2, 2))
    np.testing.assert_array_equal(other.tile(tile), one.tile(tile))
    np.testing.assert_array_equal(other.tile(TileIndex(0, 2, 2)), neighbour)
    parent = other.tile(tile.parent)
    np.testing.assert_array_equal(box_mean(other.tile(tile)), parent[:128, 128:])


def test_no_tile_needs_another_window() -> None:
    """What it looks at lies within the windows that a tile touches anyhow; glass saves some."""
    slide = Slide("a", 7, 96 * 16, 96 * 16)
    plain, drawn = (
        Painter(slide, SpeckleDenoiser(), MemoryTiles(), top)
        for top in (ImageTop(PICTURE, 4), BelowPicture(PICTURE, 4, 7))
    )
    for tile in (TileIndex(0, 2, 3), TileIndex(0, 3, 3), TileIndex(0, 3, 4), TileIndex(1, 0, 0)):
        for painter in (plain, drawn):
            painter.tile(tile)
        assert 0 < drawn.counts.windows <= plain.counts.windows


def test_a_blue_spot_becomes_one_round_nucleus() -> None:
    """At 5x, of 4 um pixels: about 3 pixels wide, and darker than the surface through the parent."""
    side = 2 * REACH_PX + 16
    blue = np.full((side, side), 0.02, np.float32)
    y, x = np.mgrid[:side, :side]
    for row, col in ((8, 8), (2, 13)):
        blue += 0.35 * np.exp(-0.5 * (np.square(y - REACH_PX - row) + np.square(x - REACH_PX - col))).astype(np.float32)
    around = stained(blue, np.full((side, side), 0.1, np.float32)).astype(np.float32)
    parent = around[REACH_PX:-REACH_PX, REACH_PX:-REACH_PX]
    children = merge(parent, drawn(2, Rect(0, 0, 16, 16), around))
    smooth = merge(parent, smooth_bands(around)[REACH_PX:-REACH_PX, REACH_PX:-REACH_PX])
    found, before = (hematoxylin_eosin(x.clip(0, 255).astype(np.uint8))[12:22, 12:22, 0] for x in (children, smooth))
    assert found.max() > 1.15 * before.max()
    assert 4 <= (found > 0.6 * found.max()).sum() <= 14, "a nucleus of 6 um covers about 7 pixels of 2 um"
    assert found[0].max() < 0.3 * found.max(), "and is not wider than that"


def test_spots_that_crowd_have_smaller_discs() -> None:
    rng = np.random.default_rng(1)
    blue = rng.random((40, 40)).astype(np.float32)
    excess = (blue - 0.5) * 3
    grain = (np.zeros_like(blue), np.zeros_like(blue))
    crowded = discs(5, Rect(0, 0, 40, 40), blue, excess, grain, 2.0)
    alone = np.zeros_like(blue)
    alone[20, 20] = 1.0
    single = discs(5, Rect(0, 0, 40, 40), alone, 3 * alone, grain, 2.0)
    spots = 40 * 40 / 9  # at most: no two lie within one pixel of each other
    assert 5.0 < single.sum() < 20.0, "about the area of a circle of 3.3 um, in pixels of 2 um"
    assert crowded.sum() < 0.8 * spots * single.sum()


def test_no_spots_no_discs() -> None:
    flat = np.full((12, 12), 0.2, np.float32)
    assert not discs(5, Rect(0, 0, 12, 12), flat, np.zeros_like(flat), (flat, flat), 2.0).any()


def striped(angle: float) -> Pixels:
    y, x = np.mgrid[:64, :64]
    wave = np.sin((np.cos(angle) * y - np.sin(angle) * x) * 1.2)  # lines along (cos, sin) of the angle
    return stained(np.full((64, 64), 0.03, np.float32), (0.12 + 0.05 * wave).astype(np.float32))


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2])
def test_the_grain_of_lines(angle: float) -> None:
    along, across = PictureView(striped(angle), 4).grain(Rect(60, 60, 40, 40), mpp(2))
    assert np.hypot(along, across).mean() > 0.8
    found = 0.5 * np.arctan2(across.mean(), along.mean())
    assert abs(np.sin(found - angle)) < 0.1


def test_cells_crowd_where_it_is_blue() -> None:
    blue = np.full((64, 64), 0.02, np.float32)
    blue[:, 32:] = 0.3
    crowd = PictureView(stained(blue, np.full((64, 64), 0.1, np.float32)), 4).crowd(Rect(0, 0, 256, 256), mpp(2))
    assert crowd[:, :96].max() == 0.0 and crowd[:, 160:].min() == 1.0


def test_fibres_follow_the_grain() -> None:
    """Their density changes across it far more than along it."""
    density = draw_fibres(5, PictureView(striped(0.0), 4), 1, Rect(100, 100, 400, 400)).density
    across, along = (np.abs(np.diff(density, axis=axis)).mean() for axis in (0, 1))
    assert across > 1.3 * along, "waves bend them by up to a radian"


def test_all_planes_show_the_same_fibres() -> None:
    view = PictureView(PICTURE, 4)
    fine = draw_fibres(5, view, 2, Rect(64, 64, 128, 128)).density
    coarse = draw_fibres(5, view, 3, Rect(32, 32, 64, 64)).density
    averaged = fine.reshape(64, 2, 64, 2).mean((1, 3))
    assert np.corrcoef(averaged.ravel(), coarse.ravel())[0, 1] > 0.9


def test_tracing_smooths_along_lines_alone() -> None:
    rim = STEPS + 1
    noise = np.random.default_rng(0).normal(size=(40 + 2 * rim, 40 + 2 * rim)).astype(np.float32)
    level = trace(noise, np.zeros((40, 40), np.float32))
    assert np.abs(np.diff(level, axis=1)).mean() < 0.25 * np.abs(np.diff(level, axis=0)).mean()
    upright = trace(noise, np.full((40, 40), np.pi / 2, np.float32))
    assert np.abs(np.diff(upright, axis=0)).mean() < 0.25 * np.abs(np.diff(upright, axis=1)).mean()

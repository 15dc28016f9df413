"""Coherence of painted tiles, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.errors import SlideError
from everslide.model.evaluation.fields import MemoryTiles, field_of
from everslide.model.geometry import TOP_SCALE, Rect, TileIndex, WindowIndex
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import CLEAR, MAX_WINDOWS_PER_TILE, Painter
from everslide.model.pyramid.top import ImageTop, TopPlane
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.slide import Slide
from tests.model.painting import DEMO, ENDLESS, ForgetfulTiles, SlowSpeckle, quad, sketch_of, speckle, tile_at
from tests.model.pictures import tissue

Pixels = NDArray[np.uint8]
TISSUE = ImageTop(tissue(300, 300, 1), TOP_SCALE)
"""A topmost plane without glass: below a sketch, windows on glass cost nothing."""


@pytest.mark.parametrize("s", range(1, 9))
def test_four_children_average_to_their_parent(s: int) -> None:
    painter = speckle()
    parent = tile_at(DEMO, s)
    children = quad(painter, parent)
    pixels = painter.tile(parent)
    assert pixels.shape == (256, 256, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    np.testing.assert_array_equal(box_mean(children), pixels)
    assert children.std() > pixels.std() > 1, "the place shows tissue, and its children more of it"


def test_children_painted_by_another_painter_average_to_their_parent() -> None:
    parent = tile_at(DEMO, 3)
    np.testing.assert_array_equal(box_mean(quad(speckle(), parent)), speckle().tile(parent))


def test_planes_above_the_sketch_are_box_means() -> None:
    painter = speckle()
    for parent in (TileIndex(9, 0, 0),):
        np.testing.assert_array_equal(box_mean(quad(painter, parent)), painter.tile(parent))
    top = painter.tile(TileIndex(10, 0, 0))  # the slide ends in it: 128 x 96 px
    np.testing.assert_array_equal(top[:128, :128], box_mean(painter.tile(TileIndex(9, 0, 0))))
    np.testing.assert_array_equal(top[128:], np.broadcast_to(sketch_of(DEMO).glass, (128, 256, 3)))
    np.testing.assert_array_equal(painter.tile(TileIndex(11, 0, 0))[:128, :128], box_mean(top))
    assert painter.counts.windows == 0
    np.testing.assert_array_equal(speckle(tiles=ForgetfulTiles()).tile(TileIndex(10, 0, 0)), top)


@pytest.mark.parametrize("s", [0, 4, 7])
def test_coherence_far_out_on_an_endless_slide(s: int) -> None:
    far = 2**31 // 2 ** (s + 1) // 256
    parent = tile_at(ENDLESS, s + 1, 2**31 // 2**8 // 256, 2**31 // 2**8 // 256)
    assert parent.col >= far
    painter = speckle(ENDLESS)
    np.testing.assert_array_equal(box_mean(quad(painter, parent)), painter.tile(parent))


def test_tiles_left_of_and_above_the_slide_are_painted_whole() -> None:
    painter = speckle()
    for parent in (TileIndex(1, -1, -1), TileIndex(1, 511, 383)):
        np.testing.assert_array_equal(box_mean(quad(painter, parent)), painter.tile(parent))


@pytest.mark.parametrize("kind", ["tissue", "noise"])
def test_zooming_into_an_image_leads_back_to_it_exactly(kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (180, 300, 3)).astype(np.uint8)
    image = tissue(180, 300) if kind == "tissue" else noise
    slide = Slide("photo", 1, 300 * 4, 180 * 4)
    painter = speckle(slide, ImageTop(image, 2))
    for s in (1, 0):
        finer = field_of(painter, s, Rect(0, 0, *slide.size_at(s)))
        while s < 2:
            finer, s = box_mean(finer), s + 1
        np.testing.assert_array_equal(finer, image)
    np.testing.assert_array_equal(painter.tile(TileIndex(2, 0, 0))[:180], image[:, :256])
    np.testing.assert_array_equal(painter.tile(TileIndex(3, 0, 0))[:90, :150], box_mean(image))


def test_the_bound_is_written_out() -> None:
    assert MAX_WINDOWS_PER_TILE == 67
    assert TOP_SCALE == 8


@pytest.mark.parametrize(("col", "row"), [(256, 200), (257, 201), (170, 85), (-200, -200)])
@pytest.mark.parametrize("forgetful", [False, True])
def test_a_cold_deep_link_is_bounded(col: int, row: int, forgetful: bool) -> None:
    model = SlowSpeckle()
    painter = Painter(DEMO, model, ForgetfulTiles() if forgetful else MemoryTiles(), TISSUE)
    painter.tile(TileIndex(0, col, row))
    assert painter.counts.windows <= 67
    assert painter.counts.windows == len(model.batches)
    assert painter.counts.denoiser_calls == 5 * painter.counts.windows
    by_scale = [sum(s == scale for s, _ in model.batches) for scale in range(8)]
    assert by_scale[0] == 4 and max(by_scale) <= 9
    assert [s for s, _ in model.batches] == sorted((s for s, _ in model.batches), reverse=True), "coarse to fine"


def test_with_warm_ancestors_a_tile_costs_four_windows() -> None:
    tile, store = tile_at(DEMO, 0), MemoryTiles()
    before = Painter(DEMO, SpeckleModel(), store, sketch_of(DEMO))
    for row in (-1, 0, 1):
        for col in (-1, 0, 1):
            before.tile(TileIndex(1, tile.parent.col + col, tile.parent.row + row))
    painter = Painter(DEMO, SpeckleModel(), store, sketch_of(DEMO))
    painter.tile(tile)
    assert painter.counts.windows == 4
    painter.tile(tile)
    assert painter.counts.windows == 4, "a kept tile costs nothing"


def warm_painter(s: int, area: Rect) -> Painter:
    """A painter of plane s whose store holds the tiles of plane s + 1 around `area`, which counts tiles of plane s."""
    store = MemoryTiles()
    before = Painter(DEMO, SpeckleModel(), store, TISSUE)
    for row in range(area.y // 2 - 1, (area.bottom + 1) // 2 + 1):
        for col in range(area.x // 2 - 1, (area.right + 1) // 2 + 1):
            before.tile(TileIndex(s + 1, col, row))
    return Painter(DEMO, SpeckleModel(), store, TISSUE)


def test_panning_along_a_painted_row_costs_a_window_a_tile() -> None:
    first = tile_at(DEMO, 2)
    painter = warm_painter(2, Rect(first.col, first.row, 12, 2))
    for col in range(12):
        painter.tile(TileIndex(2, first.col + col, first.row))
    assert painter.counts.windows == 2 * 13, "windows are shared along the row"
    for col in range(12):
        painter.tile(TileIndex(2, first.col + col, first.row + 1))
    added = painter.counts.windows - 2 * 13
    assert added == 13 and added / 12 <= 1.34


def test_every_window_of_an_area_is_painted_once() -> None:
    first = tile_at(DEMO, 3)
    painter = warm_painter(3, Rect(first.col, first.row, 6, 6))
    for row in range(6):
        for col in range(6):
            painter.tile(TileIndex(3, first.col + col, first.row + row))
    assert painter.counts.windows == 7 * 7


@pytest.mark.parametrize("cols", [8, 16])
def test_panning_over_an_area_paints_hardly_a_window_twice(cols: int) -> None:
    """Rows of tiles from a cold start: about 1 + 1/4 + 1/16 + ... windows a tile, and those along the sides."""
    first, painter = tile_at(DEMO, 0), speckle()
    left, top = first.col // 16 * 16, first.row // 16 * 16
    for row in range(8):
        for col in range(cols):
            painter.tile(TileIndex(0, left + col, top + row))
    once = sum(len(range_of(left, cols, s)) * len(range_of(top, 8, s)) for s in range(8))
    assert painter.counts.windows <= 1.05 * once


def range_of(first: int, count: int, s: int) -> range:
    """Windows of plane s in one direction that `count` tiles of plane 0 from `first` on can depend on."""
    start, stop = first * 256, (first + count) * 256
    for plane in range(s + 1):
        indices = range((start - 320) // 256 + 1, (stop - 1) // 256 + 1)
        if plane < s:
            start, stop = indices[0] * 128, indices[-1] * 128 + 160
    return indices


def test_batches_are_padded_to_one_shape() -> None:
    model = SlowSpeckle(batch=4)
    painter = Painter(DEMO, model, MemoryTiles(), sketch_of(DEMO))
    painter.tile(tile_at(DEMO, 5))
    assert {shape for _, shape in model.batches} == {(4, 160, 160, 3)}
    assert painter.counts.windows < 4 * len(model.batches), "padding is not counted"
    assert painter.counts.denoiser_calls == 5 * painter.counts.windows


def test_planes_that_do_not_exist() -> None:
    with pytest.raises(SlideError, match="scale -1: expected 0"):
        speckle().tile(TileIndex(-1, 0, 0))
    with pytest.raises(SlideError, match="scale 9: an unbounded slide"):
        speckle(ENDLESS).tile(TileIndex(9, 0, 0))
    with pytest.raises(SlideError, match="the coarsest is 8"):
        speckle(ENDLESS).tile(TileIndex(12, 0, 0))


def test_glass_costs_no_window_and_shows_no_border() -> None:
    """Where a window's parent is glass nothing is evaluated; it is glass also beside windows that were."""

    class Beside:
        """Tissue in the third column of tiles, and glass left of it."""

        s, real, fingerprint = TOP_SCALE, False, "beside"
        glass = sketch_of(DEMO).glass

        def tile(self, col: int, row: int) -> Pixels:
            out = np.full((256, 256, 3), self.glass, np.uint8)
            if col == 2:
                out[:, 250:] = (180, 90, 150)
            return out

    painter = speckle(top=Beside())
    pixels = painter.tile(TileIndex(0, 25, 25))
    assert painter.counts.windows == 0 and pixels.min() >= CLEAR
    painter.tile(TileIndex(0, 2 * 256 + 253, 25))
    assert painter.counts.windows > 4
    assert np.ptp(pixels.astype(int), axis=(0, 1)).max() <= 2


@pytest.mark.parametrize("s", [7, 4, 0])
def test_nothing_below_a_sketch_is_brighter_than_its_glass(s: int) -> None:
    top = sketch_of(DEMO)
    painter = speckle(top=top)
    pixels = painter.tile(tile_at(DEMO, s))
    assert (pixels <= top.glass).all() and np.ptp(pixels) > 30


def test_below_a_real_picture_white_is_white() -> None:
    """What its glass looks like nobody knows, and a picture of tissue alone shows none."""
    painter = speckle(top=ImageTop(np.full((64, 64, 3), 238, np.uint8), 4))
    assert painter.tile(TileIndex(3, 0, 0)).max() > 240


class Asked(SpeckleModel):
    """Keeps the scales of the pictures that it was told of."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[int | None] = set()

    def bands(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> NDArray[np.float32]:
        """See `WindowModel.bands`."""
        self.told.add(context.picture_s)
        return super().bands(context, windows, parents)


@pytest.mark.parametrize(("top", "told"), [(ImageTop(tissue(300, 300), 2), 2), (sketch_of(DEMO), None)])
def test_the_model_is_told_where_its_topmost_parent_is_a_real_picture(top: TopPlane, told: int | None) -> None:
    model = Asked()
    painter = Painter(DEMO, model, MemoryTiles(), top)
    painter.tile(tile_at(DEMO, 0))
    assert model.told == {told}


def test_a_real_picture_is_painted_whole() -> None:
    """Only a sketch knows that glass is glass."""
    painter = speckle(top=ImageTop(np.full((64, 64, 3), 244, np.uint8), 4))
    painter.tile(TileIndex(3, 0, 0))
    assert painter.counts.windows == 4

"""The same tile is the same bytes whatever happened before."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex
from everslide.model.mini.sections import make_sketch
from everslide.model.pyramid import painter as module
from everslide.model.pyramid.painter import Painter
from everslide.model.slide import Slide
from tests.model.painting import DEMO, ENDLESS, ForgetfulTiles, SlowSpeckle, sketch_of, speckle, tile_at

Pixels = NDArray[np.uint8]
FAR = 2**31 // 2**8 // 256  # the tile of the topmost plane that shows x = 2**31


def addresses(slide: Slide) -> list[TileIndex]:
    """Tiles around one place: neighbours at fine and coarse scales."""
    far = FAR if slide.unbounded else 0
    found = []
    for s, reach in ((0, 2), (1, 1), (4, 2), (8, 1)):
        middle = tile_at(slide, s, far, far)
        found += [TileIndex(s, middle.col + i, middle.row + j) for i in range(reach) for j in range(reach)]
    return found


@pytest.fixture(scope="module", params=[DEMO, ENDLESS], ids=lambda slide: slide.name)
def slide(request: pytest.FixtureRequest) -> Slide:
    assert isinstance(request.param, Slide)
    return request.param


@pytest.fixture(scope="module")
def expected(slide: Slide) -> dict[TileIndex, Pixels]:
    """Every tile painted by a painter that never painted anything else."""
    tiles = {tile: speckle(slide).tile(tile) for tile in addresses(slide)}
    assert len(tiles) == 4 + 1 + 4 + 1
    assert all(pixels.std() > 0.2 for pixels in tiles.values()), "none of them is blank"
    return tiles


def check(painter: Painter, order: list[TileIndex], expected: dict[TileIndex, Pixels]) -> None:
    for tile in order:
        np.testing.assert_array_equal(painter.tile(tile), expected[tile], err_msg=f"{tile}")


def test_in_any_order(slide: Slide, expected: dict[TileIndex, Pixels]) -> None:
    """Backwards below a sketch of its own, whose sections are drawn in another order too."""
    check(speckle(slide), sorted(expected), expected)
    check(speckle(slide, make_sketch(slide)), sorted(expected, reverse=True), expected)
    order = sorted(expected)
    random.Random(1).shuffle(order)
    check(speckle(slide), order, expected)


def test_after_other_places_were_visited(slide: Slide, expected: dict[TileIndex, Pixels]) -> None:
    painter = speckle(slide)
    for tile in sorted(expected)[:3]:
        painter.tile(TileIndex(0, tile.col + 9, tile.row - 5))
    check(painter, sorted(expected), expected)


def test_after_the_store_was_emptied(slide: Slide, expected: dict[TileIndex, Pixels]) -> None:
    store = MemoryTiles()
    painter = speckle(slide, tiles=store)
    check(painter, sorted(expected), expected)
    store.clear()
    check(painter, sorted(expected), expected)
    for tile in random.Random(2).sample(sorted(store), len(store) // 2):
        del store[tile]
    check(painter, sorted(expected, reverse=True), expected)


def test_without_any_store(slide: Slide, expected: dict[TileIndex, Pixels]) -> None:
    check(speckle(slide, tiles=ForgetfulTiles()), sorted(expected, reverse=True), expected)


def test_remembering_almost_nothing(
    slide: Slide, expected: dict[TileIndex, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED_WINDOWS", 1)
    monkeypatch.setattr(module, "REMEMBERED_REGIONS", 1)
    check(speckle(slide), sorted(expected), expected)
    check(speckle(slide, tiles=ForgetfulTiles()), sorted(expected)[:3], expected)


def test_from_a_store_that_another_process_filled(slide: Slide, expected: dict[TileIndex, Pixels]) -> None:
    store = MemoryTiles()
    before = speckle(slide, tiles=store)
    for tile in sorted(expected, reverse=True)[: len(expected) // 2]:
        before.tile(tile)
    check(speckle(slide, tiles=store), sorted(expected), expected)


@pytest.mark.parametrize("batch", [4, 7])
def test_in_other_batches(slide: Slide, expected: dict[TileIndex, Pixels], batch: int) -> None:
    painter = Painter(slide, SlowSpeckle(batch), MemoryTiles(), sketch_of(slide))
    check(painter, sorted(expected), expected)


def test_kept_tiles_are_not_changed_by_later_painting() -> None:
    store = MemoryTiles()
    painter = speckle(tiles=store)
    tile = tile_at(DEMO, 1)
    kept = painter.tile(tile).copy()
    painter.tile(TileIndex(1, tile.col + 1, tile.row))
    painter.tile(TileIndex(0, 2 * tile.col, 2 * tile.row))
    np.testing.assert_array_equal(store[tile], kept)


def test_other_seeds_paint_other_slides() -> None:
    tile = tile_at(DEMO, 4)
    same, other = Slide("other-name", 5), Slide("demo", 6)
    np.testing.assert_array_equal(speckle(same).tile(tile), speckle().tile(tile))
    assert not np.array_equal(speckle(other).tile(tile), speckle().tile(tile))

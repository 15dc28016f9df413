"""Silhouettes: keyed by place, whole on their canvas, and like the real ones in a few numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.organs import SECTIONS, groups_of
from everslide.model.pyramid import layout
from everslide.model.pyramid.keyed_noise import uniforms
from everslide.model.pyramid.layout import (
    CANVAS_PX,
    CANVAS_UM,
    EMPTY_SHARE,
    UM_PER_PX,
    Canvas,
    Layout,
    PieceShape,
    thickest,
)
from everslide.model.training.sections import measure_pieces

Floats = NDArray[np.float32]
EXTENT_UM = (65_536.0, 49_152.0)
ALL = [[PieceShape(*piece) for piece in group] for group in groups_of("")]


def canvases(seed: int, groups: list[list[PieceShape]] = ALL, extent: tuple[float, float] = EXTENT_UM) -> list[Canvas]:
    return list(Layout(seed, *extent, groups).near(0, extent[0] - 1, 0, extent[1] - 1))


def test_canvases_lie_whole_within_the_slide_and_beside_each_other() -> None:
    for seed in range(4):
        taken = np.zeros((384, 512), int)
        for canvas in canvases(seed):
            assert canvas.cover.shape == (CANVAS_PX, CANVAS_PX) and canvas.cover.dtype == np.float32
            for edge in (canvas.cover[0], canvas.cover[-1], canvas.cover[:, 0], canvas.cover[:, -1]):
                assert not edge.any()
            rows, cols = slice(canvas.y_px, canvas.y_px + CANVAS_PX), slice(canvas.x_px, canvas.x_px + CANVAS_PX)
            assert taken[rows, cols].shape == (CANVAS_PX, CANVAS_PX)
            taken[rows, cols] += 1
        assert taken.max() == 1


def test_a_place_alone_decides_its_canvas() -> None:
    far = 2.0**31 * 0.5
    whole = Layout(9, far, far, ALL)
    there = [c.place for c in whole.near(1e9, 1e9 + 60_000, 1e9, 1e9 + 40_000)]
    again = Layout(9, far, far, ALL)
    list(again.near(0, 1000, 0, 1000))
    for one, other in zip(
        whole.near(1e9, 1e9 + 60_000, 1e9, 1e9 + 40_000), again.near(1e9, 1e9 + 60_000, 1e9, 1e9 + 40_000), strict=True
    ):
        assert (one.x_px, one.y_px, one.place) == (other.x_px, other.y_px, other.place)
        np.testing.assert_array_equal(one.cover, other.cover)
    assert len(set(there)) == len(there) > 3


def test_every_cell_has_its_first_piece() -> None:
    for number, group in enumerate(ALL):
        for canvas in canvases(number, [group]):
            assert float(canvas.cover.max()) > 0.99, f"case {number}"


def filled(seed: int, cells: tuple[int, int]) -> list[tuple[int, int]]:
    """Places of the canvases on a slide of so many cells."""
    extent = (cells[0] * CANVAS_UM, cells[1] * CANVAS_UM)
    return [canvas.place for canvas in canvases(seed, [[PieceShape(3.0, 1.2, 0.95, 0.0)]], extent)]


def drawn_filled(seed: int, cells: tuple[int, int]) -> list[tuple[int, int]]:
    """Those whose own number says that they are."""
    all_cells = [(col, row) for row in range(cells[1]) for col in range(cells[0])]
    return [place for place in all_cells if uniforms(seed, "cell", *place, 3)[0] >= EMPTY_SHARE]


@pytest.mark.parametrize("cells", [(2, 1), (1, 2), (1, 3)])
def test_no_slide_is_all_glass(cells: tuple[int, int]) -> None:
    """Where a cell is filled anyway nothing changes; where all would be empty the seed says which one is not."""
    empty = [seed for seed in range(3000) if not drawn_filled(seed, cells)]
    assert empty
    for seed in [*empty[:8], *range(4)]:
        found, wanted = filled(seed, cells), drawn_filled(seed, cells)
        assert found == wanted if wanted else len(found) == 1
        assert found == filled(seed, cells), "always the same"
    if cells == (2, 1):
        assert {place for seed in empty[:8] for place in filled(seed, cells)} == {(0, 0), (1, 0)}


def test_a_slide_of_any_size_is_asked_about_a_few_cells_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(seed: int, stream: str, col: int, row: int, count: int) -> NDArray[np.float64]:
        asked.append((col, row))
        return uniforms(seed, stream, col, row, count)

    monkeypatch.setattr(layout, "uniforms", counted)
    for seed in range(100):
        assert Layout(seed, 2.0**39, 2.0**39, ALL)._never_empty is None
    assert len(asked) < 400


def test_a_small_slide_shows_the_thickest_part_of_its_tissue() -> None:
    for seed in range(4):
        (canvas,) = canvases(seed, extent=(4096.0, 4096.0))
        row, col = thickest(canvas.cover)
        assert abs((canvas.x_px + col + 0.5) * UM_PER_PX - 2048) <= UM_PER_PX
        assert abs((canvas.y_px + row + 0.5) * UM_PER_PX - 2048) <= UM_PER_PX


def test_on_a_strip_canvases_lie_within_their_cells_along_it() -> None:
    """Otherwise a tile beside a cell would lack what reaches over from it."""
    found = canvases(3, extent=(61_440.0, 4096.0))
    for canvas in found:
        left = canvas.place[0] * 61_440 / 3 / UM_PER_PX
        assert left - 0.5 <= canvas.x_px and canvas.x_px + CANVAS_PX <= left + 160 + 0.5
        row, _ = thickest(canvas.cover)
        assert abs((canvas.y_px + row + 0.5) * UM_PER_PX - 2048) <= UM_PER_PX
    assert len(found) >= 2


def drawn() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numbers of the largest pieces of real sections, and of the ones drawn from them."""
    real, found = [], []
    for number, group in enumerate(ALL):
        canvas = canvases(number, [group], (CANVAS_UM * 1.05, CANVAS_UM * 1.05))[0]
        real.append(group[0])
        found.append(measure_pieces(canvas.cover)[0])
    return np.array([[p.area_mm2, p.elongation, p.solidity, p.hollow] for p in real]), np.array(found)


def test_silhouettes_have_the_numbers_of_real_ones() -> None:
    real, found = drawn()
    assert 0.5 < np.median(found[:, 0]) / np.median(np.minimum(real[:, 0], 200)) < 1.5
    assert abs(np.median(found[:, 1]) - np.median(real[:, 1])) < 0.3
    assert abs(np.median(found[:, 2]) - np.median(real[:, 2])) < 0.08
    assert np.corrcoef(real[:, 2], found[:, 2])[0, 1] > 0.4, "rough ones are rough"
    hollow = real[:, 3] > 0.1
    assert found[hollow, 3].mean() > 4 * found[~hollow, 3].mean(), "tubes are rings"


def test_pieces_that_a_canvas_can_hold_are_as_large_as_real_ones() -> None:
    real, found = drawn()
    ratio = found[:, 0] / real[:, 0]
    large = (real[:, 0] > 110) & (real[:, 0] < 220)
    assert large.sum() >= 10 and np.median(ratio[large]) > 0.65, "turned and moved before they are made smaller"
    small = real[:, 0] < 30
    assert small.sum() >= 5 and 0.8 < np.median(ratio[small]) < 1.2, "biopsies are as small as they are"


def test_a_silhouette_is_no_copy() -> None:
    """Of the same numbers, two seeds give outlines that overlap no better than those of different cases do."""

    def overlap(a: Floats, b: Floats) -> float:
        best = 0.0
        for turned in (np.rot90(b, k)[:, ::flip] for k in range(4) for flip in (1, -1)):
            centred = [
                ndimage.shift(x, [CANVAS_PX / 2 - c for c in ndimage.center_of_mass(x)], order=0) > 0.5
                for x in (a, turned)
            ]
            best = max(best, float((centred[0] & centred[1]).sum() / (centred[0] | centred[1]).sum()))
        return best

    slab = [[PieceShape(150.0, 1.7, 0.8, 0.0)]]
    covers = [canvases(seed, slab, (CANVAS_UM * 1.05, CANVAS_UM * 1.05))[0].cover for seed in range(5)]
    for i, one in enumerate(covers):
        for other in covers[:i]:
            assert overlap(one, other) < 0.95
    assert overlap(covers[0], covers[0]) == 1


def test_the_file_of_sections_holds_a_few_numbers_each() -> None:
    sections = json.loads(SECTIONS.read_text("utf-8"))["sections"]
    assert len(sections) > 30
    for one in sections:
        assert one.keys() == {"organ", "colours", "pieces"} and 1 <= len(one["pieces"]) <= 8
        assert all(len(piece) == 4 for piece in one["pieces"])


@pytest.mark.parametrize("hollow", [0.0, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("solidity", [0.85, 0.97])
def test_a_hollow_piece_is_a_ring(hollow: float, solidity: float) -> None:
    found = []
    for seed in range(5):
        shape = PieceShape(60.0, 1.3, solidity, hollow)
        cover = canvases(seed, [[shape]], (CANVAS_UM * 1.05, CANVAS_UM * 1.05))[0].cover
        found.append(measure_pieces(cover)[0])
    area, _, _, share = np.mean(found, 0)
    assert abs(share - hollow) < 0.06 and 40 < area < 90

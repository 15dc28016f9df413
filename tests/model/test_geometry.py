"""Tiles, windows and parents, with the expected indices written out."""

from __future__ import annotations

import pytest

from everslide.model.geometry import Rect, TileIndex, WindowIndex, magnification, mpp, tiles_touching, windows_touching

FAR = 2**40


def test_scales() -> None:
    assert [mpp(s) for s in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 64, 128]
    assert [magnification(s) for s in range(8)] == [20, 10, 5, 2.5, 1.25, 0.625, 0.3125, 0.15625]


def test_parent_rect_covers_every_block_that_is_touched() -> None:
    assert Rect(0, 0, 256, 256).parent() == Rect(0, 0, 128, 128)
    assert Rect(1, 3, 2, 2).parent() == Rect(0, 1, 2, 2)
    assert Rect(2, 4, 1, 3).parent() == Rect(1, 2, 1, 2)
    assert Rect(-1, -2, 2, 4).parent() == Rect(-1, -1, 2, 2)
    assert Rect(-3, -3, 1, 1).parent() == Rect(-2, -2, 1, 1)
    assert Rect(FAR + 1, -FAR - 1, 1, 1).parent() == Rect(2**39, -(2**39) - 1, 1, 1)


def test_children_rect() -> None:
    assert Rect(-1, 3, 2, 5).children() == Rect(-2, 6, 4, 10)
    assert Rect(FAR, 0, 1, 1).children().parent() == Rect(FAR, 0, 1, 1)


def test_union_and_intersection() -> None:
    a, b = Rect(-4, 0, 8, 4), Rect(2, 1, 6, 9)
    assert a.union(b) == Rect(-4, 0, 12, 10)
    assert a.intersection(b) == Rect(2, 1, 2, 3)
    assert a.intersection(Rect(4, 0, 3, 3)) is None, "rectangles are half-open: touching sides share no pixel"
    assert a.intersection(Rect(0, 4, 3, 3)) is None
    assert (a.right, a.bottom) == (4, 4)


def test_tile_rect_and_parent() -> None:
    assert TileIndex(3, 2, -1).rect == Rect(512, -256, 256, 256)
    assert TileIndex(3, 2, -1).parent == TileIndex(4, 1, -1)
    assert TileIndex(0, 3, 4).parent == TileIndex(1, 1, 2)
    assert TileIndex(0, FAR + 1, -FAR - 1).parent == TileIndex(1, 2**39, -(2**39) - 1)
    assert TileIndex(0, FAR, 0).rect.x == 2**48


def test_window_rect_and_parent_rect() -> None:
    assert WindowIndex(0, 0, 0).rect == Rect(0, 0, 320, 320)
    assert WindowIndex(0, 0, 0).parent_rect == Rect(0, 0, 160, 160)
    assert WindowIndex(2, 3, -1).rect == Rect(768, -256, 320, 320)
    assert WindowIndex(2, 3, -1).parent_rect == Rect(384, -128, 160, 160)
    assert WindowIndex(0, FAR, 0).parent_rect.x == 2**47


def test_tiles_touching() -> None:
    assert list(tiles_touching(1, Rect(0, 0, 256, 256))) == [TileIndex(1, 0, 0)]
    assert list(tiles_touching(1, Rect(255, 0, 2, 1))) == [TileIndex(1, 0, 0), TileIndex(1, 1, 0)]
    assert list(tiles_touching(1, Rect(-1, -1, 2, 2))) == [
        TileIndex(1, -1, -1), TileIndex(1, 0, -1), TileIndex(1, -1, 0), TileIndex(1, 0, 0),
    ]  # fmt: skip
    far = 256 * FAR
    assert list(tiles_touching(0, Rect(far - 1, 0, 2, 1))) == [TileIndex(0, FAR - 1, 0), TileIndex(0, FAR, 0)]


@pytest.mark.parametrize(("col", "row"), [(0, 0), (5, 3), (-1, -7), (FAR, -FAR)])
def test_a_tile_touches_the_two_by_two_windows_of_its_index_and_one_less(col: int, row: int) -> None:
    assert list(windows_touching(4, TileIndex(4, col, row).rect)) == [
        WindowIndex(4, col - 1, row - 1), WindowIndex(4, col, row - 1),
        WindowIndex(4, col - 1, row), WindowIndex(4, col, row),
    ]  # fmt: skip


def test_windows_touching_ends_where_a_window_ends() -> None:
    assert [w.col for w in windows_touching(0, Rect(63, 0, 1, 64))][:2] == [-1, 0]
    assert [w.col for w in windows_touching(0, Rect(64, 64, 192, 192))] == [0], "the part that one window paints alone"
    assert [(w.col, w.row) for w in windows_touching(0, Rect(255, 64, 2, 1))] == [(0, 0), (1, 0)]


def test_the_parents_of_a_tiles_windows_cover_three_by_three_windows_at_most() -> None:
    for col in range(-4, 4):
        area = WindowIndex(0, col - 1, 0).parent_rect.union(WindowIndex(0, col, 0).parent_rect)
        assert area == Rect((col - 1) * 128, 0, 288, 160)
        assert len({w.col for w in windows_touching(1, area)}) <= 3

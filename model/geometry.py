"""Scales, tiles and windows of a slide, in pixels. Pure arithmetic on integers of any size: no I/O, no arrays.

A *scale* `s` halves the resolution of `s - 1`: s = 0 is 20x (0.5 um/px), s = 7 is 0.15625x (64 um/px). Every scale has
its own pixel plane with the origin at the slide's top-left corner; pixel (x, y) of plane s is the 2x2 block
(2x..2x+1, 2y..2y+1) of plane s - 1. Coordinates carry their plane in the name of the object that holds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BASE_MPP = 0.5
"""Micrometres per pixel at s = 0."""
BASE_MAGNIFICATION = 20.0
"""Objective magnification at s = 0."""
TILE_PX = 256
"""Side of a tile; tiles do not overlap."""
WINDOW_PX = 320
"""Side of the square that the network paints at once, in pixels of the painted scale."""
STRIDE_PX = 256
"""Distance of neighbouring windows. A tile touches exactly the 2x2 windows whose col, row is its own or one less."""
TOP_SCALE = 8
"""Where an unbounded or made-up slide begins: 128 um per pixel, twice as coarse as the coarsest magnification."""
MAGNIFICATION_SCALES = range(8)
"""The eight magnifications of ZoomLDM, 20x to 0.15625x."""


def mpp(s: int) -> float:
    """Micrometres per pixel at scale s."""
    return BASE_MPP * 2.0**s


def magnification(s: int) -> float:
    """Objective magnification at scale s."""
    return BASE_MAGNIFICATION / 2.0**s


@dataclass(frozen=True)
class Rect:
    """Half-open rectangle [x, x + width) x [y, y + height), in pixels of one plane; width and height are positive."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First x beyond the rectangle."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First y beyond the rectangle."""
        return self.y + self.height

    def grown(self, px: int) -> Rect:
        """The rectangle with `px` pixels more on each side."""
        return Rect(self.x - px, self.y - px, self.width + 2 * px, self.height + 2 * px)

    def parent(self) -> Rect:
        """Smallest rectangle of the next coarser plane that covers this one."""
        x, y = self.x // 2, self.y // 2
        return Rect(x, y, -(-self.right // 2) - x, -(-self.bottom // 2) - y)

    def children(self) -> Rect:
        """The same area in the next finer plane."""
        return Rect(2 * self.x, 2 * self.y, 2 * self.width, 2 * self.height)

    def union(self, other: Rect) -> Rect:
        """Smallest rectangle that covers both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Rect(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def intersection(self, other: Rect) -> Rect | None:
        """The common part, or None where there is none."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Rect(x, y, right - x, bottom - y) if right > x and bottom > y else None


@dataclass(frozen=True, order=True)
class TileIndex:
    """A tile of scale s, TILE_PX a side; its pixels are `rect` of plane s. Tiles are never cut by the slide's edge."""

    s: int
    col: int
    row: int

    @property
    def rect(self) -> Rect:
        """The tile's pixels in its plane."""
        return Rect(self.col * TILE_PX, self.row * TILE_PX, TILE_PX, TILE_PX)

    @property
    def parent(self) -> TileIndex:
        """The tile of scale s + 1 that covers this one."""
        return TileIndex(self.s + 1, self.col // 2, self.row // 2)


@dataclass(frozen=True, order=True)
class WindowGrid:
    """Where windows lie: squares of `window_px` pixels, one every `stride_px`, from the origin of every plane on.

    Both numbers are even, so that a window's parent is made of whole pixels. Neighbours overlap by the difference.
    """

    window_px: int = WINDOW_PX
    stride_px: int = STRIDE_PX


@dataclass(frozen=True, order=True)
class WindowIndex:
    """A window of scale s: the square that one evaluation of the network paints. col, row: its place in `grid`."""

    s: int
    col: int
    row: int
    grid: WindowGrid = WindowGrid()

    @property
    def rect(self) -> Rect:
        """The window's pixels in its plane."""
        side, stride = self.grid.window_px, self.grid.stride_px
        return Rect(self.col * stride, self.row * stride, side, side)

    @property
    def parent_rect(self) -> Rect:
        """The pixels of plane s + 1 on which the window is conditioned."""
        return self.rect.parent()


def _touching(start: int, length: int, size: int, stride: int) -> range:
    """Indices i with [i * stride, i * stride + size) meeting [start, start + length)."""
    return range((start - size) // stride + 1, (start + length - 1) // stride + 1)


def tiles_touching(s: int, rect: Rect) -> Iterator[TileIndex]:
    """Tiles of scale s that meet `rect`, row by row."""
    for row in _touching(rect.y, rect.height, TILE_PX, TILE_PX):
        for col in _touching(rect.x, rect.width, TILE_PX, TILE_PX):
            yield TileIndex(s, col, row)


def windows_touching(s: int, rect: Rect, grid: WindowGrid = WindowGrid()) -> Iterator[WindowIndex]:
    """Windows of scale s that meet `rect`, row by row: the order in which they are blended."""
    for row in _touching(rect.y, rect.height, grid.window_px, grid.stride_px):
        for col in _touching(rect.x, rect.width, grid.window_px, grid.stride_px):
            yield WindowIndex(s, col, row, grid)

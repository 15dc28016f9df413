"""What the painter's tests share: stores, models and places."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TILE_PX, TOP_SCALE, TileIndex, WindowIndex
from everslide.model.mini.sections import make_sketch
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter, TileStore
from everslide.model.pyramid.sketch import Sketch
from everslide.model.pyramid.top import TopPlane
from everslide.model.slide import Slide

Pixels = NDArray[np.uint8]
DEMO = Slide("demo", 5)
ENDLESS = Slide("endless", 6, 2**40, 2**40, unbounded=True)


class ForgetfulTiles:
    """A tile store that keeps nothing."""

    def get(self, tile: TileIndex) -> None:
        """Nothing is kept."""

    def put(self, tile: TileIndex, pixels: Pixels) -> None:
        """Forgets the tile."""


class SlowSpeckle(SpeckleModel):
    """Speckle that counts what it was asked, as of a sampler of five steps."""

    calls_per_window = 5

    def __init__(self, batch: int = 1) -> None:
        super().__init__(batch)
        self.batches: list[tuple[int, tuple[int, ...]]] = []

    def bands(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> NDArray[np.float32]:
        """See `WindowModel.bands`."""
        assert len(windows) == self.batch and parents.shape == (self.batch, 160, 160, 3) and parents.dtype == np.uint8
        self.batches.append((windows[0].s, parents.shape))
        return super().bands(context, windows, parents)


@lru_cache
def sketch_of(slide: Slide) -> Sketch:
    """The slide's sketch, whose sections are drawn once for all tests: that costs five times what a tile does."""
    return make_sketch(slide)


def speckle(
    slide: Slide = DEMO, top: TopPlane | None = None, batch: int = 1, tiles: TileStore | None = None
) -> Painter:
    """A painter of speckle below `sketch_of` the slide, with a store of its own unless one is given."""
    tiles = MemoryTiles() if tiles is None else tiles
    return Painter(slide, SpeckleModel(batch), tiles, top or sketch_of(slide))


def grid(x: float, y: float, side: int, step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y (side, side) of a plain grid from a corner."""
    across, down = np.meshgrid(x + step * np.arange(side), y + step * np.arange(side))
    return across, down


def axes(x: float, y: float, side: int, step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same grid as x (1, side) and y (side, 1)."""
    across, down = grid(x, y, side, step)
    return across[:1], down[:, :1]


@lru_cache
def dense_pixel(slide: Slide, t_col: int = 0, t_row: int = 0) -> tuple[int, int]:
    """(x, y) of a pixel of the topmost plane amid tissue, in tile (t_col, t_row) or one to its right."""
    sketch = sketch_of(slide)
    for col in range(t_col, t_col + 20):
        dark = (sketch.tile(col, t_row).astype(int).mean(-1) < 225)[8:-8, 8:-8]
        if dark.mean() > 0.02:
            spots = np.argwhere(dark)
            y, x = spots[np.argmin(np.abs(spots - np.median(spots, axis=0)).sum(1))] + 8
            return col * TILE_PX + int(x), t_row * TILE_PX + int(y)
    raise AssertionError("no tissue in twenty tiles")


def tile_at(slide: Slide, s: int, t_col: int = 0, t_row: int = 0) -> TileIndex:
    """The tile of scale s that shows `dense_pixel`."""
    x, y = dense_pixel(slide, t_col, t_row)
    if s >= TOP_SCALE:
        return TileIndex(s, (x >> (s - TOP_SCALE)) // TILE_PX, (y >> (s - TOP_SCALE)) // TILE_PX)
    zoom = 2 ** (TOP_SCALE - s)
    return TileIndex(s, (x * zoom + zoom // 2) // TILE_PX, (y * zoom + zoom // 2) // TILE_PX)


def quad(painter: Painter, parent: TileIndex) -> Pixels:
    """The four children of a tile as one image (512, 512, 3)."""
    rows = [
        np.hstack([painter.tile(TileIndex(parent.s - 1, 2 * parent.col + i, 2 * parent.row + j)) for i in (0, 1)])
        for j in (0, 1)
    ]
    return np.vstack(rows)

"""How fast a model paints: a cold deep link to 20x, and panning there."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy import ndimage

from everslide.model.evaluation.fields import field_of, sketch_painter
from everslide.model.geometry import TILE_PX, TOP_SCALE, Rect, TileIndex
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.slide import Slide
from everslide.model.stain import optical_density


def speed(model: WindowModel, seed: int) -> dict[str, Any]:
    """Windows and seconds of a cold deep link to 20x and of panning there, amid tissue; ready for JSON.

    seed: of the slide. threads: windows that are painted at the same time.
    """
    slide = Slide("timed", seed)
    painter = sketch_painter(slide, model)
    col, row = _amid_tissue(painter)
    started = time.perf_counter()
    painter.tile(TileIndex(0, col, row))
    cold, seconds = painter.counts.windows, time.perf_counter() - started
    panning = []
    for across in range(-1, 9):  # the row above, so that the next one is what a viewer meets while panning
        painter.tile(TileIndex(0, col + across, row))
    for across in range(9):
        started, before = time.perf_counter(), painter.counts.windows
        painter.tile(TileIndex(0, col + across, row + 1))
        panning.append((time.perf_counter() - started, painter.counts.windows - before))
    return {
        "cold_deep_link": {"windows": cold, "seconds": seconds},
        "panning": {
            "seconds_per_tile": float(np.median([x for x, _ in panning])),
            "windows_per_tile": float(np.mean([x for _, x in panning])),
            "threads": model.side_by_side,
        },
    }


def _amid_tissue(painter: Painter) -> tuple[int, int]:
    """Column and row of the 20x tile around whose right neighbours the sketch has most tissue."""
    plane = Rect(0, 0, *painter.slide.size_at(TOP_SCALE))
    share = optical_density(field_of(painter, TOP_SCALE, plane)).mean(-1)
    row, col = np.unravel_index(np.argmax(ndimage.uniform_filter(share, 12, mode="constant")), share.shape)
    tiles = 2**TOP_SCALE // TILE_PX
    return max(1, int(col) * tiles - 5), int(row) * tiles

"""Cells: squares of a plane that have an embedding of their own.

A cell of scale s is CELL_PX a side, so it holds the 2 x 2 cells of scale s - 1 exactly: its embedding is the mean of
theirs, and a child takes its quadrant. At 20x a cell is one square of the encoder's map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everslide.model.geometry import WindowIndex

Floats = NDArray[np.float32]
CELL_PX = 64
"""Side of a cell in pixels of its plane."""


def cells_below(lattice: Floats, s: int, y: int, x: int, side_px: int) -> Floats:
    """Area means (E, k, k) of a 20x map (rows, columns, E) over a square at (y, x) of plane s, k = side / CELL_PX."""
    count = side_px // CELL_PX
    assert count * CELL_PX == side_px
    rows = _shares(y, s, count, lattice.shape[0])
    columns = _shares(x, s, count, lattice.shape[1])
    means: Floats = np.einsum("ir,rce,jc->eij", rows, lattice, columns, optimize=True).astype(np.float32)
    return means


def _shares(start: int, s: int, count: int, length: int) -> Floats:
    """Weights (count, length) of the map's squares in each cell; what lies beyond the map counts for nothing."""
    edges = (start + CELL_PX * np.arange(count + 1)) * 2.0**s / CELL_PX
    squares = np.arange(length)
    inside = np.minimum(edges[1:, None], squares + 1) - np.maximum(edges[:-1, None], squares)
    weights = np.maximum(inside, 0)
    return np.asarray(weights / np.maximum(weights.sum(1, keepdims=True), 1e-9), np.float32)


def cells_of(window: WindowIndex) -> tuple[int, int, int]:
    """First column and row of the cells of a window, and how many it has a side."""
    rect = window.rect
    assert rect.x % CELL_PX == rect.y % CELL_PX == rect.width % CELL_PX == 0
    return rect.x // CELL_PX, rect.y // CELL_PX, rect.width // CELL_PX

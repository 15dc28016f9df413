"""Cells: squares with an embedding, whose parent's is the mean of theirs."""

from __future__ import annotations

import numpy as np
import pytest

from everslide.model.geometry import WindowIndex
from everslide.model.mini.cells import CELL_PX, cells_below, cells_of

LATTICE = np.random.default_rng(1).random((32, 24, 3)).astype(np.float32)


def test_at_20x_cells_are_squares_of_the_map() -> None:
    found = cells_below(LATTICE, 0, 2 * CELL_PX, 5 * CELL_PX, 3 * CELL_PX)
    np.testing.assert_allclose(found, LATTICE[2:5, 5:8].transpose(2, 0, 1), rtol=1e-6)


@pytest.mark.parametrize("s", [0, 1, 2])
@pytest.mark.parametrize("y", [0, 40])
def test_a_cell_is_the_mean_of_its_children(s: int, y: int) -> None:
    children = cells_below(LATTICE, s, 2 * y, 0, 4 * CELL_PX)
    parents = cells_below(LATTICE, s + 1, y, 0, 2 * CELL_PX)
    means = children.reshape(3, 2, 2, 2, 2).mean((2, 4))
    np.testing.assert_allclose(parents, means, rtol=1e-5)


def test_what_lies_beyond_the_map_counts_for_nothing() -> None:
    found = cells_below(LATTICE, 0, 31 * CELL_PX + 32, 0, CELL_PX)
    np.testing.assert_allclose(found[:, 0, 0], LATTICE[31, 0], rtol=1e-6)
    assert np.isfinite(cells_below(LATTICE, 0, 40 * CELL_PX, 0, CELL_PX)).all()


def test_windows_that_overlap_have_common_cells() -> None:
    left, top, side = cells_of(WindowIndex(3, 2, -1))
    assert (left, top, side) == (8, -4, 5)
    assert cells_of(WindowIndex(3, 3, -1))[0] == left + side - 1

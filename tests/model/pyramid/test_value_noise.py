"""Noise that is keyed by place: continuous, the same in a part as in the whole, and on any kind of grid."""

from __future__ import annotations

import numpy as np

from everslide.model.pyramid.value_noise import fractal, lattice
from tests.model.painting import grid


def test_a_plain_grid_is_quicker_and_the_same() -> None:
    x, y = grid(-3.2, 7.1, 64, 0.11)
    np.testing.assert_array_equal(fractal(3, 1, x[:1], y[:, :1], 1.0, 3), fractal(3, 1, x, y, 1.0, 3))


def test_value_noise() -> None:
    x, y = grid(-3.2, 7.1, 64, 0.11)
    noise = fractal(3, 1, x, y, 1.0, 3)
    assert noise.shape == x.shape and 0.1 < noise.std() < 0.8 and np.abs(noise).max() < 1.7
    np.testing.assert_array_equal(fractal(3, 1, x[5:9, 2:7].copy(), y[5:9, 2:7].copy(), 1.0, 3), noise[5:9, 2:7])
    values = lattice(3, 1, np.arange(-500, 500), np.zeros(1000, np.int64))
    assert abs(values.mean()) < 0.1 and values.min() >= -1 and values.max() < 1


def test_outlines_of_turned_noise_are_not_square() -> None:
    """Slopes of plain noise lie along its axes more often than between them; the same noise turned has no such axes."""
    x, y = grid(0.0, 0.0, 400, 0.05)

    def along_axes(turned: bool) -> float:
        down, across = np.gradient(fractal(3, 1, x, y, 1.0, 3, 0.8, turned=turned))
        return float(((across**2 - down**2) ** 2 - (2 * across * down) ** 2).sum() / ((across**2 + down**2) ** 2).sum())

    assert along_axes(False) > 0.1 > abs(along_axes(True))
    part = np.s_[9:30, 50:90]
    whole = fractal(3, 1, x, y, 1.0, 3, turned=True)
    np.testing.assert_array_equal(fractal(3, 1, x[part], y[part], 1.0, 3, turned=True), whole[part])

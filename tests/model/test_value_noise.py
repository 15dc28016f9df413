"""Noise that is keyed by place: continuous, the same in a part as in the whole, and on any kind of grid."""

from __future__ import annotations

import numpy as np

from everslide.model.value_noise import between_nodes, fractal, lattice, nearest
from tests.model.painting import axes, grid


def test_a_plain_grid_is_quicker_and_the_same() -> None:
    x, y = grid(-3.2, 7.1, 64, 0.11)
    np.testing.assert_array_equal(fractal(3, 1, x[:1], y[:, :1], 1.0, 3), fractal(3, 1, x, y, 1.0, 3))
    sparse, full = nearest(3, 1, x[:1], y[:, :1]), nearest(3, 1, x, y)
    for name in ("distance", "second", "own", "x", "y"):
        np.testing.assert_array_equal(getattr(sparse, name), getattr(full, name))


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


def test_the_nearest_of_scattered_points() -> None:
    x, y = grid(-2.0, 5.0, 50, 0.08)
    one = nearest(4, 7, x, y)
    assert (one.distance <= one.second).all() and one.distance.min() < 0.1 and one.second.max() < 1.6
    assert len(np.unique(one.own)) < 60, "one value to a point"
    np.testing.assert_allclose(np.hypot(one.x - x, one.y - y), one.distance)
    away = np.hypot(np.diff(one.distance, axis=1), 0)
    assert away.max() <= 0.08 + 1e-9, "a distance changes no faster than the place"


def test_between_nodes_fields_are_linear() -> None:
    """The field itself at the nodes, half of either neighbour between two, and the same in a part as in the whole."""

    def fields(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([fractal(3, 1, x, y, 40.0, 2), fractal(3, 2, x, y, 40.0, 2)]).astype(np.float32)

    x, y = axes(-64.0, 2.0**31, 97, 2.0)
    whole = between_nodes(fields, x, y, 2.0, 8.0)
    np.testing.assert_array_equal(whole[:, ::4, ::4], fields(x[:, ::4], y[::4]))
    np.testing.assert_allclose(whole[:, 0, 2:90:4], (whole[:, 0, 0:88:4] + whole[:, 0, 4:92:4]) / 2, atol=1e-6)
    np.testing.assert_array_equal(between_nodes(fields, x[:, 13:50], y[5:31], 2.0, 8.0), whole[:, 5:31, 13:50])
    np.testing.assert_array_equal(between_nodes(fields, x, y, 2.0, 3.0), fields(x, y))

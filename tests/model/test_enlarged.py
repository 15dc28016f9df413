"""Planes at twice their size."""

from __future__ import annotations

import numpy as np
import pytest

from everslide.model.enlarged import cubic, linear, means, within

PLANE = np.random.default_rng(3).normal(size=(12, 16)).astype(np.float32)


def test_a_slope_stays_one() -> None:
    slope = np.add.outer(np.arange(12.0), 2 * np.arange(16.0)).astype(np.float32)
    wanted = np.add.outer((np.arange(24) + 0.5) / 2 - 0.5, 2 * ((np.arange(32) + 0.5) / 2 - 0.5))
    for enlarged in (linear, cubic):
        np.testing.assert_allclose(enlarged(slope)[4:-4, 4:-4], wanted[4:-4, 4:-4], atol=1e-5)


def test_cubic_keeps_a_parabola_where_linear_flattens_it() -> None:
    curve = np.tile(np.square(np.arange(16, dtype=np.float32)), (12, 1))
    wanted = np.square((np.arange(32) + 0.5) / 2 - 0.5)
    np.testing.assert_allclose(cubic(curve)[6, 4:-4], wanted[4:-4], rtol=1e-5)
    assert np.abs(linear(curve)[6, 4:-4] - wanted[4:-4]).min() > 0.1


@pytest.mark.parametrize("enlarged", [linear, cubic])
def test_a_part_is_the_same_as_in_the_whole(enlarged: type) -> None:
    np.testing.assert_array_equal(enlarged(PLANE[3:10, 4:13])[4:-4, 4:-4], enlarged(PLANE)[10:16, 12:22])


def test_channels_are_enlarged_alike() -> None:
    both = np.stack([PLANE, -PLANE], -1)
    np.testing.assert_array_equal(cubic(both)[..., 1], cubic(-PLANE))


def test_means_of_squares() -> None:
    plane = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(means(plane), [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(means(plane, 4), [[7.5]])
    np.testing.assert_array_equal(means(plane, 1), plane)


def test_what_is_smooth_is_not_within() -> None:
    slope = np.add.outer(np.arange(24.0), np.arange(32.0)).astype(np.float32)
    assert np.abs(within(slope)[6:-6, 6:-6]).max() < 1e-4
    checks = np.indices((24, 32)).sum(0).astype(np.float32) % 2
    np.testing.assert_allclose(within(checks), checks - 0.5, atol=1e-6)

"""Measures of likeness, on values known beforehand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from everslide.model.evaluation.similarity import (
    cosines,
    frechet_distance,
    memorisation,
    nearest_neighbours,
    psnr,
    ssim,
)
from tests.model.pictures import tissue


def test_psnr() -> None:
    a = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(a, a) == float("inf")
    assert psnr(a, a + 10) == pytest.approx(20 * np.log10(25.5))


def test_ssim() -> None:
    a = tissue(64, 64)
    noise = np.random.default_rng(0).integers(-20, 20, a.shape)
    noisy = np.clip(a + noise, 0, 255).astype(np.uint8)
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, noisy) == pytest.approx(ssim(noisy, a))
    assert ssim(a, tissue(64, 64, 5)) < ssim(a, noisy) < 0.99
    flat = np.full((32, 32, 3), 100, np.uint8)  # only the means differ: (2 x y + c1) / (x^2 + y^2 + c1)
    assert ssim(flat, flat + 50) == pytest.approx((2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025))


def test_frechet_distance() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((20_000, 3))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + 2) == pytest.approx(12)
    assert frechet_distance(a, 3 * rng.standard_normal((20_000, 3))) == pytest.approx(12, rel=0.05)  # 3 (3 - 1)^2
    with pytest.raises(ValueError, match="at least 2 images on either side, found 1 and 20000"):
        frechet_distance(a[:1], a)


def test_cosines() -> None:
    a, b = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(cosines(a, b), [[1, 0, -1], [0, 0, 0]])


def test_copies_are_found_and_new_images_are_not() -> None:
    rng = np.random.default_rng(1)
    real, new = rng.standard_normal((200, 16)), rng.standard_normal((100, 16))
    assert memorisation(new, real).share <= 0.05
    copied = memorisation(real[:50] + 1e-3, real)
    assert copied.share == 1
    np.testing.assert_array_equal(copied.nearest, np.arange(50))
    np.testing.assert_allclose(copied.distance, 16**0.5 * 1e-3)


def test_neighbours_are_found_without_an_array_of_all_differences() -> None:
    """5,000 images of 1024 numbers: all their differences would take 205 GB."""
    rng = np.random.default_rng(2)
    real = rng.standard_normal((5000, 1024))
    painted = real[::100] + 0.1 * rng.standard_normal((50, 1024))
    tracemalloc.start()
    found = memorisation(painted, real)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found.nearest, np.arange(0, 5000, 100))
    assert peak < 4 * real.nbytes
    few = real[:70]
    between = np.linalg.norm(few[:, None] - few[None], axis=2)
    np.fill_diagonal(between, np.inf)
    nearest, distance = nearest_neighbours(few, few, others=True)
    np.testing.assert_array_equal(nearest, between.argmin(1))
    np.testing.assert_allclose(distance, between.min(1))

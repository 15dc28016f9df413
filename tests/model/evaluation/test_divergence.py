"""Distances of drawn features whose true distances are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.evaluation.divergence import divergence, kernel, kernel_distance, paired_kernel_distances
from everslide.model.evaluation.similarity import frechet_distance

Doubles = NDArray[np.float64]


def drawn(seed: int, count: int, mean: float = 0.0, deviation: float = 1.0, length: int = 4) -> Doubles:
    return np.random.default_rng(seed).normal(mean, deviation, (count, length))


def test_two_gaussians_have_the_distance_in_closed_form() -> None:
    found = frechet_distance(drawn(1, 20_000), drawn(2, 20_000, mean=1.0, deviation=2.0))
    assert found == pytest.approx(4 * (1.0**2 + (2.0 - 1.0) ** 2), rel=0.03)


def test_the_kernel_distance_of_equal_samples_is_near_zero_and_has_no_bias() -> None:
    values = [kernel_distance(drawn(2 * i, 40), drawn(2 * i + 1, 40)) for i in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert min(values) < 0 < max(values)
    assert kernel_distance(drawn(1, 40), drawn(2, 40, mean=1.0)) > 20 * np.std(values)


def test_the_kernel_is_written_out() -> None:
    a, b = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    within_a, within_b = (1 * 2 + 1) ** 3, (0 * 1 + 1) ** 3
    between = (1**3 + 2**3 + 1**3 + 3**3) / 4
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * between)
    with pytest.raises(ValueError, match="at least 2 squares"):
        kernel_distance(a, b[:1])


def test_the_kernel_distance_of_pairs_has_no_bias_however_alike_they_are() -> None:
    one = np.ones((1, 30))
    values = []
    for i in range(200):
        real = drawn(2 * i, 30)
        painted = 0.8 * real + 0.6 * drawn(2 * i + 1, 30)  # of the same distribution
        values.append(float(paired_kernel_distances(painted, real, one)[0]))
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    real = drawn(1, 30)
    assert paired_kernel_distances(real, real, one)[0] == pytest.approx(0)


def test_a_place_of_weight_two_counts_as_two_that_never_meet() -> None:
    real, painted = drawn(1, 5), drawn(2, 5)
    (found,) = paired_kernel_distances(painted, real, np.array([[2.0, 1.0, 1.0, 0.0, 0.0]]))
    h = {
        (i, j): kernel(painted[[i]], painted[[j]]) + kernel(real[[i]], real[[j]]) - kernel(painted[[i]], real[[j]])
        - kernel(real[[i]], painted[[j]])
        for i, j in ((0, 1), (0, 2), (1, 2))
    }  # fmt: skip
    assert found == pytest.approx(float((2 * h[0, 1] + 2 * h[0, 2] + h[1, 2]).item() / 5))


@pytest.mark.parametrize("count", [32, 200])
def test_painted_like_real_stands_at_the_floor(count: int) -> None:
    """Also where squares are so few that the distance itself is far from zero."""
    names = ["a", "b"] * (count // 2)
    real, painted = drawn(1, count, length=16), drawn(2, count, length=16)
    found = divergence(painted, real, names, np.random.default_rng(0))
    assert found.half == count // 2
    assert found.frechet_floor.value > 0
    assert found.ratio.value == pytest.approx(1, abs=0.25)
    assert found.kernel.interval[0] < 0 < found.kernel.interval[1]
    assert found.kernel_floor.interval[0] < 0 < found.kernel_floor.interval[1]
    assert found.frechet.interval[0] < found.frechet.value < found.frechet.interval[1]


def test_painted_unlike_real_stands_above_it() -> None:
    real = drawn(1, 200)
    found = divergence(real + 1.0, real, ["a"] * 200, np.random.default_rng(0))
    assert found.ratio.interval[0] > 1.5 and found.same_places == pytest.approx(4)
    assert found.kernel.interval[0] > found.kernel_floor.interval[1]


def test_every_image_lies_in_both_halves() -> None:
    """Two images far apart would lift the floor if chance put more of one into a half."""
    real = np.concatenate([drawn(1, 30), drawn(2, 30, mean=50.0)])
    found = divergence(real, real, ["a"] * 30 + ["b"] * 30, np.random.default_rng(0))
    assert found.frechet_floor.value < 10


def test_too_few_places() -> None:
    with pytest.raises(ValueError, match="expected 16 or more places on both sides, found 15 and 15"):
        divergence(drawn(1, 15), drawn(2, 15), ["a"] * 15, np.random.default_rng(0))

"""The way from noise to detail: times, and what each step keeps."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from everslide.model.mini.sampler import STEPS, sample, times


def test_times_fall_evenly_from_noise_to_detail() -> None:
    assert times(1) == (1.0, 0.0)
    assert times(4) == (1.0, 0.75, 0.5, 0.25, 0.0)
    for steps in STEPS:
        assert len(times(steps)) == steps + 1 and all(a > b for a, b in pairwise(times(steps)))


def test_steps_are_powers_of_two() -> None:
    assert STEPS == (1, 2, 4, 8)


@pytest.mark.parametrize("steps", STEPS)
def test_each_step_asks_once_and_the_last_is_the_sample(steps: int) -> None:
    asked: list[tuple[float, int]] = []

    def draw(z_t: Tensor, t: float, step: int) -> Tensor:
        asked.append((t, step))
        return torch.full_like(z_t, float(step))

    drawn = sample(draw, torch.ones(3), steps)
    assert asked == [(1.0 - step / steps, step) for step in range(steps)]
    assert [float(detail[0]) for detail in drawn] == [float(step) for step in range(steps)]


def test_the_path_between_two_steps_by_hand() -> None:
    """Noise 4, first detail 2: half-way lies 3. There the detail is 1, and so the sample."""
    seen: list[float] = []

    def draw(z_t: Tensor, t: float, step: int) -> Tensor:
        seen.append(float(z_t))
        return torch.tensor([2.0, 1.0][step])

    drawn = sample(draw, torch.tensor(4.0), 2)
    assert seen == [4.0, 3.0] and [float(detail) for detail in drawn] == [2.0, 1.0]


@pytest.mark.parametrize("steps", STEPS)
def test_who_draws_the_same_detail_each_time_stays_on_its_straight_path(steps: int) -> None:
    """z_t = (1 - t) detail + t noise at every step, so the noise that the detail implies is the one it began with."""
    detail, noise = torch.tensor([3.0, -1.0, 0.5]), torch.tensor([0.2, 1.5, -2.0])

    def draw(z_t: Tensor, t: float, step: int) -> Tensor:
        torch.testing.assert_close(z_t, (1 - t) * detail + t * noise)
        return detail

    assert torch.equal(sample(draw, noise, steps)[-1], detail)


@pytest.mark.parametrize("steps", STEPS)
def test_exact_draws_of_gaussian_detail_keep_its_deviation(steps: int) -> None:
    """Detail N(0, d^2): given z_t it has the mean z_t (1 - t) d^2 / p and the variance t^2 d^2 / p, where
    p = t^2 + (1 - t)^2 d^2. Whoever draws from that ends at deviation d, in one step or several."""
    d = 2.0
    generator = torch.Generator().manual_seed(1)

    def draw(z_t: Tensor, t: float, step: int) -> Tensor:
        power = t * t + (1 - t) ** 2 * d * d
        fresh = torch.randn(z_t.shape, generator=generator)
        drawn: Tensor = z_t * ((1 - t) * d * d / power) + fresh * (t * d / power**0.5)
        return drawn

    found = sample(draw, torch.randn(200_000, generator=generator), steps)[-1]
    assert float(found.std()) == pytest.approx(d, rel=0.02)
    assert float(found.mean()) == pytest.approx(0, abs=0.03)

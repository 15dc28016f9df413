"""Times of the sampler, and the walk along them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from everslide.model.mini.sampler import Sampler


def test_times_fall_from_noise_to_detail() -> None:
    assert Sampler.falling(4, shift=1.0) == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert Sampler.falling(2, shift=3.0) == (1.0, 0.75, 0.0)
    assert Sampler.falling(1) == (1.0, 0.0)


@pytest.mark.parametrize("sampler", [Sampler(), Sampler(Sampler.falling(7))])
def test_a_sampler_is_complete(sampler: Sampler) -> None:
    assert sampler.times[0] == 1 and sampler.times[-1] == 0
    assert all(a > b for a, b in zip(sampler.times, sampler.times[1:], strict=False))
    assert sampler.steps == len(sampler.times) - 1


def test_one_step_goes_along_the_velocity() -> None:
    noise = torch.tensor([1.0, -2.0])
    assert Sampler().walk(lambda z_t, t: 3 * z_t + t, noise).tolist() == [1 - 4, -2 + 5]


def test_a_velocity_that_changes_evenly_is_followed_exactly_from_the_second_step_on() -> None:
    """velocity = t leads from 0 at t = 1 to -1/2 at t = 0; the first of n even steps is 1 / (2 n^2) off."""
    walked = Sampler(Sampler.falling(5, shift=1.0)).walk(lambda z_t, t: torch.full_like(z_t, t), torch.zeros(3))
    torch.testing.assert_close(walked, torch.full((3,), -0.5 - 1 / 50))


def test_each_step_asks_once() -> None:
    asked: list[float] = []

    def velocity(z_t: Tensor, t: float) -> Tensor:
        asked.append(t)
        return z_t

    sampler = Sampler(Sampler.falling(4))
    sampler.walk(velocity, torch.ones(1))
    assert asked == list(sampler.times[:-1])


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_four_steps_keep_the_power_of_gaussian_detail(deviation: float) -> None:
    """Detail N(0, d^2) has the velocity z (t - (1 - t) d^2) / (t^2 + (1 - t)^2 d^2): noise 1 must end near d."""

    def velocity(z_t: Tensor, t: float) -> Tensor:
        power = deviation**2
        return z_t * ((t - (1 - t) * power) / (t * t + (1 - t) ** 2 * power))

    walked = float(Sampler(Sampler.falling(4)).walk(velocity, torch.ones(1)))
    euler, times = torch.ones(1), Sampler.falling(4)
    for t, t_next in pairwise(times):
        euler = euler + (t_next - t) * velocity(euler, t)
    assert abs(math.log(walked / deviation)) < 0.5 * abs(math.log(float(euler) / deviation))

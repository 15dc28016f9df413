"""Times of the sampler."""

from __future__ import annotations

import pytest

from everslide.model.sampler import Sampler


def test_times_fall_from_noise_to_detail() -> None:
    assert Sampler.falling(4, bend=1.0) == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert Sampler.falling(2, bend=2.0) == (1.0, 0.75, 0.0)
    assert Sampler.falling(1) == (1.0, 0.0)


@pytest.mark.parametrize("sampler", [Sampler(), Sampler(Sampler.falling(7))])
def test_a_sampler_is_complete(sampler: Sampler) -> None:
    assert sampler.times[0] == 1 and sampler.times[-1] == 0
    assert all(a > b for a, b in zip(sampler.times, sampler.times[1:], strict=False))
    assert sampler.steps == len(sampler.times) - 1

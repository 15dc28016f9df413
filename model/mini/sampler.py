"""The sampler of `mini`: one step, or several along the straight path from noise to detail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from torch import Tensor

from everslide.model.sampling_config import SamplingCapabilities

STEPS = (1, 2, 4, 8)
"""Numbers of steps that a slide may choose; the first is the default."""
STRONGEST_GUIDANCE = 4.0
"""Largest scale of classifier-free guidance that a slide may choose."""


def offered(cases: Mapping[str, int]) -> SamplingCapabilities:
    """What a slide may choose of weights with so many training cases of each organ."""
    return SamplingCapabilities(STEPS[0], STEPS, STRONGEST_GUIDANCE, organs=tuple(cases.items()))


def times(steps: int) -> tuple[float, ...]:
    """The `steps` + 1 times t of the path, evenly spaced from 1 (noise) to 0 (detail)."""
    return tuple(1.0 - k / steps for k in range(steps + 1))


def sample(draw: Callable[[Tensor, float, int], Tensor], noise: Tensor, steps: int) -> list[Tensor]:
    """Sample from `noise`, standard normals of any shape; returns the clean detail drawn at each step, the sample last.

    draw: (z_t, t, step) -> a sample of the clean detail given z_t = (1 - t) detail + t noise. From one step to the next
    the noise implied by z_t and the drawn detail is kept: Algorithm 1 of De Bortoli et al., "Distributional diffusion
    models with scoring rules", 2025, without fresh noise.
    """
    z_t, drawn = noise, []
    path = times(steps)
    for step, (t, t_next) in enumerate(pairwise(path)):
        detail = draw(z_t, t, step)
        drawn.append(detail)
        z_t = (1 - t_next) * detail + t_next * (z_t - (1 - t) * detail) / t
    return drawn

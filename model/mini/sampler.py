"""How detail is sampled: in one step, or in several along the straight path from noise to detail."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

STEPS = (1, 2, 4, 8)


def times(steps: int) -> tuple[float, ...]:
    """The `steps` + 1 times of the path, evenly from 1 (noise) to 0 (detail)."""
    return tuple(1.0 - k / steps for k in range(steps + 1))


def sample(draw: Callable[[Tensor, float, int], Tensor], noise: Tensor, steps: int) -> list[Tensor]:
    """What `draw` takes for the detail at each step, from `noise` of any shape; the last is the sample.

    draw: (z_t, t, step) -> one detail of the distribution given z_t = (1 - t) detail + t noise. Between two steps the
    noise that the drawn detail implies is kept (Algorithm 1 of De Bortoli et al., "Distributional diffusion models with
    scoring rules", 2025, without fresh noise between the steps).
    """
    z_t, drawn = noise, []
    path = times(steps)
    for step, (t, t_next) in enumerate(pairwise(path)):
        detail = draw(z_t, t, step)
        drawn.append(detail)
        z_t = (1 - t_next) * detail + t_next * (z_t - (1 - t) * detail) / t
    return drawn

"""How detail is sampled: few steps along the straight path from noise to detail, each guided by the one before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Sampler:
    """Settings, shipped with the weights they were chosen for.

    times: the K + 1 times, falling from 1 (noise) to 0 (detail). strength: deviation of the keyed noise put on the
    parent, in [-1, 1] units: it hides from the network what an earlier level may have painted a little wrong.
    """

    times: tuple[float, ...] = (1.0, 0.0)
    strength: float = 0.02

    @property
    def steps(self) -> int:
        return len(self.times) - 1

    @staticmethod
    def falling(steps: int, shift: float = 2.0) -> tuple[float, ...]:
        """K + 1 times from 1 to 0, closer together near pure noise for shift > 1, where structure is decided.

        Esser et al., "Scaling rectified flow transformers for high-resolution image synthesis", 2024, Eq. 23.
        """
        even = (1.0 - k / steps for k in range(steps + 1))
        return tuple(shift * t / (1.0 + (shift - 1.0) * t) for t in even)

    def walk(self, velocity: Callable[[Tensor, float], Tensor], noise: Tensor) -> Tensor:
        """Detail from `noise`, any shape: two-step Adams-Bashforth, one evaluation of `velocity` (z_t, t) a step.

        A step along the present velocity alone falls short wherever detail is strong: with four such steps less than
        half of it arrives.
        """
        z_t, before, last = noise, None, 0.0
        for t, t_next in zip(self.times, self.times[1:], strict=False):
            now, span = velocity(z_t, t), t_next - t
            ahead = now if before is None else now + 0.5 * span / last * (now - before)
            z_t, before, last = z_t + span * ahead, now, span
        return z_t

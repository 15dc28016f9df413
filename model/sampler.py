"""Settings of the sampler, shipped with the weights they were calibrated for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampler:
    """How detail is sampled: Euler steps along the straight path from noise (t = 1) to detail (t = 0).

    times: the K + 1 times, falling from 1 to 0. strength: deviation of the keyed noise put on the parent, in [-1, 1]
    units: it hides from the network what an earlier level may have painted a little wrong.
    """

    times: tuple[float, ...] = (1.0, 0.0)
    strength: float = 0.02

    @property
    def steps(self) -> int:
        return len(self.times) - 1

    @staticmethod
    def falling(steps: int, bend: float = 1.2) -> tuple[float, ...]:
        """K + 1 times from 1 to 0, closer together near pure noise for bend > 1, where structure is decided."""
        return tuple(1.0 - (k / steps) ** bend for k in range(steps + 1))

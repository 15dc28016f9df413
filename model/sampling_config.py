"""How a slide is painted, where its model leaves that open: in how many steps, and how strongly guided."""

from __future__ import annotations

import math
from dataclasses import dataclass

from everslide.model.errors import SlideError


@dataclass(frozen=True)
class SamplingConfig:
    """A slide's choice. Raises SlideError where a value is impossible for any model.

    steps: from noise to detail; None takes as many as the model's own sampler.
    guidance: how far the network goes from what it paints untold of the tissue towards what it paints when told, and
    beyond; 1 is told, without guidance.
    """

    steps: int | None = None
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise SlideError(f"steps {self.steps}: expected 1 or more; leave them out for the model's own")
        if not (math.isfinite(self.guidance) and self.guidance >= 1):
            raise SlideError(f"guidance {self.guidance}: expected a number from 1 on; leave it out for none")

    @property
    def guided(self) -> bool:
        return self.guidance != 1

    @property
    def calls_per_step(self) -> int:
        """Network evaluations: guidance also asks the network that is told nothing."""
        return 2 if self.guided else 1

    @property
    def key(self) -> str:
        """Equal for equal choices, and empty for the default; without spaces."""
        steps = "" if self.steps is None else f"-steps{self.steps}"
        return f"{steps}-guidance{float(self.guidance)!r}" if self.guided else steps

    @property
    def words(self) -> str:
        """For people: ", 2 steps, guidance 3", or nothing for a model's own."""
        steps = "" if self.steps is None else f", {self.steps} step{'s' * (self.steps != 1)}"
        return f"{steps}, guidance {self.guidance:g}" if self.guided else steps


OWN = SamplingConfig()
"""The default of every model."""


@dataclass(frozen=True)
class SamplingCapabilities:
    """The steps and guidance that a model can sample with.

    own_calls: network evaluations of a window by default, which are its steps where there is a choice of them.
    steps: those to choose from, none where there is no choice. guidance: the strongest, 1 where there is none.
    from_top: windows are painted from the slide's topmost plane as well, so that it must be told them. organs: those
    it can be conditioned on, each with the number of training cases behind it.
    """

    own_calls: int
    steps: tuple[int, ...] = ()
    guidance: float = 1.0
    from_top: bool = False
    organs: tuple[tuple[str, int], ...] = ()

    def calls(self, sampling: SamplingConfig) -> int:
        """Network evaluations of a window."""
        return (sampling.steps or self.own_calls) * sampling.calls_per_step

    def check(self, sampling: SamplingConfig, who: str) -> None:
        """Raises SlideError, which begins with `who`, where the model cannot sample so."""
        if sampling == OWN:
            return
        if not self.steps and self.guidance == 1:
            raise SlideError(f"{who} has no choice of steps or guidance, found{sampling.words[1:]}; leave them out")
        if sampling.steps is not None and sampling.steps not in self.steps:
            offered = ", ".join(map(str, self.steps)) or "none"
            raise SlideError(f"{who}: steps {sampling.steps}: expected one of {offered}; leave them out for its own")
        if sampling.guidance > self.guidance:
            raise SlideError(
                f"{who}: guidance {sampling.guidance:g}: expected 1 to {self.guidance:g}; leave it out for none"
            )

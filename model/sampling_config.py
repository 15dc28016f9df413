"""Number of steps and strength of guidance: what a slide chooses, and what a model offers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from everslide.model.errors import SlideError


@dataclass(frozen=True)
class SamplingConfig:
    """The steps and the guidance that a slide is sampled with. Raises SlideError where no model could have them.

    steps: sampler steps from noise to detail, 1 or more; None: the model's default.
    guidance: scale of classifier-free guidance, 1 or more: unconditional + guidance * (conditional - unconditional).
    1 is the conditional output alone, without guidance.
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
        """Whether classifier-free guidance has an effect."""
        return self.guidance != 1

    @property
    def calls_per_step(self) -> int:
        """Network evaluations of one step: guidance needs the unconditional output too."""
        return 2 if self.guided else 1

    @property
    def key(self) -> str:
        """Part of store keys and fingerprints: equal for equal choices, empty for the default, without spaces."""
        steps = "" if self.steps is None else f"-steps{self.steps}"
        return f"{steps}-guidance{float(self.guidance)!r}" if self.guided else steps

    @property
    def words(self) -> str:
        """For messages and file marks: ", 2 steps, guidance 3"; empty for the model's default."""
        steps = "" if self.steps is None else f", {self.steps} step{'s' * (self.steps != 1)}"
        return f"{steps}, guidance {self.guidance:g}" if self.guided else steps


OWN = SamplingConfig()
"""The default of every model."""


@dataclass(frozen=True)
class SamplingCapabilities:
    """What a slide may choose of a model: steps, guidance, organs.

    own_calls: network evaluations of a window by default; where there is a choice of steps, the default of these.
    steps: the numbers of steps to choose from; empty where there is no choice. guidance: the largest scale, 1 where the
    model has no guidance. from_top: a window depends on the slide's topmost plane too, not on its parent alone.
    organs: (name, number of training cases) of each organ that the model can be conditioned on.
    """

    own_calls: int
    steps: tuple[int, ...] = ()
    guidance: float = 1.0
    from_top: bool = False
    organs: tuple[tuple[str, int], ...] = ()

    def calls(self, sampling: SamplingConfig) -> int:
        """Network evaluations of one window sampled so."""
        return (sampling.steps or self.own_calls) * sampling.calls_per_step

    def check(self, sampling: SamplingConfig, who: str) -> None:
        """Raises SlideError where the model does not offer this. The message begins with `who`."""
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

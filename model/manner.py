"""How a slide is painted, where its model leaves that open: in how many steps, and how strongly guided."""

from __future__ import annotations

import math
from dataclasses import dataclass

from everslide.model.errors import SlideError


@dataclass(frozen=True)
class Manner:
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
        """Equal for equal manners, and nothing for a model's own; without spaces."""
        steps = "" if self.steps is None else f"-steps{self.steps}"
        return f"{steps}-guidance{float(self.guidance)!r}" if self.guided else steps

    @property
    def words(self) -> str:
        """For people: ", 2 steps, guidance 3", or nothing for a model's own."""
        steps = "" if self.steps is None else f", {self.steps} step{'s' * (self.steps != 1)}"
        return f"{steps}, guidance {self.guidance:g}" if self.guided else steps


OWN = Manner()
"""A model's own manner."""


@dataclass(frozen=True)
class Offer:
    """The manners that a model can paint in.

    own_calls: network evaluations of a window in its own manner, which are its steps where there is a choice of them.
    steps: those to choose from, none where there is no choice. guidance: the strongest, 1 where there is none.
    from_top: windows are painted from the slide's topmost plane as well, so that it must be told them.
    """

    own_calls: int
    steps: tuple[int, ...] = ()
    guidance: float = 1.0
    from_top: bool = False

    def calls(self, manner: Manner) -> int:
        """Network evaluations of a window."""
        return (manner.steps or self.own_calls) * manner.calls_per_step

    def check(self, manner: Manner, who: str) -> None:
        """Raises SlideError, which begins with `who`, where a manner is not offered."""
        if manner == OWN:
            return
        if not self.steps and self.guidance == 1:
            raise SlideError(f"{who} has no choice of steps or guidance, found{manner.words[1:]}; leave them out")
        if manner.steps is not None and manner.steps not in self.steps:
            offered = ", ".join(map(str, self.steps)) or "none"
            raise SlideError(f"{who}: steps {manner.steps}: expected one of {offered}; leave them out for its own")
        if manner.guidance > self.guidance:
            raise SlideError(
                f"{who}: guidance {manner.guidance:g}: expected 1 to {self.guidance:g}; leave it out for none"
            )

"""What all windows of one slide are painted from, beside their places and their parents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from everslide.model.manner import OWN, Manner

if TYPE_CHECKING:
    from everslide.model.mini.reference import Reference


@dataclass(frozen=True)
class Subject:
    """seed: of the slide. reference: what it shall look like; only where the model is `steerable`. manner: one that the
    model offers."""

    seed: int
    reference: Reference | None = None
    manner: Manner = OWN

    @property
    def key(self) -> str:
        """Equal for subjects that are painted alike."""
        like = "" if self.reference is None else f"-{self.reference.digest[:16]}"
        return f"{self.seed}{like}{self.manner.key}"

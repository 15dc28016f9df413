"""What all windows of one slide are painted from, beside their places and their parents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from everslide.model.manner import OWN, Manner

if TYPE_CHECKING:
    from everslide.model.mini.reference import Reference
    from everslide.model.top import TopPlane


@dataclass(frozen=True)
class Topmost:
    """A slide's topmost plane, equal to others by its fingerprint."""

    fingerprint: str
    plane: TopPlane = field(compare=False)


@dataclass(frozen=True)
class Subject:
    """seed: of the slide. reference: what it shall look like; only where the model is `steerable`. manner: one that the
    model offers. top: the topmost plane, for models whose offer is `from_top`; it stays in its process."""

    seed: int
    reference: Reference | None = None
    manner: Manner = OWN
    top: Topmost | None = None

    @property
    def key(self) -> str:
        """Equal for subjects that are painted alike."""
        like = "" if self.reference is None else f"-{self.reference.digest[:16]}"
        from_top = "" if self.top is None else f"-top{self.top.fingerprint[:16]}"
        return f"{self.seed}{like}{self.manner.key}{from_top}"

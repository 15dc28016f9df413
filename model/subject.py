"""What all windows of one slide are painted from, beside their places and their parents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from everslide.model.manner import OWN, Manner

if TYPE_CHECKING:
    from everslide.model.conditions.reference import Reference
    from everslide.model.top import TopPlane


@dataclass(frozen=True)
class Topmost:
    """A slide's topmost plane, equal to others by its fingerprint."""

    fingerprint: str
    plane: TopPlane = field(compare=False)


@dataclass(frozen=True)
class Subject:
    """seed: of the slide. reference: what it shall look like; only where the model is `steerable`. manner: one that the
    model offers. picture_s: scale of the real picture that all is painted from, where it is. top: the topmost plane,
    for models whose offer is `from_top`; it stays in its process."""

    seed: int
    reference: Reference | None = None
    manner: Manner = OWN
    picture_s: int | None = None
    top: Topmost | None = None

    def octaves(self, s: int) -> int:
        """How far a window of scale s lies below the real picture; 1 where there is none."""
        return 1 if self.picture_s is None else self.picture_s - s

    @property
    def key(self) -> str:
        """Equal for subjects that are painted alike."""
        like = "" if self.reference is None else f"-{self.reference.digest[:16]}"
        below = "" if self.picture_s is None else f"-below{self.picture_s}"
        from_top = "" if self.top is None else f"-top{self.top.fingerprint[:16]}"
        return f"{self.seed}{like}{self.manner.key}{below}{from_top}"

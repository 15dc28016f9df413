"""What all windows of one slide are painted from, beside their places and their parents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from everslide.model.sampling_config import OWN, SamplingConfig

if TYPE_CHECKING:
    from everslide.model.pyramid.top import TopPlane
    from everslide.model.style_reference import Reference


@dataclass(frozen=True)
class Topmost:
    """A slide's topmost plane, equal to others by its fingerprint."""

    fingerprint: str
    plane: TopPlane = field(compare=False)


@dataclass(frozen=True)
class GenerationContext:
    """seed: of the slide. reference: its style; only where the model is `steerable`. sampling: what the
    model is capable of. top: the topmost plane, for models that paint `from_top`; it stays in its process."""

    seed: int
    reference: Reference | None = None
    sampling: SamplingConfig = OWN
    top: Topmost | None = None

    @property
    def key(self) -> str:
        """Equal for subjects that are painted alike."""
        like = "" if self.reference is None else f"-{self.reference.digest[:16]}"
        from_top = "" if self.top is None else f"-top{self.top.fingerprint[:16]}"
        return f"{self.seed}{like}{self.sampling.key}{from_top}"

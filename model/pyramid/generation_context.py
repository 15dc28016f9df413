"""What the windows of a slide have in common: seed, reference, sampling, and for some models the topmost plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from everslide.model.sampling_config import OWN, SamplingConfig

if TYPE_CHECKING:
    from everslide.model.pyramid.top import TopPlane
    from everslide.model.style_reference import Reference


@dataclass(frozen=True)
class Topmost:
    """A slide's topmost plane. identity: of the slide, see `everslide.model.pyramid.painter.identity`; it tells this
    plane from all others, also from one of the same picture at another scale or in a slide of another size."""

    identity: str
    plane: TopPlane = field(compare=False)


@dataclass(frozen=True)
class GenerationContext:
    """What every window of a slide is painted from, beside its place and its parent.

    seed: of the slide. reference: what it shall look like; None unless the model is `steerable`. sampling: steps and
    guidance, which the model must offer. picture_s: the scale of the real picture that is the topmost plane; None where
    that is painted. top: the topmost plane, only for models that paint `from_top`; it is not sent
    to other processes.
    """

    seed: int
    reference: Reference | None = None
    sampling: SamplingConfig = OWN
    picture_s: int | None = None
    top: Topmost | None = None

    def is_picture(self, s: int) -> bool:
        """Whether the plane of scale s is a real picture."""
        return s == self.picture_s

    @property
    def key(self) -> str:
        """Part of store keys: equal for contexts in which equal windows get equal bytes."""
        like = "" if self.reference is None else f"-{self.reference.digest[:16]}"
        from_top = "" if self.top is None else f"-top{self.top.identity}"
        below = "" if self.picture_s is None else f"-picture{self.picture_s}"
        return f"{self.seed}{like}{self.sampling.key}{below}{from_top}"

"""What a synthetic slide is: its name, seed, extent and model. Everything painted follows from these values."""

from __future__ import annotations

import re
from dataclasses import dataclass

from everslide.model.errors import SlideError, shown
from everslide.model.geometry import TILE_PX
from everslide.model.sampling_config import OWN, SamplingConfig

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MAX_EXTENT_PX = 2**40


@dataclass(frozen=True)
class Slide:
    """A synthetic slide.

    name: identifier in addresses, lower-case letters, digits, '-' and '_'.
    seed: 0 <= seed < 2**64; the same seed paints the same slide.
    width_px, height_px: extent at s = 0 (0.5 um/px), 256 to 2**40.
    unbounded: the slide has no end: the extent only bounds its coordinates. It opens in the middle, and is never shown
    whole.
    model: name of the model that paints it. sampling: its steps and guidance.
    organ: what it is a slide of; with "" an organ is drawn from the seed, if the model knows organs.
    organ_drawn: whether `organ` was drawn from the seed when the slide was made, and kept since.

    Raises SlideError where a value is out of its range.
    """

    name: str
    seed: int
    width_px: int = 131072
    height_px: int = 98304
    unbounded: bool = False
    model: str = "mini"
    sampling: SamplingConfig = OWN
    organ: str = ""
    organ_drawn: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SlideError(
                f"slide name {shown(self.name)}: expected 1 to 64 of a-z, 0-9, '-', '_', a letter or digit first"
            )
        if not 0 <= self.seed < 2**64:
            raise SlideError(f"slide {self.name}: seed {self.seed} is not in 0 .. 2**64 - 1")
        for side, px in (("width", self.width_px), ("height", self.height_px)):
            if not TILE_PX <= px <= MAX_EXTENT_PX:
                raise SlideError(f"slide {self.name}: {side} {px} px is not in {TILE_PX} .. 2**40")

    def size_at(self, s: int) -> tuple[int, int]:
        """(width, height) in pixels of plane s, rounded up."""
        return -(-self.width_px // 2**s), -(-self.height_px // 2**s)

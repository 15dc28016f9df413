"""Painted parents: what the network painted itself, kept to be painted upon.

A network that saw only real parents takes its own small faults for structure and makes them grow, octave after octave.
So most of its examples are its own work: crops of what it painted one scale up, from real parents or all the way down
from a sketch. They have no true child; what is painted on them is held against real tissue of
about the same colours.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everslide.model.dataset import augment
from everslide.model.places import PARENT_PX
from everslide.model.sketch import TOP_SCALE, Sketch
from everslide.model.slide import Slide
from everslide.model.stain import optical_density

Pixels = NDArray[np.uint8]
Origin = Literal["real", "sketch"]
KEPT = 48
"""Painted planes kept for each scale and origin."""
BORDER_PX = 16
"""Outer part of a painted crop that is not painted upon: it lacked neighbours."""


@dataclass(frozen=True)
class PaintedParent:
    """A parent (PARENT_PX, PARENT_PX, 3) uint8 of scale s + 1 for a child of scale s."""

    pixels: Pixels
    s: int
    origin: Origin


class PaintedParents:
    """Rings of painted planes by origin and scale. The `sketches` at the top are drawn once, with seeds from `rng`."""

    def __init__(self, rng: np.random.Generator, sketches: int) -> None:
        self._rings: dict[tuple[Origin, int], deque[Pixels]] = {}
        self._sketches = [_sketch_tile(rng) for _ in range(sketches)]

    def keep(self, child: Pixels, s: int, origin: Origin) -> None:
        """Keep a painted child (2 PARENT_PX, 2 PARENT_PX, 3) uint8 of scale s."""
        self._rings.setdefault((origin, s), deque(maxlen=KEPT)).append(child)

    def draw(self, s: int, origin: Origin, rng: np.random.Generator) -> PaintedParent | None:
        """A parent for a child of scale `s`, or None where nothing was painted yet."""
        if origin == "sketch" and s + 1 == TOP_SCALE:
            planes: list[Pixels] = self._sketches
            border = 0
        else:
            planes, border = list(self._rings.get((origin, s + 1), ())), BORDER_PX
        if not planes:
            return None
        for _attempt in range(6):
            plane = planes[int(rng.integers(len(planes)))]
            y, x = (border + int(rng.integers(side - PARENT_PX - 2 * border + 1)) for side in plane.shape[:2])
            pixels = plane[y : y + PARENT_PX, x : x + PARENT_PX]
            if rng.random() < 0.1 + 1.6 * float((optical_density(pixels[::2, ::2]).mean(-1) > 0.08).mean()):
                break
        if border == 0:
            pixels = augment(pixels, rng)
        return PaintedParent(np.ascontiguousarray(pixels), s, origin)


def _sketch_tile(rng: np.random.Generator) -> Pixels:
    """A sketched tile (256, 256, 3) with tissue on it."""
    while True:
        sketch = Sketch(Slide("training", int(rng.integers(2**31))), architecture=True)
        pixels = sketch.tile(int(rng.integers(4)), int(rng.integers(3)))
        if float((optical_density(pixels[::4, ::4]).mean(-1) > 0.08).mean()) > 0.12:
            return pixels

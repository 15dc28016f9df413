"""What was painted below real tissue, octave upon octave, with the real tissue of the same places beside it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everslide.model.places import CROP_PX, PARENT_PX, Place
from everslide.model.stain import optical_density

Pixels = NDArray[np.uint8]
KEPT = 96
"""Painted planes kept for each scale."""
BORDER_PX = 16
"""Outer part of a painted crop that is not painted upon: it lacked neighbours."""
FREE_PX = CROP_PX - PARENT_PX - 2 * BORDER_PX
"""How far a parent can be moved within the rest."""


@dataclass(frozen=True)
class Parent:
    """pixels: (PARENT_PX, PARENT_PX, 3) uint8 to paint upon. children: the place of what is painted."""

    pixels: Pixels
    children: Place


class Descents:
    """Rings of painted planes by scale."""

    def __init__(self) -> None:
        self._rings: dict[int, deque[tuple[Pixels, Place]]] = {}

    def keep(self, painted: Pixels, place: Place) -> None:
        """Keep what was painted of a place, (CROP_PX, CROP_PX, 3) uint8, where there is real tissue to go on with."""
        if place.has_finer:
            self._rings.setdefault(place.s, deque(maxlen=KEPT)).append((painted, place))

    def draw(self, s: int, rng: np.random.Generator) -> Parent | None:
        """A painted parent for children of scale `s`, mostly of tissue, or None where nothing was painted yet."""
        ring = self._rings.get(s + 1)
        if not ring:
            return None
        for _attempt in range(6):
            plane, place = ring[int(rng.integers(len(ring)))]
            y, x = (BORDER_PX + int(rng.integers(FREE_PX + 1)) for _ in range(2))
            pixels = plane[y : y + PARENT_PX, x : x + PARENT_PX]
            if rng.random() < 0.1 + 1.6 * float((optical_density(pixels[::4, ::4]).mean(-1) > 0.08).mean()):
                break
        return Parent(np.ascontiguousarray(pixels), place.below(y, x))

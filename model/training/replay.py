"""Painted parents: what the network painted itself, from sketches down, kept to be painted upon.

A slide is eight octaves deep; no image is. So that small faults do not grow from octave to octave, a part of the
training goes on from the network's own work. It has no real child: what is painted there is held, as a set, against a
set of real places of the same organ and about the same colours (`everslide.model.training.loss.energy_distance`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everslide.model.geometry import TOP_SCALE
from everslide.model.mini.sections import make_sketch
from everslide.model.organs import conditioned, organ_of, palettes
from everslide.model.slide import Slide
from everslide.model.stain import optical_density
from everslide.model.training.places import CROP_PX, PARENT_PX, RIM_PX, TISSUE_DENSITY, Tissue, turned

Pixels = NDArray[np.uint8]
KEPT = 96
"""Painted places kept for each scale."""
SKETCHES = 48
CANDIDATES = 12
"""Real places that are looked at to find one of about the colours of a painted one."""
LEAST_TISSUE = 0.12
ATTEMPTS = 8


@dataclass(frozen=True)
class Place:
    """Painted pixels (side, side, 3) uint8, the organ that they are of, and the colour (3,) of the slide's glass."""

    pixels: Pixels
    organ: str
    glass: Pixels


class ReplayBuffer:
    """Painted places by scale; above the topmost of them, tiles of sketches of seeds from `rng`."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._painted: dict[int, deque[Place]] = {}
        self._sketches = [_sketch_tile(rng) for _ in range(SKETCHES)]

    def depth(self) -> int:
        """The finest scale that a parent can be drawn for."""
        return min(self._painted, default=TOP_SCALE)

    def keep(self, s: int, painted: Place) -> None:
        """Keep a painted place (CROP_PX, CROP_PX, 3) of scale s."""
        self._painted.setdefault(s, deque(maxlen=KEPT)).append(painted)

    def parent(self, s: int) -> Place:
        """A parent (PARENT_PX, PARENT_PX, 3) of scale s, mostly of tissue, turned at random where it is sketched."""
        places: Sequence[Place] = self._sketches if s == TOP_SCALE else self._painted[s]
        rim = 0 if s == TOP_SCALE else RIM_PX
        for _attempt in range(ATTEMPTS):
            place = places[int(self._rng.integers(len(places)))]
            y, x = (int(self._rng.integers(rim, side - PARENT_PX - rim + 1)) for side in place.pixels.shape[:2])
            crop = place.pixels[y : y + PARENT_PX, x : x + PARENT_PX]
            if self._rng.random() < 0.1 + 1.6 * _tissue(crop):
                break
        if not rim:
            crop = turned(crop, int(self._rng.integers(4)), bool(self._rng.random() < 0.5))
        return Place(np.array(crop), place.organ, place.glass)


def alike(tissue: Tissue, s: int, painted: Place, rng: np.random.Generator) -> Pixels:
    """Of several real places (CROP_PX, CROP_PX, 3) of scale s, the one nearest in colours to a painted one.

    They are of its organ where an image of that shows the scale, else of any."""
    wanted = _colours(painted.pixels)
    found = [tissue.spot(s, CROP_PX, rng, painted.organ) for _ in range(CANDIDATES)]
    nearest = min(found, key=lambda real: float(np.abs(_colours(real) - wanted).sum()))
    return turned(nearest, int(rng.integers(4)), bool(rng.random() < 0.5))


def _colours(pixels: Pixels) -> NDArray[np.float32]:
    """Mean colour, (3,).

    Not its deviation: a contrast that has grown from octave to octave would find its like among the real places, and
    never be mended.
    """
    mean: NDArray[np.float32] = pixels.reshape(-1, 3).astype(np.float32).mean(0)
    return mean


def _tissue(pixels: Pixels) -> float:
    return float((optical_density(pixels[::2, ::2]).mean(-1) > TISSUE_DENSITY).mean())


def _sketch_tile(rng: np.random.Generator) -> Place:
    """A tile (256, 256, 3) of a sketch with tissue on it."""
    while True:
        slide = Slide("training", int(rng.integers(2**31)))
        sketch = make_sketch(slide, reference=conditioned(slide, None, palettes(), real=False))
        pixels = sketch.tile(int(rng.integers(2)), int(rng.integers(2)))
        if _tissue(pixels) > LEAST_TISSUE:
            return Place(pixels, organ_of(slide, palettes()), sketch.glass)

"""Nuclei that the sketch draws where a pixel is fine enough to show them: round ones and those of spindle cells.

Each is a keyed function of the place alone, like all of `everslide.model.drawn_tissue`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everslide.model.value_noise import fractal, nearest, step

Doubles = NDArray[np.float64]
ROUND_UM, LONG_UM, THICK_UM = 9.5, 30.0, 13.0
"""Distance of round nuclei where they lie closest; of spindle nuclei along their fibres and across them."""
RADIUS_UM, SPINDLE, CHROMATIN_UM = 3.5, 0.19, 1.0
"""Radius of a round nucleus; of a spindle one, in its own distances; size of a clump of chromatin."""


GROWING = 0.12
"""A nucleus grows to its size while the share of places that are taken rises by so much: none is cut in two."""


@dataclass(frozen=True)
class Nuclei:
    """Places for nuclei. distance_um, radius_um: (H, W), from a sample to the middle of its nucleus, and the size of
    that. own: keyed, in [-1, 1). rim_um: over so much a nucleus fades. border: how far two cells meet in a sample.
    apart_um: distance of neighbours, beyond half of which none is seen. x, y: (H, W), um, about where its middle is:
    what is asked there is the same all over a nucleus."""

    distance_um: Doubles
    radius_um: Doubles
    own: Doubles
    rim_um: float
    border: Doubles
    apart_um: float
    x: Doubles
    y: Doubles

    def where(self, share: Doubles | float) -> Doubles:
        """What they cover where so much of all places is taken, 0 to 1. A wide rim covers no more than a sharp one."""
        grown = np.clip(((1.0 + 0.5 * GROWING) * share - 0.5 - 0.5 * self.own) / GROWING, 0.0, 1.0)
        radius = self.radius_um * np.sqrt(grown)
        area, rim = np.square(radius), np.minimum(self.rim_um, self.apart_um - 2.0 * radius)
        return np.asarray(step(radius - self.distance_um, 0.0, self.rim_um) * (area / (area + np.square(rim) / 20.0)))


def round_nuclei(seed: int, salt: int, x: Doubles, y: Doubles, rim_um: float) -> Nuclei:
    """Those of epithelium and lymphocytes, at samples x, y in um."""
    bent = 2.2 * fractal(seed, salt + 8, x, y, 16.0, 2)
    one = nearest(seed, salt, (x + bent) / ROUND_UM, (y - bent) / ROUND_UM)
    radius = RADIUS_UM * (1.0 + 0.35 * again(one.own))
    border = step(rim_um - 0.5 * (one.second - one.distance) * ROUND_UM, 0.0, rim_um)
    middle = one.x * ROUND_UM, one.y * ROUND_UM
    return Nuclei(one.distance * ROUND_UM, radius, one.own, rim_um, border, ROUND_UM, *middle)


def spindle_nuclei(
    seed: int, salt: int, along: Doubles, across: Doubles, rim_um: float, direction: tuple[float, float] = (1.0, 0.0)
) -> Nuclei:
    """Those of spindle cells, at samples in um along fibres and across them.

    direction: cosine and sine of the fibres. x and y of the nuclei are relative to their samples.
    """
    one = nearest(seed, salt, along / LONG_UM, across / THICK_UM)
    radius = SPINDLE * THICK_UM * (1.0 + 0.3 * again(one.own))
    ahead, aside = one.x * LONG_UM - along, one.y * THICK_UM - across
    middle = ahead * direction[0] - aside * direction[1], ahead * direction[1] + aside * direction[0]
    return Nuclei(one.distance * THICK_UM, radius, one.own, rim_um, np.zeros((1, 1)), THICK_UM, *middle)


def again(own: Doubles) -> Doubles:
    """Another keyed number in [-1, 1) from one."""
    return np.asarray((own * 64.0) % 2.0 - 1.0)

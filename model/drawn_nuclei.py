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


@dataclass(frozen=True)
class Nuclei:
    """Places for nuclei. cover: (H, W), how much of a sample its nucleus covers, 0 to 1. own: keyed, in [-1, 1).
    border: how much of it is where two cells meet."""

    cover: Doubles
    own: Doubles
    border: Doubles

    def where(self, share: Doubles | float) -> Doubles:
        """What they cover where so much of all places is taken, 0 to 1."""
        return np.asarray(self.cover * (0.5 + 0.5 * self.own < share))


def round_nuclei(seed: int, salt: int, x: Doubles, y: Doubles, rim_um: float) -> Nuclei:
    """Those of epithelium and lymphocytes, at samples x, y in um."""
    bent = 2.2 * fractal(seed, salt + 8, x, y, 16.0, 2)
    distance, second, own = nearest(seed, salt, (x + bent) / ROUND_UM, (y - bent) / ROUND_UM)
    radius = RADIUS_UM * (1.0 + 0.35 * again(own))
    border = step(rim_um - 0.5 * (second - distance) * ROUND_UM, 0.0, rim_um)
    return Nuclei(step(radius - distance * ROUND_UM, 0.0, rim_um), own, border)


def spindle_nuclei(seed: int, salt: int, along: Doubles, across: Doubles, rim_um: float) -> Nuclei:
    """Those of spindle cells, at samples in um along fibres and across them."""
    distance, _, own = nearest(seed, salt, along / LONG_UM, across / THICK_UM)
    radius = SPINDLE * (1.0 + 0.3 * again(own))
    return Nuclei(step(radius - distance, 0.0, rim_um / THICK_UM), own, np.zeros((1, 1)))


def again(own: Doubles) -> Doubles:
    """Another keyed number in [-1, 1) from one."""
    return np.asarray((own * 64.0) % 2.0 - 1.0)

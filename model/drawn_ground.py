"""Where which tissue lies on a sketched slide: lobules between septa, fat, glands, which way fibres run.

All of it changes slowly, over 100 um and more. So it is evaluated at nodes some um apart and is linear between them,
which makes it nearly free where a pixel is small. It is a keyed function of the place alone, like all that is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from everslide.model.make_up import DEVIATION, Edges
from everslide.model.value_noise import between_nodes, fractal, nearest, step

if TYPE_CHECKING:
    from everslide.model.conditions.reference import Reference

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
NODES_UM = 16.0
SECTION_UM, LOBULE_UM, SEPTUM_UM = 9000.0, 1500.0, 45.0
"""Over how much the make-up changes; distance of lobules; half the width of a septum between them."""
SEPTA = 0.13
"""Share of septa where there are lobules."""
MOTTLE = 0.18
"""How much denser or paler tissue is from one 50 um to the next: what pixels of 64 and 32 um have to show."""
OWN = 0.45
COMMON = float(np.sqrt(1.0 - (OWN / DEVIATION) ** 2 / 3.0))
"""How far a lobule decides alone whether it is fat or glands, and how far all around it does."""
DIRECTIONS = ((1.0, 0.0), (0.5, 3**0.5 / 2), (-0.5, 3**0.5 / 2))
"""Cosine and sine of the directions of fibres, before they are bent."""


@dataclass(frozen=True)
class Ground:
    """Fields (H, W).

    warp: um by which places are moved, along x one way and along y the other. fat, glands, tubules: shares,
    0 to 1, that do not overlap. tone: density over that of plain tissue. redder: how far it is eosin red. many: how
    many nuclei, about -1 to 2. bend: um by which fibres are. directions: (3, H, W), strength of each, 1 together.
    """

    warp: Floats
    fat: Floats
    glands: Floats
    tubules: Floats
    tone: Floats
    redder: Floats
    many: Floats
    bend: Floats
    directions: Floats


def ground_of(seed: int, reference: Reference | None, x: Doubles, y: Doubles, um_per_px: float) -> Ground:
    """That of a plain grid, x (1, W) and y (H, 1) in um. reference: whose make-up it shall have."""

    def fields(x: Doubles, y: Doubles) -> Floats:
        return _fields(seed, reference, x, y)

    values = between_nodes(fields, x, y, um_per_px, NODES_UM)
    warp, fatty, glandular, kind, inside_septum, lobular, own, redder, many, bend, mottle = values[:11]
    wide = max(30.0, um_per_px)
    drawn = step(inside_septum, 0.0, wide)
    septum = lobular * (SEPTA + seen(2.0 * SEPTUM_UM, um_per_px) * (drawn - SEPTA))
    fat = step(fatty, 0.0, 0.03) * (1.0 - (2.0 * septum).clip(0.0, 1.0))
    all_glands = step(glandular, 0.0, 0.08) * (1.0 - fat) * (1.0 - septum)
    tubular = step(kind, 0.0, 0.1)
    return Ground(
        warp=warp,
        fat=fat,
        glands=all_glands * (1.0 - tubular),
        tubules=all_glands * tubular,
        tone=(1.0 + lobular * 0.2 * own - 0.3 * septum) * (1.0 + MOTTLE * mottle),
        redder=redder + 0.8 * septum,
        many=many - 0.5 * septum,
        bend=bend,
        directions=values[11:],
    )


def _fields(seed: int, reference: Reference | None, x: Doubles, y: Doubles) -> Floats:
    """What changes slowly, (14, H, W), before edges are drawn: above 0 there is fat, are glands, tubules, septa."""
    edges = reference.edges(x, y) if reference else Edges()
    warp = 60.0 * fractal(seed, 901, x, y, 420.0, 3)
    u, v = x + warp, y - warp
    fatty, rich, kind = (fractal(seed, salt, x, y, SECTION_UM, 3) for salt in (904, 905, 906))
    wavy = [300.0 * fractal(seed, salt, u, v, 1300.0, 3) for salt in (991, 992)]
    far_u, far_v = x + wavy[0], y + wavy[1]
    lobule = nearest(seed, 994, far_u / LOBULE_UM, far_v / LOBULE_UM)
    lobular = step(fractal(seed, 995, x, y, SECTION_UM, 2), -0.15, 0.6)
    alone = OWN * lobular * lobule.own
    fat = COMMON * (fractal(seed, 902, u, v, 3000.0, 5, 0.6, turned=True) + 0.5 * fatty) + alone
    glands = COMMON * (fractal(seed, 903, u, v, 2600.0, 4, 0.6, turned=True) + 0.5 * rich) - alone
    strong = [np.exp(6.0 * fractal(seed, 931 + turn, u, v, 2200.0, 2)) for turn in range(3)]
    total = strong[0] + strong[1] + strong[2]
    fields = (
        warp,
        fat - edges.fat,
        glands - edges.glands,
        -kind,
        SEPTUM_UM + 0.06 * (wavy[0] + wavy[1]) - 0.5 * LOBULE_UM * (lobule.second - lobule.distance),
        lobular,
        lobule.own,
        0.2 + fractal(seed, 952, far_u + far_v, far_u - far_v, 1800.0, 4, 0.6),
        0.5 + edges.nuclei + 0.8 * fractal(seed, 951, 0.8 * far_u - 0.6 * far_v, 0.6 * far_u + 0.8 * far_v, 900.0, 3),
        70.0 * fractal(seed, 930, u, v, 600.0, 3),
        fractal(seed, 907, u, v, 320.0, 4, 0.9, turned=True),
        *(one / total for one in strong),
    )
    return np.stack([np.broadcast_to(one, warp.shape).astype(np.float32) for one in fields])


def seen(feature_um: float, um_per_px: float) -> float:
    """How much of a feature pixels of that size show: nothing below 1.2 pixels a feature, all from 2.5 on.

    One octave finer nearly all of it is there: what came in over several would be lost but for its edges, since a plane
    only adds what differs within the pixels of the one above it.
    """
    return float(np.clip((feature_um / um_per_px - 1.2) / 1.3, 0.0, 1.0))

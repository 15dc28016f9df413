"""Blood vessels that the sketch draws: a wall of muscle around a lumen, empty or with red cells.

Each is a keyed function of the place alone, like all of `everslide.model.drawn_tissue`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everslide.model.drawn_nuclei import spindle_nuclei
from everslide.model.value_noise import fractal, lattice, step

Doubles = NDArray[np.float64]
APART_UM, LEAST_UM, MOST_UM = 640.0, 14.0, 110.0
"""Distance of neighbouring vessels; radius of the smallest and the largest."""
FILLED_UM = 30.0
"""A smaller one is full of red cells: seen from afar, it is no paler than what is around it."""
COARSEST_UM = 24.0
"""A larger pixel shows none."""
REACH_UM = 150.0
"""So far a sample may lie from where it is drawn: their outlines are bent as all tissue is."""
MUSCLE, EMPTY = np.array([1.1, 1.3, 1.2, 0.0]), np.array([0.08, 0.08, 0.08, 0.0])
RED_CELLS, NUCLEUS = np.array([0.5, 1.45, 1.15, 0.0]), np.array([1.2, 1.2, 1.1, 1.0])
"""Density over that of plain tissue in red, green and blue; how much of it is nucleus."""


def draw_vessels(
    seed: int, salt: int, out: Doubles, x: Doubles, y: Doubles, bent: tuple[Doubles, Doubles], um_per_px: float
) -> None:
    """Draw vessels over the density `out` (H, W, 4) of a plain grid x, y in um. bent: (H, W), its samples as bent."""
    if um_per_px > COARSEST_UM:
        return
    far = MOST_UM + REACH_UM
    first = [int(np.floor((axis.min() - far) / APART_UM)) for axis in (x, y)]
    last = [int(np.floor((axis.max() + far) / APART_UM)) for axis in (x, y)]
    for row in range(first[1], last[1] + 1):
        for col in range(first[0], last[0] + 1):
            own = lattice(seed, salt, np.arange(6) * 7919 + col, np.full(6, row))
            centre = (col + 0.5 + 0.3 * own[0]) * APART_UM, (row + 0.5 + 0.3 * own[1]) * APART_UM
            cols, rows = (np.nonzero(np.abs(a - c) < far)[0] for a, c in zip((x[0], y[:, 0]), centre, strict=True))
            if own[2] < 0.5 and cols.size and rows.size:
                part = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
                _draw(seed, salt, out[part], (bent[0][part] - centre[0], bent[1][part] - centre[1]), own, um_per_px)


def _draw(seed: int, salt: int, out: Doubles, away: tuple[Doubles, Doubles], own: Doubles, um_per_px: float) -> None:
    """One vessel. away: (H, W), um from its centre. own: its six keyed numbers in [-1, 1)."""
    radius = LEAST_UM + (MOST_UM - LEAST_UM) * (0.5 + 0.5 * own[3]) ** 4
    cosine, sine = np.cos(np.pi * own[4]), np.sin(np.pi * own[4])
    along, across = away[0] * cosine + away[1] * sine, (away[1] * cosine - away[0] * sine) * (1.0 + 0.7 * own[0] ** 2)
    distance = np.hypot(along, across)
    if distance.min() > radius + um_per_px:
        return
    rim = max(2.0, um_per_px)
    hollow = radius * (0.55 if own[5] > 0 else 0.82)  # an artery or a vein
    inside, lumen = step(radius - distance, 0.0, rim), step(hollow - distance, 0.0, rim)[..., None]
    wall, content = MUSCLE, EMPTY
    if um_per_px < LEAST_UM / 2:
        around = np.arctan2(across, along) * radius
        nuclei = spindle_nuclei(seed, salt + 1, around, distance, rim).where(0.6)
        wall = MUSCLE + nuclei[..., None] * (NUCLEUS - MUSCLE)
    if radius < FILLED_UM or own[1] + own[4] > 0:
        cells = 0.8 + 0.3 * fractal(seed, salt + 2, along, across, 7.0, 1) if um_per_px < 3.5 else np.full((1, 1), 0.8)
        filled = step(1.1 * (radius < FILLED_UM) + own[2] + 0.9 - 0.6 * distance / hollow, 0.0, 0.2)
        content = EMPTY + (filled * cells)[..., None] * (RED_CELLS - EMPTY)
    drawn = wall + lumen * (content - wall)
    out += inside[..., None] * (drawn - out)

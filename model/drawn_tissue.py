"""The tissue that the sketch draws: fat, glands, bundles of fibres, with vessels and nuclei among them.

A relative density of every place, and how much of it is nucleus. Each is a keyed function of the place alone, and shows
what pixels of a size can show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from everslide.model.drawn_nuclei import CHROMATIN_UM, Nuclei, again, round_nuclei, spindle_nuclei
from everslide.model.drawn_vessels import draw_vessels
from everslide.model.make_up import Edges
from everslide.model.value_noise import fractal, nearest, step

if TYPE_CHECKING:
    from everslide.model.conditions.reference import Reference

Doubles = NDArray[np.float64]
SECTION_UM, FAT_UM, GLAND_UM, FIBRE_UM, NUCLEI_UM, NUCLEUS_UM = 9000.0, 90.0, 260.0, 60.0, 26.0, 9.0
"""Over how much the make-up changes; distance of fat cells and of glands, width of a bundle of fibres, distance of
groups of nuclei, size of one."""
FIBRIL_UM, WALL_UM, TUBULE = 9.0, 4.5, 0.62
"""Width of a fibre in its bundle and of the wall of a fat cell; width of a tubule over that of a gland."""
PLAIN, LUMEN = np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.06, 0.06, 0.06, 0.0])
FAT, WALL = np.array([0.05, 0.05, 0.05, 0.0]), np.array([1.25, 1.35, 1.25, 0.0])
CYTOPLASM, NUCLEUS = np.array([1.05, 1.1, 1.05, 0.0]), np.array([1.2, 1.2, 1.1, 1.0])
SECRETION, REDDER = np.array([0.35, 0.7, 0.6, 0.0]), np.array([-0.16, 0.14, 0.02, 0.0])
"""Density over that of plain tissue in red, green and blue; how much of it is nucleus."""
IN_EPITHELIUM, IN_INFILTRATE, IN_STROMA = 0.33, 0.415, 0.117
"""Share of nuclei where all places for them are taken: of round ones, these too among fibres, and of spindle cells."""
EPITHELIUM = CYTOPLASM + IN_EPITHELIUM * (NUCLEUS - CYTOPLASM)
RIM_UM = 1.0
"""A nucleus fades into what is around it over so much, or over a pixel."""
NO_NUCLEI = Nuclei(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
DIRECTIONS = ((1.0, 0.0), (0.5, 3**0.5 / 2), (-0.5, 3**0.5 / 2))
"""Cosine and sine of the directions of fibres, before they are bent."""


class DrawnTissue:
    """Relative density of a slide's tissue at any place, 1 where there is nothing special."""

    def __init__(self, seed: int, reference: Reference | None = None) -> None:
        """reference: whose make-up the tissue shall have."""
        self._seed, self._reference = seed, reference

    def density(self, x: Doubles, y: Doubles, um_per_px: float) -> Doubles:
        """Relative density of red, green and blue, and nuclei (H, W, 4); what a pixel cannot show is averaged over.

        x, y: both (H, W), or (1, W) and (H, 1), see `everslide.model.value_noise`.
        """
        seed, edges = self._seed, self._reference.edges(x, y) if self._reference else Edges()
        warp = 60.0 * fractal(seed, 901, x, y, 420.0, 3)
        u, v = x + warp, y - warp
        fatty, rich, kind = (fractal(seed, salt, x, y, SECTION_UM, 3) for salt in (904, 905, 906))
        fat = step(fractal(seed, 902, u, v, 3000.0, 5, 0.6) + 0.5 * fatty, edges.fat, 0.03)
        glandular = step(fractal(seed, 903, u, v, 2600.0, 4, 0.6) + 0.5 * rich, edges.glands, 0.08) * (1.0 - fat)
        nuclei = round_nuclei(seed, 970, x, y, max(RIM_UM, um_per_px)) if um_per_px < NUCLEUS_UM else NO_NUCLEI
        out = self._stroma(u, v, x, y, nuclei, um_per_px, edges.nuclei)
        glands = glandular * step(kind, 0.05, 0.08)
        if glands.any():
            out = out + glands[..., None] * (self._glands(920, u, v, um_per_px, out, nuclei) - out)
        tubules = glandular * step(-kind, 0.05, 0.08)
        if tubules.any():
            along, across = (u + v) * (0.4 * TUBULE), (v - u) * TUBULE
            out = out + tubules[..., None] * (self._glands(925, along, across, um_per_px, out, nuclei) - out)
        if fat.any():
            out = out + fat[..., None] * (self._fat(u, v, um_per_px) - out)
        draw_vessels(seed, 980, out, x, y, (u, v), um_per_px)
        if um_per_px <= CHROMATIN_UM:
            out[..., 3] *= 1.0 + 0.35 * fractal(seed, 985, x, y, 2.0 * CHROMATIN_UM, 2)
        return out

    def _fat(self, x: Doubles, y: Doubles, um_per_px: float) -> Doubles:
        """Bright cells with thin walls, as thin as a pixel shows them and no darker than they are."""
        first, second, _ = nearest(self._seed, 910, x / FAT_UM, y / FAT_UM)
        width = max(WALL_UM, um_per_px) / FAT_UM
        wall = step(width - 0.5 * (second - first), 0.5 * width, width) * (WALL_UM / FAT_UM / width)
        mean = 2.0 * WALL_UM / FAT_UM
        share = mean + seen(FAT_UM, um_per_px) * (wall - mean)
        return np.asarray(FAT + share[..., None] * (WALL - FAT))

    def _stroma(
        self,
        u: Doubles,
        v: Doubles,
        x: Doubles,
        y: Doubles,
        round_: Nuclei,
        um_per_px: float,
        more: Doubles | float,
    ) -> Doubles:
        """Bundles of fibres along one of three directions, which give way to each other, with clefts between some of
        them; among them groups of nuclei, many here and few there, `more` of them than usual (H, W, 4)."""
        seed = self._seed
        bend = 70.0 * fractal(seed, 930, u, v, 600.0, 3)
        drawn, total, most = np.zeros_like(u), np.zeros_like(u), np.zeros_like(u)
        strongest, ways = np.zeros(u.shape, np.int64), []
        for turn, (cosine, sine) in enumerate(DIRECTIONS):
            weight = np.exp(6.0 * fractal(seed, 931 + turn, u, v, 2200.0, 2))
            ways.append((u * cosine + v * sine, v * cosine - u * sine + bend))
            drawn += weight * fractal(seed, 940 + turn, ways[turn][0] / 9.0, ways[turn][1], FIBRE_UM, 3, 0.7)
            strongest[weight > most] = turn
            total, most = total + weight, np.maximum(most, weight)
        bundle = drawn / total
        cleft = step(bundle, 0.76, 0.16)
        share = (1.0 + 0.34 * bundle) * (1.0 - 0.7 * cleft)
        fibres = 1.0 + seen(FIBRE_UM, um_per_px) * (share - 1.0)
        fine, spindle = np.zeros_like(u), np.zeros_like(u)
        redder = (0.2 + fractal(seed, 952, u, v, 1300.0, 4, 0.6)).clip(-0.2, 1.0)[..., None] * REDDER
        many = 0.5 + more + 0.8 * fractal(seed, 951, x, y, 900.0, 3)
        group = step(fractal(seed, 950, x, y, NUCLEI_UM, 2) + 0.35 * many, 0.55, 0.35)
        apart = seen(NUCLEI_UM, um_per_px)
        group = apart * group + (1.0 - apart) * step(0.35 * many, 0.55, 0.9)
        taken, infiltrate = 0.35 + 0.5 * group, group * step(many, 0.8, 0.6)
        cover = (IN_STROMA * taken + IN_INFILTRATE * infiltrate) * (1.0 - cleft)
        if um_per_px < NUCLEUS_UM:
            for turn, (along, across) in enumerate(ways):
                here = strongest == turn
                if here.any():
                    at = along[here][None], across[here][None]
                    nuclei = spindle_nuclei(seed, 960, *at, max(RIM_UM, um_per_px))
                    spindle[here] = nuclei.where(taken[here][None])[0]
                    fine[here] = fractal(seed, 945, at[0] / 7.0, at[1], FIBRIL_UM, 2, 0.7)[0]
            fibres = fibres * (1.0 + 0.28 * seen(FIBRIL_UM, um_per_px) * fine)
            cover = np.maximum(spindle, round_.where(infiltrate)) * (1.0 - cleft)
        return np.asarray(fibres[..., None] * (PLAIN + redder + cover[..., None] * (NUCLEUS - PLAIN)))

    def _glands(self, salt: int, x: Doubles, y: Doubles, um_per_px: float, stroma: Doubles, round_: Nuclei) -> Doubles:
        """Rings of epithelium, some around a lumen, which may hold a secretion, in looser stroma (H, W, 4)."""
        distance, _, own = nearest(self._seed, salt, x / GLAND_UM, y / GLAND_UM)
        ragged = distance * (1.0 + 0.25 * fractal(self._seed, salt + 4, x, y, 90.0, 2))
        radius = 0.36 + 0.10 * own
        inside = step(radius - ragged, 0.0, 0.05)
        lumen = step(radius * (0.45 + 0.25 * own) - ragged, 0.0, 0.05)
        held = step(again(own), 0.45, 0.1) * step(radius * (0.36 + 0.25 * own) - ragged, 0.0, 0.04)
        cells = EPITHELIUM
        if um_per_px < NUCLEUS_UM:
            membrane = 1.0 + 0.15 * round_.border[..., None]
            cells = CYTOPLASM * membrane + round_.where(0.8)[..., None] * (NUCLEUS - CYTOPLASM)
        hollow = LUMEN + held[..., None] * (SECRETION - LUMEN)
        ring = cells + lumen[..., None] * (hollow - cells)
        around = 0.82 * stroma
        drawn = around + inside[..., None] * (ring - around)
        mean = 0.62 * 0.82 * PLAIN + 0.38 * (0.8 * EPITHELIUM + 0.2 * LUMEN)
        return np.asarray(mean + seen(GLAND_UM / 2, um_per_px) * (drawn - mean))


def seen(feature_um: float, um_per_px: float) -> float:
    """How much of a feature pixels of that size show: nothing below 1.5 pixels a feature, all from 4 on."""
    return float(np.clip((feature_um / um_per_px - 1.5) / 2.5, 0.0, 1.0))

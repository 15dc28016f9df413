"""The tissue that the sketch draws: fat, glands, bundles of fibres, with vessels and nuclei among them.

A relative density of every place, and how much of it is nucleus. Each is a keyed function of the place alone, and shows
what pixels of a size can show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from everslide.model.drawn_ground import DIRECTIONS, Ground, ground_of, seen
from everslide.model.drawn_nuclei import CHROMATIN_UM, Nuclei, again, round_nuclei, spindle_nuclei
from everslide.model.drawn_vessels import draw_vessels
from everslide.model.value_noise import fractal, nearest, step

if TYPE_CHECKING:
    from everslide.model.conditions.reference import Reference

Doubles = NDArray[np.float64]
FAT_UM, GLAND_UM, FIBRE_UM, NUCLEI_UM, NUCLEUS_UM = 90.0, 260.0, 60.0, 26.0, 9.0
"""Distance of fat cells and of glands, width of a bundle of fibres, distance of groups of nuclei, size of one."""
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
LOOSE = 0.82
"""Density around glands over that of other stroma."""
RIM_UM = 1.0
"""A nucleus fades into what is around it over so much, or over a pixel."""


class DrawnTissue:
    """Relative density of a slide's tissue at any place, 1 where there is nothing special."""

    def __init__(self, seed: int, reference: Reference | None = None) -> None:
        """reference: whose make-up the tissue shall have."""
        self._seed, self._reference = seed, reference

    def density(self, x: Doubles, y: Doubles, um_per_px: float) -> Doubles:
        """Relative density of red, green and blue, and nuclei (H, W, 4); what a pixel cannot show is averaged over.

        x, y: a plain grid, (1, W) and (H, 1), in um.
        """
        seed, ground = self._seed, ground_of(self._seed, self._reference, x, y, um_per_px)
        u, v = x + ground.warp, y - ground.warp
        nuclei = round_nuclei(seed, 970, x, y, max(RIM_UM, um_per_px)) if um_per_px < NUCLEUS_UM else None
        out = self._stroma(ground, (u, v), (x, y), nuclei, um_per_px)
        if ground.glands.any():
            out = self._glands(920, ground.glands, (u, v), um_per_px, out, nuclei)
        if ground.tubules.any():
            stretched = (u + v) * (0.4 * TUBULE), (v - u) * TUBULE
            out = self._glands(925, ground.tubules, stretched, um_per_px, out, nuclei)
        if ground.fat.any():
            out = out + ground.fat[..., None] * (self._fat(u, v, um_per_px) - out)
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
        ground: Ground,
        bent: tuple[Doubles, Doubles],
        place: tuple[Doubles, Doubles],
        round_: Nuclei | None,
        um_per_px: float,
    ) -> Doubles:
        """Bundles of fibres along one of three directions, which give way to each other, with clefts between some of
        them; among them groups of nuclei, many here and few there (H, W, 4)."""
        seed, (u, v) = self._seed, bent
        ways = [(u * cosine + v * sine, v * cosine - u * sine + ground.bend) for cosine, sine in DIRECTIONS]
        bundle = np.zeros_like(u)
        for turn, (along, across) in enumerate(ways):
            bundle += ground.directions[turn] * fractal(seed, 940 + turn, along / 9.0, across, FIBRE_UM, 3, 0.7)
        cleft = step(bundle, 0.76, 0.16)
        share = (1.0 + 0.34 * bundle) * (1.0 - 0.7 * cleft)
        fibres = ground.tone * (1.0 + seen(FIBRE_UM, um_per_px) * (share - 1.0))
        group, ordered = self._groups(ground, place, um_per_px), np.sort(ground.directions, axis=0)
        surely = step(ordered[2] - ordered[1], 0.05, 0.1)  # no nucleus lies across where one direction gives way
        taken, infiltrate = (0.35 + 0.5 * group) * surely, group * step(ground.many, 0.8, 0.6)
        cover = IN_STROMA * taken + IN_INFILTRATE * infiltrate
        if round_ is not None:
            fine, spindle = np.zeros_like(u), np.zeros_like(u)
            strongest = np.argmax(ground.directions, axis=0)
            for turn, (along, across) in enumerate(ways):
                here = strongest == turn
                if here.any():
                    at = along[here][None], across[here][None]
                    nuclei = spindle_nuclei(seed, 960, *at, round_.rim_um)
                    spindle[here] = nuclei.where(taken[here][None])[0]
                    fine[here] = fractal(seed, 945, at[0] / 7.0, at[1], FIBRIL_UM, 3, 0.7)[0]
            fibrils = (1.0 + 0.4 * fine) * (1.0 - 0.5 * step(fine, 0.7, 0.3))
            fibres = fibres * (1.0 + seen(FIBRIL_UM, um_per_px) * (fibrils - 1.0))
            cover = np.maximum(spindle, round_.where(infiltrate))
        cover = cover * (1.0 - cleft)
        plain = PLAIN + ground.redder.clip(-0.2, 1.0)[..., None] * REDDER
        return np.asarray(fibres[..., None] * (plain + cover[..., None] * (NUCLEUS - PLAIN)))

    def _groups(self, ground: Ground, place: tuple[Doubles, Doubles], um_per_px: float) -> Doubles:
        """How far places for nuclei are taken, in groups; where a pixel shows no groups, on average over them."""
        group = step(fractal(self._seed, 950, *place, NUCLEI_UM, 2) + 0.35 * ground.many, 0.55, 0.35)
        mean = step(0.35 * ground.many, 0.54, 2.36)
        return np.asarray(mean + seen(NUCLEI_UM, um_per_px) * (group - mean))

    def _glands(
        self,
        salt: int,
        share: NDArray[np.float32],
        place: tuple[Doubles, Doubles],
        um_per_px: float,
        stroma: Doubles,
        round_: Nuclei | None,
    ) -> Doubles:
        """Rings of epithelium, some around a lumen, which may hold a secretion, in looser stroma (H, W, 4).

        share: of the place that is glandular; where it falls to 0 glands become small, and none is cut.
        """
        (x, y), mean = place, LOOSE * PLAIN * 0.62 + 0.38 * (0.8 * EPITHELIUM + 0.2 * LUMEN)
        whole = stroma + share[..., None] * (mean - stroma)
        visible, soft = seen(GLAND_UM, um_per_px), max(0.05, um_per_px / GLAND_UM)
        if not visible:
            return np.asarray(whole)
        distance, _, own = nearest(self._seed, salt, x / GLAND_UM, y / GLAND_UM)
        ragged = distance * (1.0 + 0.25 * fractal(self._seed, salt + 4, x, y, 90.0, 2))
        radius = (0.36 + 0.10 * own) * np.sqrt(share)
        inside = step(radius - ragged, 0.0, soft) * share.clip(0.0, 0.1) * 10.0
        lumen = step(radius * (0.45 + 0.25 * own) - ragged, 0.0, soft)
        held = step(again(own), 0.45, 0.1) * step(radius * (0.36 + 0.25 * own) - ragged, 0.0, soft)
        cells = EPITHELIUM
        if round_ is not None:
            membrane = 1.0 + 0.15 * round_.border[..., None]
            cells = CYTOPLASM * membrane + round_.where(0.8)[..., None] * (NUCLEUS - CYTOPLASM)
        hollow = LUMEN + held[..., None] * (SECRETION - LUMEN)
        ring = cells + lumen[..., None] * (hollow - cells)
        around = stroma * (1.0 - (1.0 - LOOSE) * share[..., None])
        drawn = around + inside[..., None] * (ring - around)
        return np.asarray(whole + visible * (drawn - whole))

"""The tissue that the sketch draws: fat, glands, bundles of fibres, with vessels and nuclei among them.

A relative density of every place, and how much of it is nucleus. Each is a keyed function of the place alone, and shows
what pixels of a size can show.
"""

from __future__ import annotations

from dataclasses import dataclass
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
Floats = NDArray[np.float32]
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
TURNED = 0.8, 0.6
"""Cosine and sine by which groups of nuclei are turned: along the axes of the slide they look square."""
RIM_UM = 1.0
"""A nucleus fades into what is around it over so much, or over a pixel."""


@dataclass(frozen=True)
class _View:
    """What is looked at. x (1, W), y (H, 1): a plain grid in um. u, v: (H, W), its places as they are moved.

    ways: (H, W) um along and across each of the DIRECTIONS of fibres. nuclei: round ones, where a pixel shows any.
    """

    x: Doubles
    y: Doubles
    um_per_px: float
    ground: Ground
    u: Doubles
    v: Doubles
    ways: list[tuple[Doubles, Doubles]]
    nuclei: Nuclei | None


class DrawnTissue:
    """Relative density of a slide's tissue at any place, 1 where there is nothing special."""

    def __init__(self, seed: int, reference: Reference | None = None) -> None:
        """reference: whose make-up the tissue shall have."""
        self._seed, self._reference = seed, reference

    def density(self, x: Doubles, y: Doubles, um_per_px: float) -> Doubles:
        """Relative density of red, green and blue, and nuclei (H, W, 4); what a pixel cannot show is averaged over.

        x, y: a plain grid, (1, W) and (H, 1), in um.
        """
        view = self._view(x, y, um_per_px)
        ground, u, v = view.ground, view.u, view.v
        out = self._stroma(view)
        if ground.glands.any():
            out = self._glands(920, ground.glands, (u, v), view, out)
        if ground.tubules.any():
            stretched = (u + v) * (0.4 * TUBULE), (v - u) * TUBULE
            out = self._glands(925, ground.tubules, stretched, view, out)
        if ground.fat.any():
            out = out + ground.fat[..., None] * (self._fat(view) - out)
        draw_vessels(self._seed, 980, out, x, y, (u, v), um_per_px)
        if um_per_px <= CHROMATIN_UM:
            out[..., 3] *= 1.0 + 0.35 * fractal(self._seed, 985, x, y, 2.0 * CHROMATIN_UM, 2)
        return out

    def _view(self, x: Doubles, y: Doubles, um_per_px: float) -> _View:
        ground = ground_of(self._seed, self._reference, x, y, um_per_px)
        u, v = x + ground.warp, y - ground.warp
        ways = [(u * cosine + v * sine, v * cosine - u * sine + ground.bend) for cosine, sine in DIRECTIONS]
        shown = um_per_px < NUCLEUS_UM
        nuclei = round_nuclei(self._seed, 970, x, y, max(RIM_UM, um_per_px)) if shown else None
        return _View(x, y, um_per_px, ground, u, v, ways, nuclei)

    def _fat(self, view: _View) -> Doubles:
        """Bright cells with thin walls, as thin as a pixel shows them and no darker than they are (H, W, 4)."""
        cell = nearest(self._seed, 910, view.u / FAT_UM, view.v / FAT_UM)
        width = max(WALL_UM, view.um_per_px) / FAT_UM
        wall = step(width - 0.5 * (cell.second - cell.distance), 0.5 * width, width) * (WALL_UM / FAT_UM / width)
        mean = 2.0 * WALL_UM / FAT_UM
        share = mean + seen(FAT_UM, view.um_per_px) * (wall - mean)
        return np.asarray(FAT + share[..., None] * (WALL - FAT))

    def _stroma(self, view: _View) -> Doubles:
        """Bundles of fibres along one of three directions, which give way to each other, with clefts between some of
        them; among them groups of nuclei, many here and few there (H, W, 4)."""
        ground, bundle = view.ground, np.zeros_like(view.u)
        visible = seen(FIBRE_UM, view.um_per_px)
        for turn, (along, across) in enumerate(view.ways if visible else ()):
            bundle += ground.directions[turn] * fractal(self._seed, 940 + turn, along / 9.0, across, FIBRE_UM, 3, 0.7)
        cleft = visible * step(bundle, 0.8, max(0.07, view.um_per_px / 45.0))
        share = (1.0 + 0.34 * bundle) * (1.0 - 0.85 * cleft)
        cover, fibrils = self._among_fibres(view)
        fibres = ground.tone * (1.0 + visible * (share - 1.0))
        fibres = fibres * (1.0 + seen(FIBRIL_UM, view.um_per_px) * (fibrils - 1.0))
        plain = PLAIN + ground.redder.clip(-0.2, 1.0)[..., None] * REDDER
        return np.asarray(fibres[..., None] * (plain + (cover * (1.0 - cleft))[..., None] * (NUCLEUS - PLAIN)))

    def _among_fibres(self, view: _View) -> tuple[Doubles, Doubles]:
        """How much of a sample is nucleus, and how dense its fibrils are over plain tissue, (H, W) each."""
        ground, (x, y) = view.ground, np.broadcast_arrays(view.x, view.y)
        ordered = np.sort(ground.directions, axis=0)
        surely = step(ordered[2] - ordered[1], 0.05, 0.1)  # no nucleus lies across where one direction gives way
        if view.nuclei is None:
            group = self._group(ground.many, view.x, view.y, view.um_per_px)
            cover = IN_STROMA * _spindles(group) * surely + IN_INFILTRATE * _infiltrate(group, ground.many)
            return cover, np.ones((1, 1))
        group = self._group(ground.many, view.nuclei.x, view.nuclei.y, view.um_per_px)
        cover = view.nuclei.where(_infiltrate(group, ground.many))
        fine, strongest = np.zeros_like(cover), np.argmax(ground.directions, axis=0)
        for turn, (along, across) in enumerate(view.ways):
            here = strongest == turn
            if here.any():
                at = along[here][None], across[here][None]
                nuclei = spindle_nuclei(self._seed, 960, *at, view.nuclei.rim_um, DIRECTIONS[turn])
                group = self._group(ground.many[here], x[here] + nuclei.x, y[here] + nuclei.y, view.um_per_px)
                cover[here] = np.maximum(cover[here], nuclei.where(_spindles(group) * surely[here])[0])
                fine[here] = fractal(self._seed, 945, at[0] / 7.0, at[1], FIBRIL_UM, 3, 0.7)[0]
        return cover, (1.0 + 0.4 * fine) * (1.0 - 0.5 * step(fine, 0.7, 0.3))

    def _group(self, many: Floats, x: Doubles, y: Doubles, um_per_px: float) -> Doubles:
        """How far places for nuclei lie in a group, 0 to 1; where a pixel shows no groups, on average over them."""
        if um_per_px < NUCLEUS_UM:  # whole nuclei, the same ones in every plane
            return self._groups(many, x, y)
        mean, quarter = step(0.35 * many, 0.54, 2.36), 0.25 * um_per_px
        visible = seen(NUCLEI_UM, 0.5 * um_per_px)
        if not visible:
            return np.asarray(mean)
        parts = [self._groups(many, x + dx, y + dy) for dx in (-quarter, quarter) for dy in (-quarter, quarter)]
        return np.asarray(mean + visible * (0.25 * (parts[0] + parts[1] + parts[2] + parts[3]) - mean))

    def _groups(self, many: Floats, x: Doubles, y: Doubles) -> Doubles:
        """Groups as they are at points."""
        cosine, sine = TURNED
        noise = fractal(self._seed, 950, x * cosine - y * sine, x * sine + y * cosine, NUCLEI_UM, 2)
        return np.asarray(step(noise + 0.35 * many, 0.55, 0.35))

    def _glands(
        self, salt: int, share: Floats, place: tuple[Doubles, Doubles], view: _View, stroma: Doubles
    ) -> Doubles:
        """Rings of epithelium, some around a lumen, which may hold a secretion, in looser stroma (H, W, 4).

        share: of the place that is glandular; where it falls to 0 glands become small, and none is cut.
        """
        mean = LOOSE * PLAIN * 0.62 + 0.38 * (0.8 * EPITHELIUM + 0.2 * LUMEN)
        whole = stroma + share[..., None] * (mean - stroma)
        visible, soft = seen(GLAND_UM, view.um_per_px), max(0.05, view.um_per_px / GLAND_UM)
        if not visible:
            return np.asarray(whole)
        x, y = place
        gland = nearest(self._seed, salt, x / GLAND_UM, y / GLAND_UM)
        ragged = gland.distance * (1.0 + 0.25 * fractal(self._seed, salt + 4, x, y, 90.0, 2))
        radius = (0.36 + 0.10 * gland.own) * np.sqrt(share)
        inside = step(radius - ragged, 0.0, soft) * (10.0 * share).clip(0.0, 1.0)
        lumen = step(radius * (0.45 + 0.25 * gland.own) - ragged, 0.0, soft)
        held = step(again(gland.own), 0.45, 0.1) * step(radius * (0.36 + 0.25 * gland.own) - ragged, 0.0, soft)
        cells = EPITHELIUM
        if view.nuclei is not None:
            membrane = 1.0 + 0.15 * view.nuclei.border[..., None]
            cells = CYTOPLASM * membrane + view.nuclei.where(0.8)[..., None] * (NUCLEUS - CYTOPLASM)
        hollow = LUMEN + held[..., None] * (SECRETION - LUMEN)
        ring = cells + lumen[..., None] * (hollow - cells)
        around = stroma * (1.0 - (1.0 - LOOSE) * share[..., None])
        drawn = around + inside[..., None] * (ring - around)
        return np.asarray(whole + visible * (drawn - whole))


def _spindles(group: Doubles) -> Doubles:
    """Share of places for spindle nuclei that are taken."""
    return np.asarray(0.35 + 0.5 * group)


def _infiltrate(group: Doubles, many: Floats) -> Doubles:
    """Share of places for round nuclei that are taken among fibres."""
    return np.asarray(group * step(many, 0.8, 0.6))

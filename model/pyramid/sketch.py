"""The topmost plane of a slide: which sections lie where on the glass, and their coarse make-up.

It has no parent to be painted from, so it is drawn: sections of tissue with wavy outlines, clefts and lumens, made of
three to five kinds of tissue, in colours measured on one stained slide for each seed. Everything is keyed by place,
so any tile of an endless slide can be drawn on its own. All finer planes are painted by the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from everslide.model.geometry import TILE_PX, TOP_SCALE, mpp
from everslide.model.organs import palettes
from everslide.model.pyramid.keyed_noise import raw_bits
from everslide.model.pyramid.value_noise import fractal, step
from everslide.model.slide import Slide

if TYPE_CHECKING:
    from everslide.model.style_reference import Reference

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]
SKETCH_FORMAT = 11
"""Part of every fingerprint: raise it when the same seed would give another sketch."""
CELL_UM = 22_000.0
"""About the distance of neighbouring sections."""
WARP_UM, OUTLINE_UM = 2400.0, 10.0
"""Size of the waves of an outline, and how sharp it is at most."""
SURELY_INSIDE = 0.5
"""No outline comes nearer to the middle of its section than this part of its radius."""
FINE = 2
"""Sub-samples a side in each pixel."""
PATCH_UM, GRAIN_UM, GRAIN, GRAIN_KEPT = 1800.0, 800.0, 0.7, 1.5
"""Size of the patches of one kind of tissue; size, strength and falloff of the grain on them. Fitted to the deviations
within blocks of 2 to 16 px that real sections have (`octaves` of SECTIONS)."""


@dataclass(frozen=True)
class _Section:
    """One section: centre and radius in um, outline harmonics, kinds of tissue with their shares."""

    x_um: float
    y_um: float
    radius_um: float
    stretch: float
    turn: float
    harmonics: Doubles  # (6, 2): amplitude, phase
    kinds: Doubles  # (n, 3) colours
    salt: int


class Sketch:
    """Draws tiles of the topmost plane of a slide."""

    real = False

    def __init__(self, slide: Slide, s: int = TOP_SCALE, reference: Reference | None = None) -> None:
        """reference: whose colours the tissue shall have."""
        self.slide, self.s = slide, s
        self._regions = reference.regions if reference else ()
        everywhere = reference.everywhere if reference else None
        self._palette = everywhere.colours.astype(np.float64) if everywhere else None
        told = reference.digest if reference else ""
        self.fingerprint = f"sketch {SKETCH_FORMAT} {told}"
        self.um_per_px = mpp(s)
        width_um, height_um = slide.width_px * mpp(0), slide.height_px * mpp(0)
        self._cell_x = width_um / max(1, round(width_um / CELL_UM))
        self._cell_y = height_um / max(1, round(height_um / CELL_UM))
        self._cells = (max(1, round(width_um / CELL_UM)), max(1, round(height_um / CELL_UM)))
        tint = _uniform(slide.seed, "glass", 0, 0, 4)
        self.glass = np.array([242 + 4 * tint[0], 241 + 4 * tint[0], 243 + 4 * tint[0]]).astype(np.uint8)

    def tile(self, col: int, row: int) -> Pixels:
        """Tile (256, 256, 3) uint8. Always drawn whole: float sums then never depend on the region asked for."""
        side = TILE_PX * FINE
        within: Doubles = (np.arange(side, dtype=np.float64) + 0.5) * (self.um_per_px / FINE)
        x: Doubles = col * TILE_PX * self.um_per_px + within
        y: Doubles = row * TILE_PX * self.um_per_px + within
        image = np.broadcast_to(self.glass.astype(np.float64), (side, side, 3)).copy()
        for section in self._sections_near(float(x[0]), float(x[-1]), float(y[0]), float(y[-1])):
            self._draw(image, section, x, y)
        means = image.reshape(TILE_PX, FINE, TILE_PX, FINE, 3).mean((1, 3))
        pixels: Pixels = np.floor(means + 0.5).clip(0, 255).astype(np.uint8)
        return pixels

    def _sections_near(self, left: float, right: float, top: float, bottom: float) -> list[_Section]:
        found: list[_Section] = []
        for row in range(math.floor(top / self._cell_y), math.floor(bottom / self._cell_y) + 1):
            for col in range(math.floor(left / self._cell_x), math.floor(right / self._cell_x) + 1):
                if 0 <= col < self._cells[0] and 0 <= row < self._cells[1]:
                    found.extend(self._sections_of(col, row))
        return found

    @lru_cache(maxsize=256)  # noqa: B019 (a sketch lives as long as its slide)
    def _sections_of(self, col: int, row: int) -> tuple[_Section, ...]:
        """Sections of one cell of the glass; none reaches over the border of its cell."""
        u = _uniform(self.slide.seed, "section", col, row, 40)
        if u[0] < 0.1 and self._cells != (1, 1):
            return ()
        radius = min(self._cell_x, self._cell_y) * (0.29 + 0.09 * u[1])
        margin = 1.3 * radius
        place = (
            col * self._cell_x + margin + u[2] * max(0.0, self._cell_x - 2 * margin),
            row * self._cell_y + margin + u[3] * max(0.0, self._cell_y - 2 * margin),
        )
        order = np.arange(1, 7)
        amplitude = (u[10:16] - 0.5) * np.array([0.10, 0.18, 0.12, 0.08, 0.06, 0.04])
        harmonics = np.stack([amplitude, 2 * np.pi * u[16:22] * order], axis=1)
        stain = _uniform(self.slide.seed, "stain", 0, 0, 4)
        palette = self._palette
        if palette is None:
            real = np.concatenate(list(palettes().values()))
            palette = real[int(stain[0] * len(real))]
        kinds = palette[np.sort(np.argsort(u[22:27])[: 3 + int(3 * u[4])])]
        kinds = 243.0 - (243.0 - kinds) * (0.95 + 0.1 * stain[1:4]) * (0.95 + 0.1 * u[28])
        main = _Section(*place, radius, 0.75 + 0.3 * u[5], np.pi * u[6], harmonics, kinds, int(u[7] * 2**31))
        return (main,)

    def _draw(self, image: Doubles, section: _Section, x: Doubles, y: Doubles) -> None:
        """Mix one section into `image` (H, W, 3), whose samples lie at x (W,) and y (H,) in um."""
        reach = 1.5 * section.radius_um
        cols = np.nonzero(np.abs(x - section.x_um) < reach)[0]
        rows = np.nonzero(np.abs(y - section.y_um) < reach)[0]
        if not cols.size or not rows.size:
            return
        across, down = x[None, cols[0] : cols[-1] + 1], y[rows[0] : rows[-1] + 1, None]
        cover = self._cover(section, across, down, self.um_per_px / FINE)
        tissue = [np.nonzero(cover.any(axis))[0] for axis in (1, 0)]
        if not tissue[0].size:
            return
        inner = tuple(slice(found[0], found[-1] + 1) for found in tissue)
        part = image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1][inner]
        part += (self._tissue(section, across[:, inner[1]], down[inner[0]]) - part) * cover[inner][..., None]

    def _cover(self, section: _Section, x: Doubles, y: Doubles, um_per_px: float) -> Doubles:
        """How far places are inside a section's wavy outline, and not torn nor hollow."""
        seed, salt = self.slide.seed, section.salt
        warp_x, warp_y = (fractal(seed, salt + i, x, y, WARP_UM, 4) for i in (1, 2))
        dx, dy = (x - section.x_um) / section.radius_um, (y - section.y_um) / section.radius_um
        along = dx * math.cos(section.turn) + dy * math.sin(section.turn)
        across = (dy * math.cos(section.turn) - dx * math.sin(section.turn)) / section.stretch
        distance, soft = np.hypot(along, across), max(OUTLINE_UM, um_per_px)
        cover = np.ones(distance.shape)
        if distance.max() > SURELY_INSIDE - soft / section.radius_um:
            angle, edge = np.arctan2(across, along), 1.0 + 0.10 * warp_x
            for order, (amplitude, phase) in enumerate(section.harmonics, start=1):
                edge = edge + amplitude * np.cos(order * angle + phase)
            depth = (edge - distance) * section.radius_um  # um inside the outline
            cover = np.clip(depth / soft + 0.5, 0, 1)
            if not cover.any():
                return cover
        cleft = np.abs(fractal(seed, salt + 3, x + 900 * warp_x, y + 900 * warp_y, 5200.0, 3))
        hollow = fractal(seed, salt + 5, x + 700 * warp_y, y - 700 * warp_x, 1600.0, 3, turned=True)
        torn = step(0.012 - cleft, 0.0, soft / 2600.0) * (fractal(seed, salt + 4, x, y, 4000.0, 2) > 0.1)
        return np.asarray(cover * (1.0 - torn) * (1.0 - step(hollow, 0.80, soft / 500.0)))

    def _tissue(self, section: _Section, gx: Doubles, gy: Doubles) -> Doubles:
        """Colours (H, W, 3): a warped patchwork of the section's kinds of tissue, with a grain of 100 um and more."""
        seed, salt = self.slide.seed, section.salt
        warp_x, warp_y = (fractal(seed, salt + i, gx, gy, WARP_UM, 4) for i in (1, 2))
        bent_x, bent_y = gx + 900 * warp_x, gy + 900 * warp_y
        turned = [(math.cos(turn), math.sin(turn)) for turn in 0.6 + 1.1 * np.arange(len(section.kinds))]
        fields = [  # each along axes of its own, so that no patch is square
            fractal(
                seed, salt + 10 + i, bent_x * c + bent_y * s, bent_y * c - bent_x * s, PATCH_UM, 6, 0.75, turned=True
            )
            for i, (c, s) in enumerate(turned)
        ]
        score = np.stack(fields, axis=-1)
        weight = np.exp(7.0 * (score - score.max(-1, keepdims=True)))
        weight /= weight.sum(-1, keepdims=True)
        grain = fractal(seed, salt + 30, bent_x, bent_y, GRAIN_UM, 5, GRAIN_KEPT, turned=True)
        share = 1.0 + GRAIN * grain[..., None]
        mixed: Doubles = np.asarray(weight @ section.kinds)
        for region in self._regions:
            cover = region.cover(gx, gy)
            if cover.any():  # as dark among the region's colours as it was among the section's
                own = weight @ _evenly(region.style.colours.astype(np.float64), len(section.kinds))
                mixed = mixed + cover[..., None] * (own - mixed)
        density = np.maximum(-np.log(np.clip(mixed / 243.0, 0.02, 1.0)) * share, 0.0)
        colours: Doubles = 243.0 * np.exp(-density)
        return colours


def _evenly(colours: Doubles, count: int) -> Doubles:
    """`count` of the colours (n, 3), evenly from first to last."""
    return np.asarray(colours[np.round(np.linspace(0, len(colours) - 1, count)).astype(int)])


def _uniform(seed: int, stream: str, x: int, y: int, count: int) -> Doubles:
    """`count` keyed numbers in [0, 1)."""
    bits = raw_bits(seed, stream, 0, x, y, count)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

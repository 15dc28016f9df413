"""The topmost plane of a slide: sections on glass, laid out by `everslide.model.pyramid.layout`, of tissue that `mini`
paints (`everslide.model.mini.sections`).

Everything is keyed by place, so any tile of an endless slide can be made on its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.geometry import TILE_PX, TOP_SCALE, mpp
from everslide.model.organs import groups_of, sections_digest, style_of
from everslide.model.pyramid.keyed_noise import uniforms
from everslide.model.pyramid.layout import CANVAS_PX, GLASS_GREY, LAYOUT_FORMAT, UM_PER_PX, Canvas, Layout, PieceShape
from everslide.model.slide import Slide
from everslide.model.stain import jitter_stain, optical_density

if TYPE_CHECKING:
    from everslide.model.style_reference import Reference, Style

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
SKETCH_FORMAT = 13
"""Part of every fingerprint: raise it when the same silhouettes and fills would give other pixels."""
STAIN_GAIN = 0.06
"""How far the stain of a slide may differ from that of others, as a share of its optical density."""
TISSUE_DENSITY = 0.06


class Fills(Protocol):
    """Paints the tissue of sections. fingerprint: part of the slide's identity; equal ones give equal pixels."""

    fingerprint: str

    def paint(self, seed: int, place: tuple[int, int], cover: Floats, style: Style) -> Pixels:
        """See `everslide.model.mini.sections.SectionPainter.paint`."""
        ...


class Sketch:
    """A `TopPlane` made from the slide's seed, organ and reference. s: its scale; planes other than TOP_SCALE are
    resampled from that one."""

    real = False

    def __init__(self, slide: Slide, fills: Fills, s: int = TOP_SCALE, reference: Reference | None = None) -> None:
        """fills: paints the tissue. reference: organs and colours that it shall have."""
        self.slide, self.s, self._reference = slide, s, reference
        self._fills = fills
        self._style = (reference and reference.everywhere) or style_of("", slide.seed)
        style = reference.digest if reference else ""
        drawn_by = (SKETCH_FORMAT, LAYOUT_FORMAT, self._fills.fingerprint, sections_digest(), style)
        self.fingerprint = hashlib.sha256(f"sketch {drawn_by}".encode()).hexdigest()
        self.um_per_px = mpp(s)
        groups = [[PieceShape(*piece) for piece in group] for group in groups_of(self._style.organ)]
        self._layout = Layout(slide.seed, slide.width_px * mpp(0), slide.height_px * mpp(0), groups)
        u = uniforms(slide.seed, "glass and stain", 0, 0, 4)
        self.glass = np.array([242 + 4 * u[0], 241 + 4 * u[0], 243 + 4 * u[0]]).astype(np.uint8)
        self._gains = (1 + STAIN_GAIN * (2 * u[1:4] - 1)).astype(np.float32)

    def tile(self, col: int, row: int) -> Pixels:
        """Tile (256, 256, 3) uint8, for any col and row."""
        if self.s < TOP_SCALE:
            return self._enlarged(col, row)
        step = 2 ** (self.s - TOP_SCALE)
        side = TILE_PX * step
        plane = self._plane(col * side, row * side, side)
        means = plane.reshape(TILE_PX, step, TILE_PX, step, 3).mean((1, 3))
        pixels: Pixels = np.floor(means + 0.5).astype(np.uint8)
        return pixels

    def _enlarged(self, col: int, row: int) -> Pixels:
        """A tile of a plane finer than TOP_SCALE: linear interpolation of that one."""
        step = 2 ** (TOP_SCALE - self.s)
        at = [(place * TILE_PX + np.arange(TILE_PX) + 0.5) / step - 0.5 for place in (row, col)]
        low = [int(np.floor(positions[0])) - 1 for positions in at]
        plane = self._plane(low[1], low[0], TILE_PX // step + 4).astype(np.float64)
        grid = np.meshgrid(at[0] - low[0], at[1] - low[1], indexing="ij")
        planes = [ndimage.map_coordinates(plane[..., c], grid, order=1) for c in range(3)]
        return np.asarray(np.floor(np.stack(planes, -1) + 0.5), np.uint8)

    def _plane(self, x: int, y: int, side: int) -> Pixels:
        """The square (side, side, 3) of the plane of TOP_SCALE at column x and row y."""
        out = np.broadcast_to(self.glass, (side, side, 3)).copy()
        left, right, top, bottom = (v * UM_PER_PX for v in (x, x + side, y, y + side))
        for canvas in self._layout.near(left, right, top, bottom):
            rows, cols = (
                (max(0, at - low), min(side, at - low + CANVAS_PX)) for at, low in ((canvas.y_px, y), (canvas.x_px, x))
            )
            if rows[0] < rows[1] and cols[0] < cols[1]:
                painted = self._painted(canvas)
                y0, x0 = rows[0] + y - canvas.y_px, cols[0] + x - canvas.x_px
                part = painted[y0 : y0 + rows[1] - rows[0], x0 : x0 + cols[1] - cols[0]]
                seen = out[rows[0] : rows[1], cols[0] : cols[1]]
                np.minimum(seen, part, out=seen)
        self._clear_beyond(out, x, y)
        return out

    def _clear_beyond(self, out: Pixels, x: int, y: int) -> None:
        """Glass beyond the slide."""
        wide, high = self.slide.size_at(TOP_SCALE)
        out[:, max(0, wide - x) :] = self.glass
        out[max(0, high - y) :] = self.glass
        out[:, : max(0, -x)] = self.glass
        out[: max(0, -y)] = self.glass

    @lru_cache(maxsize=48)  # noqa: B019 (a sketch lives as long as its slide)
    def _painted(self, canvas: Canvas) -> Pixels:
        """A canvas (N, N, 3) filled and stained as this slide, on its glass."""
        pixels = self._filled(canvas, self._style)
        for region in self._reference.regions if self._reference else ():
            places = np.arange(CANVAS_PX, dtype=np.float64) + 0.5
            at: list[Doubles] = [(corner + places) * UM_PER_PX for corner in (canvas.x_px, canvas.y_px)]
            share = region.cover(at[0][None, :], at[1][:, None])[..., None]
            if share.any():
                style = region.style if region.style.organ else replace(region.style, organ=self._style.organ)
                own = self._filled(canvas, style)
                pixels = np.floor(pixels + share * (own.astype(np.float64) - pixels) + 0.5).astype(np.uint8)
        cover = canvas.cover[..., None].astype(np.float64)
        return (
            np.floor(self.glass + (pixels - self.glass.astype(np.float64)) * cover + 0.5).clip(0, 255).astype(np.uint8)
        )

    def _filled(self, canvas: Canvas, style: Style) -> Pixels:
        """The canvas (N, N, 3) as if all of it were tissue of a style, stained as this slide."""
        tissue = self._fills.paint(self.slide.seed, canvas.place, canvas.cover, style)
        pixels = jitter_stain(tissue, self._gains, np.zeros(3, np.float32))
        if style.embedding.any():  # the style of a picture: its colours replace the organ's
            pixels = recoloured(pixels, style.colours.astype(np.float64))
        return pixels


def recoloured(pixels: Pixels, colours: Doubles) -> Pixels:
    """(H, W, 3) uint8 with the colours of its tissue replaced, glass kept.

    Tissue pixels are sorted by brightness into n equal shares; the mean of each share is moved to its row of `colours`
    (n, 3) RGB, darkest to palest, and pixels in between by interpolation. Fewer than n tissue pixels: unchanged.
    """
    tissue = optical_density(pixels).mean(-1) > TISSUE_DENSITY
    if tissue.sum() < len(colours):
        return pixels
    found = pixels[tissue].astype(np.float64)
    order = np.argsort(found.sum(-1), kind="stable")
    own = np.stack([found[part].mean(0) for part in np.array_split(order, len(colours))])
    grey = np.maximum.accumulate(own.sum(-1) + np.arange(len(colours)) * 1e-6)
    ends = np.concatenate([grey, [3.0 * GLASS_GREY]])
    change = np.concatenate([colours - own, np.zeros((1, 3))])
    sums = pixels.sum(-1, dtype=np.int64).astype(np.float64)
    moved = np.stack([np.interp(sums, ends, change[:, c]) for c in range(3)], -1)
    return np.asarray(np.floor(pixels + moved + 0.5).clip(0, 255), np.uint8)

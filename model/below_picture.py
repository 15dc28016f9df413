"""Tissue drawn below a real picture: nuclei where it is blue, fibres along its grain.

What the network paints below its own work has the power of real detail, but no structure of its own: two octaves on,
nuclei smear and fibres fall to pieces. So from 2.5x on detail is drawn into it, by what the parent shows (its spots and
edges) and what the picture showed (`everslide.model.picture_view`); the network keeps a share. It is a function of
place, picture and parent alone, so that every promise holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.architecture import within_range
from everslide.model.bands import smooth_bands
from everslide.model.drawn_fibres import draw_fibres, smoothed_noise
from everslide.model.enlarged import cubic, linear, means, within
from everslide.model.geometry import Rect, mpp
from everslide.model.picture_view import PictureView
from everslide.model.shown_nuclei import SHARPNESS, discs, outlined
from everslide.model.stain import STAIN_VECTORS, UNMIX
from everslide.model.top import ImageTop
from everslide.model.wavelet import details

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
FORMAT = 1
"""Part of every fingerprint: raise it when the same picture would be drawn below otherwise."""
REACH_PX, RIM_PX = 32, 4
"""How far around a place the parent's pixels are looked at, which is as far as windows overlap; and how far its fibres
and edges are, of the parent's pixels too."""
WHITE, LN10 = np.float32(243.0), np.float32(np.log(10.0))
TISSUE = (0.02, 0.10)
"""Over these mean densities, to the base e, glass turns into tissue."""
GAP, MOST_GAP = (0.02, 0.08), 0.6
"""Hematoxylin that nuclei have over what is around them: below the first there are none, from the second on all of it
is drawn; more than that no nucleus has."""
EPITHELIUM_GAP = 0.4
"""Where cells crowd, nuclei have at least this part of the hematoxylin around them more."""
CHROMATIN = {0: 0.3, 1: 0.18}
"""How much of a nucleus is clumps of chromatin, at 20x and 10x."""
CLUMP_PX = 0.8
"""Deviation of the Gaussian over keyed noise that gives them; times 5 it is about one strong."""
GRAIN, PLAINLY = 0.6, 3.0
"""Fibres are drawn this strong where the picture shows no grain, and as much stronger as it does."""
AMONG_CELLS, ON_NUCLEI = 0.8, 0.8
"""So much weaker they are where cells crowd, and on nuclei; edges are sharpened as much less among cells."""
STAINED, REFRACTION = np.float32(0.85), np.float32(0.12)
"""Fibres are this part of their strength denser and paler in their own colours; they also refract, which is grey, and
of such a density."""
DARKEST = np.float32(10.0)
CHROMATIN_SALT = 900


@dataclass(frozen=True)
class Drawing:
    """How a plane is drawn.

    spot_px: deviation of the Gaussian over hematoxylin, in pixels of the parent. around_px: radius of a neighbourhood.
    nuclei, fibres, edges: how strong each is drawn. in_cells, in_fibres: share of the network's own detail. gain: on
    all of it.
    """

    spot_px: float
    around_px: int
    nuclei: float
    fibres: float
    edges: float
    in_cells: float
    in_fibres: float
    gain: float


DRAWINGS = {
    3: Drawing(0.5, 5, 0.0, 1.2, 0.3, 0.9, 0.65, 1.1),
    2: Drawing(0.5, 8, 2.5, 1.5, 1.0, 0.65, 0.45, 1.25),
    1: Drawing(1.1, 11, 2.2, 1.3, 1.0, 0.65, 0.55, 1.25),
    0: Drawing(1.8, 11, 2.2, 0.9, 0.3, 0.75, 0.6, 1.0),
}
"""By scale: 2.5x to 20x. Chosen by eye, and by the figures that `docs/training.md` tells."""
NUCLEI_HIDDEN = 4
"""From this scale up, 1.25x, a picture shows no single nucleus: drawing begins right below it, else an octave later."""


class BelowPicture(ImageTop):
    """A real picture as the topmost plane of a slide, with tissue drawn below it."""

    reach_px = REACH_PX

    def __init__(self, pixels: Pixels, s: int, seed: int) -> None:
        """seed: of the slide; for the others see `ImageTop`. Raises ImageError."""
        super().__init__(pixels, s)
        self._seed = seed
        self.fingerprint = f"{self.fingerprint} drawn below {FORMAT}"

    @cached_property
    def _view(self) -> PictureView:
        return PictureView(self.pixels, self.s)

    def draws(self, s: int) -> bool:
        """See `TopPlane.draws`."""
        return s in DRAWINGS and s < self.s - (self.s < NUCLEI_HIDDEN)

    def drawn(self, s: int, rect: Rect, around: Floats, painted: Floats) -> Floats:
        """See `TopPlane.drawn`."""
        drawing, near = DRAWINGS[s], _inner(around, REACH_PX - RIM_PX)
        parent, smooth = _inner(near, RIM_PX), smooth_bands(_inner(near, RIM_PX - 1))[1:-1, 1:-1]
        density, crowd = _density(around), self._view.crowd(rect.grown(REACH_PX), mpp(s + 1))
        mask, hematoxylin = self._nuclei(s, rect.grown(REACH_PX), density, crowd)
        density, crowd = _inner(density, REACH_PX - RIM_PX), _inner(crowd, REACH_PX - RIM_PX)
        tissue = _ramp(density.mean(-1), TISSUE)
        plain = linear(tissue * (np.float32(1.0) - np.float32(AMONG_CELLS) * crowd))

        absorbed = cubic(density)
        fibres = self._fibres(s, rect.grown(RIM_PX), plain, mask)
        absorbed += fibres[..., None] * (STAINED * absorbed + REFRACTION)
        absorbed += (linear(tissue) * hematoxylin * LN10)[..., None] * STAIN_VECTORS[0]
        surface = cubic(near)
        child = WHITE * np.exp(-absorbed)
        child += (np.float32(drawing.edges) * plain)[..., None] * (surface - _blurred(surface, 1.5, 3))
        drawn = details(_inner(child, 2 * RIM_PX)) - smooth

        crowd, tissue = _inner(crowd, RIM_PX), _inner(tissue, RIM_PX)
        share = np.float32(drawing.in_fibres) + np.float32(drawing.in_cells - drawing.in_fibres) * crowd
        share = np.float32(1.0) + tissue * (share - np.float32(1.0))
        bands = smooth + np.float32(drawing.gain) * (drawn + share[..., None, None] * (painted - smooth))
        return within_range(parent, bands, smooth, np.full_like(parent, DARKEST))

    def _fibres(self, s: int, rect: Rect, plain: Floats, mask: Floats) -> Floats:
        """How much denser children of `rect` are on account of fibres, (2H, 2W), 0 on average over a parent.

        plain: (2H, 2W), how far tissue is fibres. mask: of nuclei.
        """
        fibres = draw_fibres(self._seed, self._view, s, rect.children())
        strength = np.float32(DRAWINGS[s].fibres) * (np.float32(PLAINLY) * fibres.grain).clip(GRAIN, 1.0)
        strength *= plain
        strength *= np.float32(1.0) - np.float32(ON_NUCLEI) * mask
        return np.asarray(strength * within(fibres.density), np.float32)

    def _nuclei(self, s: int, rect: Rect, density: Floats, crowd: Floats) -> tuple[Floats, Floats]:
        """How far children are within a nucleus that is drawn, and the hematoxylin that this adds, 0 on average over a
        parent: (2H, 2W) each, of `rect` but for what lies farther off than RIM_PX.

        density, crowd: (H, W, ...) of the whole of it.
        """
        drawing, radius = DRAWINGS[s], DRAWINGS[s].around_px
        if not drawing.nuclei:
            nothing = _inner(np.zeros((2 * rect.height, 2 * rect.width), np.float32), 2 * (REACH_PX - RIM_PX))
            return nothing, nothing
        blue = ((density / LN10) @ UNMIX)[..., 0].astype(np.float32)
        spots = _blurred(blue, drawing.spot_px, int(3 * drawing.spot_px) + 1)
        mean = _blurred(spots, radius / 2, radius)
        deviation = np.sqrt(np.maximum(_blurred(spots * spots, radius / 2, radius) - mean * mean, np.float32(1e-5)))
        excess = np.asarray((spots - mean) / (deviation + np.float32(0.01)), np.float32)
        if s in SHARPNESS:
            mask = outlined(s, excess)
        else:
            mask = discs(self._seed, rect, spots, excess, self._view.grain(rect, mpp(s + 1)), mpp(s))
        share, less = means(mask), max(2, 3 * radius // 4)
        inside, outside = (
            _blurred(blue * part, less / 2, less) / (_blurred(part, less / 2, less) + np.float32(0.01))
            for part in (share, np.float32(1.0) - share)
        )
        gap = np.maximum(inside - outside, np.float32(EPITHELIUM_GAP) * mean * crowd).clip(0, MOST_GAP)
        taken = _ramp(gap, GAP)
        nuclei = mask
        if s in CHROMATIN:
            clumps = smoothed_noise(self._seed, CHROMATIN_SALT + s, rect.children(), CLUMP_PX) * np.float32(5.0)
            nuclei = mask + mask * np.float32(CHROMATIN[s]) * clumps
        added = (nuclei - cubic(share)) * cubic(gap * taken * np.float32(drawing.nuclei))
        return _inner(mask * linear(taken), 2 * (REACH_PX - RIM_PX)), _inner(added, 2 * (REACH_PX - RIM_PX))


def _density(pixels: Floats) -> Floats:
    """Optical density, to the base e, of grey levels."""
    return np.asarray(-np.log(np.clip(pixels / WHITE, np.float32(0.02), np.float32(1.05))), np.float32)


def _ramp(value: Floats, over: tuple[float, float]) -> Floats:
    """0 to 1 as a value rises over such a range."""
    low, high = (np.float32(x) for x in over)
    return np.asarray(((value - low) / (high - low)).clip(0, 1), np.float32)


def _blurred(plane: Floats, deviation: float, radius: int) -> Floats:
    """A Gaussian over rows and columns; it reaches `radius` pixels and not one farther."""
    kind = (radius, radius) + (0,) * (plane.ndim - 2)
    return np.asarray(ndimage.gaussian_filter(plane, (deviation, deviation) + (0,) * (plane.ndim - 2), radius=kind))


def _inner(plane: Floats, rim: int) -> Floats:
    """A plane (H, W, ...) without its rim, as a view."""
    return plane[rim:-rim, rim:-rim]

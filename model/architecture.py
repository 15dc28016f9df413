"""What the sketch knows of tissue that is finer than itself, as detail for the planes below it.

The network has seen a dozen fields at 1 to 8 um per pixel, and hardly any tissue coarser than that; it cannot make up
an architecture, and octaves later it has no nuclei to sharpen. So the sketch has both (`everslide.model.drawn_tissue`):
a density of every place, whose Haar detail is added to a share of what the network paints. It is a function of place
and the parent alone, so that every promise holds.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.bands import smooth_bands
from everslide.model.drawn_tissue import NUCLEI_UM, DrawnTissue
from everslide.model.enlarged import means
from everslide.model.geometry import Rect, mpp
from everslide.model.wavelet import details, merge

if TYPE_CHECKING:
    from everslide.model.conditions.reference import Reference

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
FINEST_DRAWN = 0
"""The finest plane that detail is drawn for: 0.5 um per pixel, 20x."""
GLASS = 243.0
HEMATOXYLIN = np.array([0.60, 0.62, 0.32], np.float32)
"""Optical density, to the base e, that a nucleus adds to pale and to dark tissue alike."""
TYPICAL = 0.16
"""Share of nuclei that the colours of whole tissue have in them."""
LEAST_ROWS = 96
"""Fewer are not worth a thread: part of the work is the same for any number."""
_THREADS = ThreadPoolExecutor(2, "drawing")  # starts no thread before it is used
GLASS_DENSITY, PALE_DENSITY = (0.012, 0.04), (0.03, 0.28)
"""Over these mean densities glass turns into tissue, and tissue becomes dense enough for whole nuclei."""
DENSEST = 1.25
"""A child without nuclei is at most so many times as dense as the densest neighbour of its parent."""
LEAST, MOST = np.float32(0.004), np.float32(2.2)
"""Where the drawing expects less than this nothing is drawn; a child is at most so many times as dense as the smooth
surface there."""
DARKEST, BRIGHTEST = np.array([30, 20, 70], np.float32), np.float32(246.0)
"""Grey levels that no tissue and no glass goes beyond: detail that would is faded."""


Covered = Callable[[Doubles, Doubles, float], Floats]
"""How far places are tissue and not glass (H, W), 0 to 1, of x (1, W) and y (H, 1) in um, and um per pixel."""


def _everywhere(x: Doubles, y: Doubles, um_per_px: float) -> Floats:
    return np.ones((y.shape[0], x.shape[1]), np.float32)


class Architecture:
    """Detail of a slide's drawn tissue. Attributes: tissue."""

    def __init__(self, seed: int, reference: Reference | None = None, covered: Covered = _everywhere) -> None:
        """reference: whose make-up the tissue shall have. covered: where there is tissue."""
        self.tissue, self._covered = DrawnTissue(seed, reference), covered

    def bands(self, s: int, rect: Rect, around: Floats) -> Floats:
        """Haar detail (H, W, 3 bands, RGB) in grey levels of the children of `rect` of plane s + 1.

        It is that of the smooth surface through their parents, made as much denser in each place as the tissue is than
        the smooth surface through its own means, and with as many more nuclei.

        around: pixels (H + 2, W + 2, RGB) of `rect` and one more on each side. Two threads share a large one.
        """
        if rect.height < 2 * LEAST_ROWS:
            return self._bands(s, rect, around)
        middle = rect.height // 2
        upper = Rect(rect.x, rect.y, rect.width, middle)
        lower = Rect(rect.x, rect.y + middle, rect.width, rect.height - middle)
        halves = ((upper, around[: middle + 2]), (lower, around[middle:]))
        return np.concatenate(list(_THREADS.map(lambda half: self._bands(s, *half), halves)))

    def fitted(self, s: int, around: Floats, bands: Floats) -> Floats:
        """Bands (H, W, 3, RGB) faded towards the smooth surface where children would be no tissue and no glass.

        Without nuclei none is more than a little denser than its parent's densest neighbour: what a lumen lacks is not
        heaped up beside it.
        """
        densest = ndimage.maximum_filter(_density(around), (3, 3, 1))[1:-1, 1:-1] * np.float32(DENSEST)
        if mpp(s) < 0.5 * NUCLEI_UM:
            densest = densest + HEMATOXYLIN
        darkest = np.maximum(np.float32(GLASS) * np.exp(-densest), DARKEST)
        return within_range(around[1:-1, 1:-1], bands, smooth_bands(around)[1:-1, 1:-1], darkest)

    def _bands(self, s: int, rect: Rect, around: Floats) -> Floats:
        """See `bands`."""
        smooth = _smooth_children(around)
        if not tissue_share(smooth).any():  # the same, quicker
            return details(denser(smooth, np.ones_like(smooth), np.ones_like(smooth)))
        um, whole = mpp(s), rect.grown(1)
        x, y = np.meshgrid(
            (np.arange(2 * whole.width, dtype=np.float64) + 2 * whole.x + 0.5) * um,
            (np.arange(2 * whole.height, dtype=np.float64) + 2 * whole.y + 0.5) * um,
            sparse=True,
        )
        covered = self._covered(x, y, um)[..., None]
        if not covered.any():
            return details(denser(smooth, np.ones_like(smooth), np.ones_like(smooth)))
        density = (self.tissue.density(x, y, um) * covered).astype(np.float32)
        expected = _smooth_children(means(density[..., :3]))
        light = np.exp(density[..., 3:] * -HEMATOXYLIN)
        expected_light = np.maximum(_smooth_children(means(light)), np.float32(0.1))
        share = (density[2:-2, 2:-2, :3] / np.maximum(expected, LEAST)).clip(0, MOST)
        share[expected < LEAST] = 1.0  # nothing is known of what is there
        return details(denser(smooth, share, light[2:-2, 2:-2] / expected_light))


def denser(pixels: Floats, share: Floats, light: Floats) -> Floats:
    """Grey levels of tissue made so many times as dense, through which so much more or less light passes on account of
    nuclei: it is absorbed exponentially (Beer and Lambert). Glass stays glass.

    pixels, share, light: (H, W, RGB); see `Architecture.density`.
    """
    plain = _density(pixels)
    density = plain * (np.float32(1.0) + _ramp(plain, GLASS_DENSITY) * (share - np.float32(1.0)))
    drawn = np.exp(-density) * (np.float32(1.0) + _ramp(plain, PALE_DENSITY) * (light - np.float32(1.0)))
    brighter = np.maximum(pixels - np.float32(GLASS), np.float32(0.0))  # kept as smooth as it was
    return np.asarray(np.float32(GLASS) * np.minimum(drawn, np.float32(1.0)) + brighter, np.float32)


def _density(pixels: Floats) -> Floats:
    """Optical density, to the base e, of grey levels."""
    return np.asarray(-np.log(np.clip(pixels / np.float32(GLASS), np.float32(0.02), np.float32(1.0))), np.float32)


def _ramp(density: Floats, over: tuple[float, float]) -> Floats:
    """0 to 1 as the mean of a pixel's densities rises over such a range, (H, W, 1)."""
    low, high = np.float32(over[0]), np.float32(over[1])
    return np.asarray(((density.mean(-1, keepdims=True) - low) / (high - low)).clip(0, 1), np.float32)


def tissue_share(pixels: Floats) -> Floats:
    """How far pixels (H, W, RGB) in grey levels are tissue and not glass, (H, W, 1), 0 to 1."""
    return _ramp(_density(pixels), GLASS_DENSITY)


def within_range(means: Floats, bands: Floats, smooth: Floats, darkest: Floats) -> Floats:
    """Bands (H, W, 3, RGB) faded towards `smooth` ones, so that children of `means` (H, W, RGB) are tissue or glass.

    darkest: (H, W, RGB), grey levels of the densest tissue. Nothing is brighter than glass, or than what it is part of.

    All colours of a place are faded alike: cut off one by one, the rim of a lumen would end in black and magenta. Faded
    to nothing instead, the squares of the parent would show.
    """
    faded = smooth + _room(means, bands, darkest) * (bands - smooth)
    return np.asarray(faded * _room(means, faded, darkest), np.float32)


def _room(means: Floats, bands: Floats, darkest: Floats) -> Floats:
    """The part (H, W, 1, 1) of bands (H, W, 3, RGB), 0 to 1, with which the children of `means` stay within range."""
    h, v, g = bands[..., 0, :], bands[..., 1, :], bands[..., 2, :]
    children = np.stack([h + v + g, v - h - g, h - v - g, g - h - v])
    up, down = children.max(0), -children.min(0)
    least = np.float32(1e-3)
    brightest = np.maximum(BRIGHTEST, means + np.float32(1.0))
    room = np.minimum((brightest - means) / np.maximum(up, least), (means - darkest) / np.maximum(down, least))
    return np.asarray(np.clip(room.min(-1), 0, 1)[..., None, None], np.float32)


def _smooth_children(parent: Floats) -> Floats:
    """(H + 2, W + 2, C) -> (2H, 2W, C): the smooth surface through a plane's means, but for those at its rim."""
    return merge(parent[1:-1, 1:-1], smooth_bands(parent)[1:-1, 1:-1])

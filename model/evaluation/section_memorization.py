"""Memorisation of whole sections: how much the largest piece of a section resembles a piece of a training section.

Pieces are laid on each other in eight orientations, shifted by phase correlation (Kuglin and Hines, "The phase
correlation image alignment method", 1975) and by plain cross-correlation, whichever fits better. What is compared are
the grey levels wherever either is tissue: 1 is a copy. Real sections beside training sections of other cases say how
much pieces resemble each other anyhow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from everslide.model.evaluation.organ_sections import Section
from everslide.model.stain import optical_density
from everslide.model.training.sections import silhouette

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Complexes = NDArray[np.complex64]
SIDE_PX = 256
"""Pieces lie in the middle of a square of so many pixels of 128 um; what is longer is cut off."""
PIECES = 3
"""The largest pieces of each training section that are compared with."""
LIKELIEST = 4
"""Pairs of a piece and an orientation that are compared at the whole resolution."""
TISSUE = 0.06
"""Optical density above glass from which a pixel is compared."""


@dataclass(frozen=True)
class Nearest:
    """The training section that a section resembles most, and the correlation in [-1, 1] with it."""

    section: str
    nearest: str
    nearest_organ: str
    correlation: float


def pieces(whole: Pixels, count: int) -> list[Floats]:
    """Optical densities (SIDE_PX, SIDE_PX) of the largest pieces of a section (H, W, 3), each alone, 0 around it."""
    cover = silhouette(whole)
    density = optical_density(whole).mean(-1).astype(np.float32)
    density = np.maximum(density - np.float32(np.percentile(density, 2)), 0)
    labels, number = ndimage.label(cover > 0.5, np.ones((3, 3)))
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(1, number + 1))
    boxes = ndimage.find_objects(labels)
    largest = np.argsort(-sizes, kind="stable")[:count]
    return [_centred(np.where(labels[boxes[i]] == i + 1, density[boxes[i]], 0)) for i in largest]


def _centred(piece: Floats) -> Floats:
    out = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    high, wide = (min(side, SIDE_PX) for side in piece.shape)
    top, left = ((side - part) // 2 for side, part in zip(piece.shape, (high, wide), strict=True))
    y, x = (SIDE_PX - high) // 2, (SIDE_PX - wide) // 2
    out[y : y + high, x : x + wide] = piece[top : top + high, left : left + wide]
    return out


class TrainingSections:
    """The largest pieces of training sections, ready to be compared with others."""

    def __init__(self, sections: Sequence[Section]) -> None:
        """sections: real ones, whose `case` is known."""
        self._pieces = [(one, piece) for one in sections for piece in pieces(one.whole, PIECES)]
        self._halves = [_halved(piece) for _, piece in self._pieces]
        self._spectra = [_spectrum(half) for half in self._halves]

    def nearest(self, section: Section) -> Nearest | None:
        """The training section of another case that a section resembles most; None where either has no piece.

        All are tried at half the resolution, the likeliest at the whole.
        """
        others = [i for i, (one, _) in enumerate(self._pieces) if not section.case or one.case != section.case]
        if not others:
            return None
        for piece in pieces(section.whole, 1):
            tried = []
            for turned in (np.ascontiguousarray(np.rot90(x, k)) for x in (piece, piece.T) for k in range(4)):
                half = _halved(turned)
                own = _spectrum(half)
                tried += [(_aligned(half, own, self._halves[i], self._spectra[i]), i, turned) for i in others]
            likeliest = sorted(tried, key=lambda one: -one[0])[:LIKELIEST]
            found = [(_correlation(turned, self._pieces[i][1]), i) for _, i, turned in likeliest]
            value, best = max(found)
            other = self._pieces[best][0]
            return Nearest(section.name, other.name, other.organ, value)
        return None


def _correlation(piece: Floats, other: Floats) -> float:
    return _aligned(piece, _spectrum(piece), other, _spectrum(other))


def _halved(piece: Floats) -> Floats:
    half = SIDE_PX // 2
    return np.ascontiguousarray(piece.reshape(half, 2, half, 2).mean((1, 3), dtype=np.float32))


def _spectrum(piece: Floats) -> Complexes:
    found: Complexes = fft.rfft2(piece)
    return found


def _aligned(piece: Floats, own: Complexes, other: Floats, theirs: Complexes) -> float:
    """The best correlation of two pieces of one size over the shifts that align them."""
    cross = theirs * np.conj(own)
    surfaces = fft.irfft2(np.stack([cross, cross / np.maximum(np.abs(cross), 1e-6)]), piece.shape)
    best = -1.0
    for surface in surfaces:
        shift = tuple(int(i) for i in np.unravel_index(int(surface.argmax()), surface.shape))
        best = max(best, _alike(np.roll(piece, shift, (0, 1)), other))
    return best


def _alike(a: Floats, b: Floats) -> float:
    """Correlation of two densities wherever either is tissue."""
    where = (a > TISSUE) | (b > TISSUE)
    x, y = a[where].astype(np.float64), b[where].astype(np.float64)
    if not len(x):
        return -1.0
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / max(np.sqrt(np.square(x).sum() * np.square(y).sum()), 1e-9))

"""Optical density, hematoxylin and eosin, and what counts as tissue.

Stain vectors are those of Ruifrok and Johnston, "Quantification of histochemical staining by color
deconvolution" (2001).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

STAIN_VECTORS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]], dtype=np.float32)
"""Rows: unit optical density (red, green, blue) of hematoxylin, eosin, and a residual (DAB)."""
UNMIX = np.linalg.inv(STAIN_VECTORS).astype(np.float32)
TISSUE_OD = 0.12
"""Mean optical density above which a smoothed pixel is tissue; clean glass stays below 0.1."""


def optical_density(pixels: Pixels, white: float = 245.0) -> Floats:
    """[0, 255] uint8 (..., 3) -> optical density -log10(I / I0), float32 (..., 3), never below zero."""
    intensity = np.maximum(pixels.astype(np.float32), 1.0) / np.float32(white)
    return np.maximum(-np.log10(intensity), 0.0).astype(np.float32)


def from_optical_density(density: Floats, white: float = 245.0) -> Pixels:
    """Optical density (..., 3) -> [0, 255] uint8 (..., 3): the inverse of `optical_density`."""
    intensity = np.float32(white) * np.power(np.float32(10.0), -density)
    pixels: Pixels = np.clip(np.floor(intensity + 0.5), 0, 255).astype(np.uint8)
    return pixels


def hematoxylin_eosin(pixels: Pixels) -> Floats:
    """[0, 255] uint8 (..., 3) -> density of hematoxylin and eosin, float32 (..., 2)."""
    return (optical_density(pixels) @ UNMIX)[..., :2].astype(np.float32)


def jitter_stain(pixels: Pixels, gains: Floats, shift: Floats) -> Pixels:
    """Change the stain of a picture (..., 3) uint8: an augmentation that keeps the tissue.

    gains: factors (3,) of hematoxylin, eosin and the residual. shift: (3,) relative change of the optical density of
    red, green and blue; 0 changes nothing.
    """
    stains = optical_density(pixels) @ UNMIX
    mixed = (stains * gains) @ STAIN_VECTORS
    return from_optical_density(np.maximum(mixed * (1.0 + shift), 0.0).astype(np.float32))


def tissue_mask(pixels: Pixels, smooth_px: float = 2.0, threshold: float = TISSUE_OD) -> NDArray[np.bool_]:
    """(H, W, 3) uint8 -> (H, W) bool, True on tissue.

    Tissue is where the mean optical density, or 1.5 times the spread of its channels, exceeds `threshold` after a
    Gaussian filter of `smooth_px` pixels; specks below about 5 px are removed (binary opening).
    """
    density = optical_density(pixels)
    colour = density.max(-1) - density.min(-1)
    score = ndimage.gaussian_filter(np.maximum(density.mean(-1), 1.5 * colour), smooth_px)
    mask = ndimage.binary_opening(score > threshold, iterations=2)
    return np.asarray(mask, dtype=bool)

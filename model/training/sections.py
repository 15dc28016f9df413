"""What whole sections look like from afar, measured once on training images: `everslide sections`.

A few numbers of each, never its pixels: the colours of its tissue, and the size and shape of its pieces.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from everslide.model.errors import DataError
from everslide.model.geometry import TOP_SCALE, mpp
from everslide.model.stain import optical_density
from everslide.model.training.organs import organ_of
from everslide.model.training.prepare import Prepared, read_index, real_plane

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
COLOURS = 5
TISSUE_DENSITY, PLAIN_DENSITY = 0.035, 0.06
"""Optical density from which on smoothed pixels, and pixels as they are, are tissue."""
OCTAVES = 4
SMOOTH_PX, LEAST_HOLLOW_PX = 1.2, 60
"""Outlines are smooth over so many pixels, and smaller hollows are filled: what is in them is painted."""
LEAST_PIECE_PX, MOST_PIECES = 60, 8
COARSE_ENOUGH = 3
"""An image is taken for a whole section where its finest plane is of this scale or coarser, and it is"""
LEAST_SIDE_PX = 30
"""at least so long at the scale of the topmost plane."""


def whole_sections(prepared: Path, split: str) -> list[tuple[Prepared, Pixels]]:
    """Whole sections of a split, with their pixels at the scale of the topmost plane. Raises DataError for none."""
    found = []
    for image in read_index(prepared):
        if image.split == split and image.kind == "field" and image.finest >= COARSE_ENOUGH:
            pixels = real_plane(prepared, image, TOP_SCALE)
            if min(pixels.shape[:2]) >= LEAST_SIDE_PX:
                found.append((image, pixels))
    if not found:
        raise DataError(f"{prepared}: no {split} image is a whole section; prepare some of 4 um per pixel or coarser")
    return found


def measure_sections(prepared: Path) -> dict[str, Any]:
    """Organ, colours (COLOURS, 3), darkest to palest, and pieces of every training section; and the deviation
    of grey levels within blocks of 2, 4, 8 and 16 px, the median section's. Raises DataError."""
    sections, octaves = [], []
    for image, pixels in whole_sections(prepared, "train"):
        octaves.append(octave_deviations(pixels))
        cover = silhouette(pixels)
        pieces = measure_pieces(cover)
        if pieces:
            colours = colours_of(pixels[cover > 0.5])
            sections.append({"organ": organ_of(image.organ), "colours": colours, "pieces": pieces})
    return {"sections": sections, "octaves": np.round(np.nanmedian(octaves, 0), 2).tolist()}


def silhouette(pixels: Pixels) -> Floats:
    """How far each pixel (H, W, 3) is tissue, (H, W) in [0, 1]: smooth, with hollows but without single fat cells."""
    density = optical_density(pixels).mean(-1).astype(np.float32)
    density = ndimage.gaussian_filter(density - np.percentile(density, 2), SMOOTH_PX)
    tissue = density > TISSUE_DENSITY
    holes, count = ndimage.label(~tissue)
    sizes = ndimage.sum_labels(np.ones_like(holes), holes, np.arange(count + 1))
    tissue |= (sizes < LEAST_HOLLOW_PX)[holes]
    smooth = ndimage.gaussian_filter(tissue.astype(np.float32), SMOOTH_PX)
    return np.asarray(np.clip((smooth - 0.5) * 2 + 0.5, 0, 1), np.float32)


def measure_pieces(cover: Floats) -> list[list[float]]:
    """The numbers of a `PieceShape` of the largest pieces of a silhouette (H, W), the largest first."""
    labels, _ = ndimage.label(cover > 0.5, np.ones((3, 3)))
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        piece = np.pad(labels[box] == number, 1)
        if piece.sum() < LEAST_PIECE_PX:
            continue
        filled = ndimage.binary_fill_holes(piece)
        places = np.argwhere(filled).astype(np.float64)
        short, long = np.sqrt(np.linalg.eigvalsh(np.cov(places.T)))
        corners = np.concatenate([places + shift for shift in ([-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5])])
        area = float(piece.sum()) * mpp(TOP_SCALE) ** 2 * 1e-6
        solidity, hollow = filled.sum() / ConvexHull(corners).volume, 1 - piece.sum() / filled.sum()
        found.append([round(area, 2), round(long / short, 2), round(float(solidity), 3), round(float(hollow), 3)])
    return sorted(found, reverse=True)[:MOST_PIECES]


def octave_deviations(pixels: Pixels) -> list[float]:
    """Deviation of the grey levels of tissue (H, W, 3) within blocks of 2, 4, 8 and 16 px, each without the ones before
    it; not a number where there is too little tissue."""
    grey = pixels.astype(np.float64).mean(-1)
    tissue = (optical_density(pixels).mean(-1) > PLAIN_DENSITY).astype(np.float64)
    out = []
    for _ in range(OCTAVES):
        high, wide = (side // 2 * 2 for side in grey.shape)
        blocks = grey[:high, :wide].reshape(high // 2, 2, wide // 2, 2)
        tissue = tissue[:high, :wide].reshape(high // 2, 2, wide // 2, 2).min((1, 3))
        grey = blocks.mean((1, 3))
        spread = np.square(blocks - grey[:, None, :, None]).mean((1, 3))
        out.append(float(np.sqrt((spread * tissue).sum() / tissue.sum())) if tissue.sum() > 4 else float("nan"))
    return out


def colours_of(tissue: Pixels) -> list[list[int]]:
    """Means of equal shares of the pixels (n, 3), darkest to palest."""
    ordered = tissue[np.argsort(tissue.sum(-1, dtype=np.int64), kind="stable")].astype(np.float64)
    return [np.round(part.mean(0)).astype(int).tolist() for part in np.array_split(ordered, COLOURS)]

"""What whole sections look like from afar, measured once on training images: `everslide sections`.

A few numbers of each, never its pixels: a sketch takes the colours of one section, and is as rough as sections are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everslide.model.errors import DataError
from everslide.model.geometry import TOP_SCALE
from everslide.model.stain import optical_density
from everslide.model.training.organs import organ_of
from everslide.model.training.prepare import read_index, real_plane

Pixels = NDArray[np.uint8]
COLOURS = 5
TISSUE_DENSITY = 0.06
LEAST_PIXELS = 100
"""A section with less tissue at the topmost plane has no colours of its own."""
OCTAVES = 4
LONGEST_UM_PER_PX = 3
"""An image is taken for a whole section where its finest plane is of this scale or coarser."""


def measure_sections(prepared: Path) -> dict[str, Any]:
    """Organ and colours (COLOURS, 3), darkest to palest, of every training section at the scale of the topmost plane,
    and the deviation of grey levels within blocks of 2, 4, 8 and 16 px, the median section's. Raises DataError."""
    sections, octaves = [], []
    for image in read_index(prepared):
        if image.split == "train" and image.kind == "field" and image.finest >= LONGEST_UM_PER_PX:
            pixels = real_plane(prepared, image, TOP_SCALE)
            tissue = pixels[optical_density(pixels).mean(-1) > TISSUE_DENSITY]
            octaves.append(octave_deviations(pixels))
            if len(tissue) >= LEAST_PIXELS:
                sections.append({"organ": organ_of(image.organ), "colours": _colours(tissue)})
    if not sections:
        raise DataError(f"{prepared}: no training image is a whole section with tissue; prepare some of 4 um per pixel")
    return {"sections": sections, "octaves": np.round(np.nanmedian(octaves, 0), 2).tolist()}


def octave_deviations(pixels: Pixels) -> list[float]:
    """Deviation of the grey levels of tissue (H, W, 3) within blocks of 2, 4, 8 and 16 px, each without the ones before
    it; not a number where there is too little tissue."""
    grey = pixels.astype(np.float64).mean(-1)
    tissue = (optical_density(pixels).mean(-1) > TISSUE_DENSITY).astype(np.float64)
    out = []
    for _ in range(OCTAVES):
        high, wide = (side // 2 * 2 for side in grey.shape)
        blocks = grey[:high, :wide].reshape(high // 2, 2, wide // 2, 2)
        tissue = tissue[:high, :wide].reshape(high // 2, 2, wide // 2, 2).min((1, 3))
        grey = blocks.mean((1, 3))
        spread = np.square(blocks - grey[:, None, :, None]).mean((1, 3))
        out.append(float(np.sqrt((spread * tissue).sum() / tissue.sum())) if tissue.sum() > 4 else float("nan"))
    return out


def _colours(tissue: Pixels) -> list[list[int]]:
    """Means of equal shares of the pixels (n, 3), darkest to palest."""
    ordered = tissue[np.argsort(tissue.sum(-1, dtype=np.int64), kind="stable")].astype(np.float64)
    return [np.round(part.mean(0)).astype(int).tolist() for part in np.array_split(ordered, COLOURS)]

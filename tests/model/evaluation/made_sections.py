"""Made-up whole sections: a piece of a shape and a colour of its own on glass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.training.prepare import Prepared, write_pyramid

Pixels = NDArray[np.uint8]
GLASS = 243.0
PINK, BLUE = (150.0, 60.0, 90.0), (60.0, 90.0, 170.0)
"""Darkest colours of two kinds of tissue."""


def made_section(seed: int, dark: tuple[float, float, float] = PINK, side: int = 120) -> Pixels:
    """(side, side, 3): one lobed piece in patches of many sizes."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:side, :side] - side / 2) / side
    lobes = ndimage.gaussian_filter(rng.standard_normal((side, side)), side / 12)
    cover = np.clip((0.33 - np.hypot(x, y) + 0.1 * lobes / lobes.std()) * side, 0, 1)
    patches = sum(ndimage.gaussian_filter(rng.standard_normal((side, side)), sigma) * sigma for sigma in (1.5, 4, 9))
    shade = np.clip(0.5 + 0.3 * patches / np.std(patches), 0.1, 1) * cover
    pixels: Pixels = (GLASS + shade[..., None] * (np.array(dark) - GLASS)).astype(np.uint8)
    return pixels


def prepared_sections(folder: Path, images: Mapping[str, tuple[str, Pixels]]) -> Path:
    """A prepared folder of training sections at 16 um per pixel: organ and pixels of each by name."""
    index = []
    for name, (organ, pixels) in images.items():
        planes = write_pyramid(folder / name, pixels, 5)
        index.append(asdict(Prepared(name, "train", "field", 5, max(planes), organ, "CC0")))
    (folder / "index.json").write_text(json.dumps({"format": 1, "images": index}))
    return folder

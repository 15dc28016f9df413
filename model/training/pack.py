"""A small copy of a prepared folder, to train on another machine: `everslide pack`.

What travels is a folder of WebP images with a manifest, which `everslide prepare` takes there as it takes any other.
Every image keeps the square of its finest plane that holds most tissue, as large as the size allows.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from everslide.model.errors import DataError
from everslide.model.geometry import mpp
from everslide.model.stain import optical_density
from everslide.model.training.prepare import Prepared, plane, read_index

Pixels = NDArray[np.uint8]
QUALITY = 80
LEAST_PX, STEP_PX = 256, 32
"""Smallest side of what is kept of a larger image, and how its side is stepped."""
SAMPLE_PX, SPARE = 384, 1.03
"""Side of the squares whose bytes stand for the whole, and what is left for their error."""
TISSUE_DENSITY = 0.08


def pack(prepared: Path, out: Path, megabytes: float) -> int:
    """Write the fields of a prepared folder, at most so many megabytes of them; their bytes. Raises DataError.

    Scenes are left out: `prepare` composes them anew. The split of each image is part of its file name.
    """
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out}: expected an empty or new folder")
    fields = [image for image in read_index(prepared) if image.kind == "field"]
    if not fields:
        raise DataError(f"{prepared}: holds no field to pack")
    out.mkdir(parents=True, exist_ok=True)
    side = largest_side(prepared, fields, megabytes * 1e6)
    if side < LEAST_PX:
        raise DataError(f"{megabytes:g} MB hold less than {LEAST_PX} px of each of {len(fields)} images: allow more")
    manifest = {}
    for image in tqdm(fields, desc=f"images of at most {side} px"):
        name = f"{image.split}__{image.name}.webp"
        (out / name).write_bytes(_encoded(_square(prepared, image, side)))
        manifest[name] = {"um_per_px": mpp(image.finest), "organ": image.organ, "licence": image.licence}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return sum(path.stat().st_size for path in out.iterdir())


def largest_side(prepared: Path, fields: list[Prepared], size: float) -> int:
    """The largest side at which the squares of all images take at most `size` bytes, by those of SAMPLE_PX."""
    sides, per_px = list[tuple[int, int]](), list[float]()
    for image in tqdm(fields, desc="sizes"):
        sample = _square(prepared, image, SAMPLE_PX)
        per_px.append(len(_encoded(sample)) / (sample.shape[0] * sample.shape[1]))
        high, wide = plane(prepared, image, image.finest).shape[:2]
        sides.append((high, wide))
    side = max(max(pair) for pair in sides)
    while side >= LEAST_PX:
        area = [min(side, high) * min(side, wide) for high, wide in sides]
        if SPARE * sum(a * b for a, b in zip(area, per_px, strict=True)) <= size:
            break
        side -= STEP_PX
    return side


def _square(prepared: Path, image: Prepared, side: int) -> Pixels:
    """The square of at most `side` with most tissue."""
    pixels = plane(prepared, image, image.finest)
    high, wide = (min(side, length) for length in pixels.shape[:2])
    spots = [
        (
            float((optical_density(pixels[y : y + high : 16, x : x + wide : 16]).mean(-1) > TISSUE_DENSITY).mean()),
            -y,
            -x,
        )
        for y in range(0, pixels.shape[0] - high + 1, LEAST_PX // 2)
        for x in range(0, pixels.shape[1] - wide + 1, LEAST_PX // 2)
    ]
    _, y, x = max(spots)
    return np.array(pixels[-y : high - y, -x : wide - x])


def _encoded(pixels: Pixels) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "WEBP", quality=QUALITY)
    return data.getvalue()

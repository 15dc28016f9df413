"""The topmost plane of a slide, from which all finer ones are painted: the protocol, and a real image as one."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from everslide.model.errors import ImageError
from everslide.model.geometry import BASE_MPP, TILE_PX, mpp
from everslide.model.image_io.source_image import is_slide, read_slide
from everslide.model.image_io.user_picture import MAX_PIXELS, read_rgb

Pixels = NDArray[np.uint8]


class TopPlane(Protocol):
    """The coarsest plane of a slide that is not a box mean: it has no parent.

    s: its scale. glass: colour (3,) uint8 outside the slide. fingerprint: changes with all that its pixels depend on
    beside the slide's seed and size. real: it shows a real picture, not a sketch.
    """

    s: int
    glass: Pixels
    fingerprint: str
    real: bool

    def tile(self, col: int, row: int) -> Pixels:
        """Tile (256, 256, 3) uint8, for any col and row, also outside the slide."""
        ...


class ImageTop:
    """A real image as the topmost plane: zooming in paints beyond its pixels. Its borders are mirrored outwards."""

    glass = np.array([243, 242, 244], np.uint8)
    real = True

    def __init__(self, pixels: Pixels, s: int) -> None:
        """pixels: (H, W, 3) uint8, whose side is at least 2 px; s: the scale of its pixels. Raises ImageError."""
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or min(pixels.shape[:2]) < 2:
            raise ImageError(
                f"expected RGB pixels (H, W, 3) uint8, at least 2 a side; found {pixels.dtype} {pixels.shape}"
            )
        self.s, self._pixels = s, pixels
        self.size = (pixels.shape[1], pixels.shape[0])
        content = str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()
        self.fingerprint = hashlib.sha256(content).hexdigest()

    @property
    def pixels(self) -> Pixels:
        """The image, (H, W, 3) uint8."""
        return self._pixels

    def tile(self, col: int, row: int) -> Pixels:
        """See `TopPlane.tile`."""
        rows = mirrored(np.arange(row * TILE_PX, (row + 1) * TILE_PX), self._pixels.shape[0])
        cols = mirrored(np.arange(col * TILE_PX, (col + 1) * TILE_PX), self._pixels.shape[1])
        return np.ascontiguousarray(self._pixels[rows[:, None], cols[None, :]])


def scale_of(um_per_px: float) -> int:
    """The scale of a picture's pixels: the finest scale s >= 1 whose pixels are not smaller (within 1.4 %).

    Raises ImageError unless 0.5 < um_per_px <= 10000.
    """
    if not (math.isfinite(um_per_px) and BASE_MPP < um_per_px <= 10_000):
        raise ImageError(
            f"a picture of {um_per_px:g} um per pixel: expected more than {BASE_MPP} (there is nothing finer to paint) "
            "and at most 10000"
        )
    return max(1, math.ceil(math.log2(um_per_px / BASE_MPP) - 0.02))


def read_top(path: Path, um_per_px: float) -> ImageTop:
    """A picture file of `um_per_px` as the topmost plane; it is shrunk to the resolution of scale
    `scale_of(um_per_px)`.

    A whole-slide file carries its own resolution: it is read at that of the same scale. Raises ImageError.
    """
    s = scale_of(um_per_px)
    if is_slide(path):
        return ImageTop(read_slide(path, mpp(s), MAX_PIXELS), s)
    pixels = read_rgb(path)
    shrink = um_per_px / mpp(s)
    if shrink < 0.98:
        size = (round(pixels.shape[1] * shrink), round(pixels.shape[0] * shrink))
        pixels = np.asarray(
            Image.fromarray(pixels).resize((max(size[0], 2), max(size[1], 2)), Image.Resampling.LANCZOS)
        )
    return ImageTop(pixels, s)


def mirrored(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Reflect any indices (n,) into 0 .. length - 1, the edge pixel repeated: ... 1 0 | 0 1 2 ..."""
    folded = index % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)

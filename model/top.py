"""Topmost planes: what a slide is painted from. Any image can be one."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everslide.model.errors import ImageError
from everslide.model.geometry import TILE_PX

Pixels = NDArray[np.uint8]


class TopPlane(Protocol):
    """The coarsest painted plane of a slide, which has no parent.

    s: its scale. glass: colour (3,) uint8 beyond the slide. fingerprint: equal ones give equal pixels for equal slides.
    """

    s: int
    glass: Pixels
    fingerprint: str

    def tile(self, col: int, row: int) -> Pixels:
        """Tile (256, 256, 3) uint8, for any col and row."""
        ...


class ImageTop:
    """A real image as the topmost plane: zooming in paints beyond its pixels. Its borders are mirrored outwards."""

    glass = np.array([243, 242, 244], np.uint8)

    def __init__(self, pixels: Pixels, s: int) -> None:
        """pixels: (H, W, 3) uint8, whose side is at least 2 px; s: the scale of its pixels. Raises ImageError."""
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or min(pixels.shape[:2]) < 2:
            raise ImageError(
                f"expected RGB pixels (H, W, 3) uint8, at least 2 a side; found {pixels.dtype} {pixels.shape}"
            )
        self.s, self._pixels = s, pixels
        content = str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()
        self.fingerprint = hashlib.sha256(content).hexdigest()

    def tile(self, col: int, row: int) -> Pixels:
        """See `TopPlane.tile`."""
        rows = _mirror(np.arange(row * TILE_PX, (row + 1) * TILE_PX), self._pixels.shape[0])
        cols = _mirror(np.arange(col * TILE_PX, (col + 1) * TILE_PX), self._pixels.shape[1])
        return np.ascontiguousarray(self._pixels[rows[:, None], cols[None, :]])


def _mirror(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Reflect any index into 0 .. length - 1."""
    folded = index % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)

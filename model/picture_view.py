"""What can be read off a real picture about tissue that is finer than its pixels: its grain, and where cells crowd."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.geometry import Rect, mpp
from everslide.model.stain import hematoxylin_eosin
from everslide.model.top import mirrored

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
EDGE, AREA = (0.8, 2), (2.5, 8)
"""Deviation and radius in pixels of the Gaussians over the picture before its gradient is taken, and over that."""
LEAST = np.float32(1.0)
"""Squared grey levels a pixel below which a gradient is noise."""
CROWD_UM = 12.0
"""Deviation of the Gaussian over its stains."""
CROWDED = (0.42, 0.60)
"""Share of hematoxylin in both stains from which on stroma has more cells than fibres, and nothing but cells."""


class PictureView:
    """A picture's pixels and what they say, at any place of its slide. Its borders are mirrored outwards."""

    def __init__(self, pixels: Pixels, s: int) -> None:
        """pixels: (H, W, 3) uint8 of plane s."""
        self._pixels, self._um = pixels, mpp(s)

    def grain(self, rect: Rect, um_per_px: float) -> tuple[Floats, Floats]:
        """Cosine and sine of twice the angle of its lines, (H, W) each, as long as they are plain, 0 to 1, in pixels of
        so many um."""
        part, offset = self._around(rect, um_per_px, EDGE[1] + AREA[1] + 2)
        smooth = ndimage.gaussian_filter(part.astype(np.float32).mean(-1), EDGE[0], radius=EDGE[1])
        dy, dx = np.gradient(smooth)
        xx, xy, yy = (ndimage.gaussian_filter(x, AREA[0], radius=AREA[1]) for x in (dx * dx, dx * dy, dy * dy))
        plain = np.float32(-1.0) / (xx + yy + LEAST)  # lines run across the gradient
        return tuple(self._sampled(x, rect, um_per_px, offset) for x in ((xx - yy) * plain, 2 * xy * plain))  # type: ignore[return-value]

    def crowd(self, rect: Rect, um_per_px: float) -> Floats:
        """How far tissue is cells and not fibres, (H, W), 0 to 1, in pixels of so many um."""
        deviation = CROWD_UM / self._um
        radius = int(3 * deviation) + 1
        part, offset = self._around(rect, um_per_px, radius + 2)
        stains = np.maximum(hematoxylin_eosin(part), np.float32(0.0))
        hematoxylin, eosin = (ndimage.gaussian_filter(stains[..., i], deviation, radius=radius) for i in (0, 1))
        share = hematoxylin / (hematoxylin + eosin + np.float32(0.005))
        low, high = (np.float32(x) for x in CROWDED)
        return self._sampled(((share - low) / (high - low)).clip(0, 1), rect, um_per_px, offset)

    def _around(self, rect: Rect, um_per_px: float, rim: int) -> tuple[Pixels, tuple[int, int]]:
        """The pixels that show a rectangle and `rim` more on each side, and the row and column of the first."""
        to_picture = um_per_px / self._um
        rows = np.arange(int(np.floor(rect.y * to_picture)) - rim, int(np.ceil(rect.bottom * to_picture)) + rim)
        cols = np.arange(int(np.floor(rect.x * to_picture)) - rim, int(np.ceil(rect.right * to_picture)) + rim)
        high, wide = self._pixels.shape[:2]
        return self._pixels[mirrored(rows, high)[:, None], mirrored(cols, wide)[None]], (int(rows[0]), int(cols[0]))

    def _sampled(self, plane: Floats, rect: Rect, um_per_px: float, offset: tuple[int, int]) -> Floats:
        """A plane of the picture's pixels, straight between their middles, at those of a rectangle."""
        to_picture = um_per_px / self._um
        y = (np.arange(rect.y, rect.bottom) + 0.5) * to_picture - 0.5 - offset[0]
        x = (np.arange(rect.x, rect.right) + 0.5) * to_picture - 0.5 - offset[1]
        row, col = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
        down, aside = (y - row).astype(np.float32)[:, None], (x - col).astype(np.float32)
        across = plane[:, col] + (plane[:, col + 1] - plane[:, col]) * aside
        return np.asarray(across[row] + (across[row + 1] - across[row]) * down, np.float32)

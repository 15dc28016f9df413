"""Conversion of pixel values to 8 bits: integers of any depth, floats, transparency, EXIF orientation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from everslide.model.errors import ImageError

Pixels = NDArray[np.uint8]
DEPTHS = (8, 10, 12, 14, 16)
"""Bit depths of cameras and scanners. Their files often say 16 bits whatever the depth was: the largest value
decides."""


OVERSHOOT = 0.1
"""How far floats of 0 .. 1 may exceed both ends: sharpening and resampling overshoot."""
FAINT = 16
"""Floats whose maximum is above 1 and below this are neither 0 .. 1 nor 0 .. 255, and are refused."""


def to_8_bits(values: NDArray[Any], bits: int = 8) -> Pixels:
    """Integers, floats or bools -> [0, 255] uint8 of the same shape. Raises ImageError for other values.

    bits: bit depth that the file states. Integers: white is the largest value of the smallest of DEPTHS that holds all
    values. Floats: of 0 .. 1 (an overshoot is clipped), or counts as integers are.
    """
    if values.dtype == np.bool_:
        return np.where(values, np.uint8(255), np.uint8(0))
    if values.dtype == np.uint8 and bits >= 8:
        return values
    if values.dtype.kind not in "uif" or values.size == 0:
        raise ImageError(f"expected integers or floats, found {values.dtype}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ImageError("expected numbers, found NaN or infinity; save it with finite values")
    low, high = float(values.min()), float(values.max())
    shares = values.dtype.kind == "f" and high <= 1 + OVERSHOOT
    if values.dtype.kind == "f" and not shares and high < FAINT:
        raise ImageError(f"expected floats of 0 to 1, or to 255 or more, found {low:g} to {high:g}; scale it to 8 bits")
    if low < (-OVERSHOOT if shares else 0) or high > 65535:
        raise ImageError(f"expected values of 0 to 65535, found {low:g} to {high:g}; scale it to 8 bits first")
    if shares:
        white = 1.0
    elif bits < 8:
        white = float(2**bits - 1)
    else:
        white = float(2 ** next(depth for depth in DEPTHS if 2**depth > high and depth >= bits) - 1)
    levels: Pixels = np.rint(values.astype(np.float32) * np.float32(255 / white)).clip(0, 255).astype(np.uint8)
    return levels


def on_white(colour: Pixels, alpha: Pixels, premultiplied: bool = False) -> Pixels:
    """Colours (H, W, 3) with alpha (H, W), both uint8, blended onto white -> (H, W, 3) uint8.

    premultiplied: colours are multiplied by alpha already. Raises ImageError where alpha is 0 everywhere.
    """
    if not alpha.any():
        raise ImageError("is transparent all over; save it without transparency")
    share = alpha[..., None].astype(np.uint16)
    seen = colour.astype(np.uint16) * (255 if premultiplied else share)
    shown: Pixels = ((seen + 255 * (255 - share) + 127) // 255).clip(0, 255).astype(np.uint8)
    return shown


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Pixels (H, W, ...) rotated and mirrored by EXIF's and TIFF's tag 274, 1 to 8; other values change nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return np.ascontiguousarray(pixels[::rows, ::columns])

"""Pictures that a user hands in, to zoom into, to invert or to enlarge: checked before they are decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from everslide.model.errors import ImageError

Pixels = NDArray[np.uint8]
MIN_SIDE_PX = 2
MAX_SIDE_PX = 65_535
MAX_PIXELS = 2**27
"""Decoded, 400 MB; less than what Pillow takes for an attack."""


def read_rgb(path: Path, min_side: int = MIN_SIDE_PX) -> Pixels:
    """Pixels (H, W, 3) of an RGB image. Raises ImageError for anything else, for sides below `min_side` or beyond
    MAX_SIDE_PX, for more than MAX_PIXELS, and for files that cannot be read to their end."""
    try:
        with Image.open(path) as image:
            _check(path, image, min_side)
            return np.asarray(image)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: expected at most {MAX_PIXELS} px, found: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{path}: expected a readable RGB image (PNG, JPEG, TIFF, WebP), found: {error}") from error


def _check(path: Path, image: Image.Image, min_side: int) -> None:
    """From the header alone."""
    width, height = image.size
    if image.mode != "RGB":
        raise ImageError(f"{path}: expected an RGB image of 8 bits, found mode {image.mode}; convert it first")
    if min(width, height) < min_side:
        raise ImageError(f"{path}: expected at least {min_side} x {min_side} px, found {width} x {height}")
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise ImageError(
            f"{path}: claims {width} x {height} px, expected at most {MAX_SIDE_PX} a side and {MAX_PIXELS} in all; "
            "cut or shrink it first"
        )

"""Pictures that users upload as topmost planes of slides: read, resampled to a scale, stored, and loaded again."""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from pydantic import Field

from everslide.model.errors import ImageError
from everslide.model.geometry import BASE_MPP, TILE_PX, mpp
from everslide.model.image_io.user_picture import FORMATS, Limits, read_picture
from everslide.model.pyramid.top import ImageTop
from everslide.server.encode import PNG, Pixels, encode
from everslide.server.errors import MalformedError
from everslide.server.fields import checked
from everslide.server.shapes import Body, LikeBody, PictureBody

PICTURES = "pictures"
MAX_SIDE_PX = 8192
MAX_PIXELS = 16_000_000
COARSEST = 8
"""The coarsest scale below which the model paints: 128 um per pixel."""


@dataclass(frozen=True)
class Picture:
    """A picture as a topmost plane. size_px: (width, height) of its slide in 20x pixels."""

    top: ImageTop
    size_px: tuple[int, int]


_DATA_URL = re.compile(r"data:[^,]{0,100};base64,", re.IGNORECASE)


class PictureRecord(Body):
    """The stored form of a picture: a PNG file as base64, and its scale."""

    s: int = Field(ge=1, le=COARSEST)
    png: str


def checked_picture(body: PictureBody) -> Picture:
    """A picture that was sent, as a topmost plane. Raises MalformedError.

    Its pixels are resampled to the nearest scale s, of 0.5 um x 2^s each: 1 <= s <= COARSEST.
    """
    pixels = _read(body.data)
    s = min(max(round(math.log2(body.um_per_px / BASE_MPP)), 1), COARSEST)
    pixels = _resampled(pixels, body.um_per_px / mpp(s))
    height, width = pixels.shape[:2]
    if min(width, height) << s < TILE_PX:
        raise MalformedError("a picture of at least 128 um a side", f"{width} x {height} px", "send a larger one")
    return Picture(ImageTop(pixels, s), (width << s, height << s))


def reference_picture(body: LikeBody) -> tuple[Pixels, float]:
    """A reference picture that was sent -> its pixels and um per pixel. Raises MalformedError."""
    return _read(body.data), body.um_per_px


def picture_record(top: ImageTop | None) -> dict[str, Any]:
    """The stored form of a picture, lossless; see `picture_of`."""
    assert top is not None
    return {
        "s": top.s,
        "png": base64.b64encode(encode(top.pixels, PNG, "a picture that somebody gave; not painted")).decode(),
    }


def picture_of(record: dict[str, Any]) -> ImageTop:
    """The inverse of `picture_record`. The record may have been edited by hand: raises ImageError, MalformedError, and
    ValueError where it holds no picture."""
    found = checked(PictureRecord, record)
    return ImageTop(read_picture(io.BytesIO(base64.b64decode(found.png)), Limits()), found.s)


def _read(data: str) -> Pixels:
    """data: base64, in one line or in several as tools print it, or a data: URL as browsers make it."""
    expected = f"a picture ({', '.join(FORMATS)}) as base64"
    try:
        file = io.BytesIO(base64.b64decode(_DATA_URL.sub("", "".join(data.split())), validate=True))
    except (ValueError, binascii.Error) as error:
        raise MalformedError(expected, str(error)[:80], "choose another file") from error
    try:
        return read_picture(file, Limits(max_side=MAX_SIDE_PX, max_pixels=MAX_PIXELS))
    except ImageError as error:
        raise MalformedError(
            f"a picture ({', '.join(FORMATS)})", f"one that {error}"[:300], "choose another"
        ) from error


def _resampled(pixels: Pixels, factor: float) -> Pixels:
    """factor: new pixels per old one; 1 changes nothing."""
    if abs(factor - 1) < 1e-6:
        return pixels
    height, width = (max(2, round(side * factor)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))

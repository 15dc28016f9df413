"""Reading of pictures that a user supplies: checked before they are decoded; upright, on white, in sRGB, 8 bits a
channel."""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from everslide.model.errors import ImageError
from everslide.model.image_io.file_kinds import HEAD_BYTES, name_of
from everslide.model.image_io.pixel_values import Pixels, on_white, to_8_bits, upright
from everslide.model.image_io.tiff import MAGICS, check_size, read_tiff

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
MIN_SIDE_PX = 2
MAX_SIDE_PX = 65_535
MAX_PIXELS = 2**27
"""400 MB decoded; below the limit at which Pillow assumes a decompression bomb."""
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
"""Pillow's modes that a colour profile can be applied to, and how profiles call them."""


@dataclass(frozen=True)
class Limits:
    """Limits of a picture, in pixels: its shorter side, its longer side, its area."""

    min_side: int = MIN_SIDE_PX
    max_side: int = MAX_SIDE_PX
    max_pixels: int = MAX_PIXELS


def read_rgb(path: Path, min_side: int = MIN_SIDE_PX) -> Pixels:
    """`read_picture` of a file, (H, W, 3) uint8. min_side: the least side in pixels. Raises ImageError."""
    try:
        with path.open("rb") as file:
            return read_picture(file, Limits(min_side))
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: {_unreadable(error)}") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def read_picture(file: BinaryIO, limits: Limits) -> Pixels:
    """A JPEG, PNG, WebP or TIFF picture -> (H, W, 3) uint8 sRGB, upright, blended onto white.

    Raises ImageError for pictures beyond the limits (before they are decoded), for damaged files, and for pictures that
    can be read in more than one way: several pages, animations, channels of unknown meaning, values out of range.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    try:
        if head[:4] in MAGICS:
            found = read_tiff(file, limits.max_side, limits.max_pixels, limits.min_side)
            image = Image.fromarray(found.pixels, found.mode)
            colour = np.asarray(_in_srgb(image, found.profile))
            return colour if found.alpha is None else on_white(colour, found.alpha, found.premultiplied)
        with Image.open(file, formats=FORMATS) as image:
            check_size(*image.size, limits.max_side, limits.max_pixels, limits.min_side)
            if getattr(image, "is_animated", False) and image.format in ("PNG", "WEBP"):
                raise ImageError("is a moving picture; save the one that is meant")
            if head.startswith(_PNG) and head[24] == 16:
                return _read_deep_png(file, image)
            return _read_plain(image)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"expected at most {limits.max_pixels} px, found: {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(_unreadable(name_of(head) or "another kind of file")) from error
    except Exception as error:  # damaged files: Pillow, tifffile and their codecs raise errors of many kinds
        raise ImageError(_unreadable(error)) from error


def _unreadable(found: Exception | str) -> str:
    if isinstance(found, LookupError | TypeError | AttributeError | AssertionError) or not str(found):
        found = f"a damaged file ({type(found).__name__})"
    return f"expected a readable RGB image (PNG, JPEG, TIFF, WebP), found: {found}"


def _read_plain(image: Image.Image) -> Pixels:
    """8 bits a channel, or a palette."""
    profile = image.info.get("icc_profile")
    shown = ImageOps.exif_transpose(image)
    if not shown.has_transparency_data:
        if shown.mode == "1" or shown.mode == "P":
            shown = shown.convert("RGB")
        return np.asarray(_in_srgb(shown, profile))
    with closing(shown.convert("RGBA")) as seen:
        colour = np.asarray(_in_srgb(seen.convert("RGB"), profile))
        return on_white(colour, np.asarray(seen.getchannel("A")))


def _read_deep_png(file: BinaryIO, image: Image.Image) -> Pixels:
    """16 bits a channel, of which Pillow would give the upper eight."""
    import imagecodecs

    file.seek(0)
    values = np.asarray(imagecodecs.png_decode(file.read()))
    values = values[..., None] if values.ndim == 2 else values
    colours = 1 if values.shape[-1] < 3 else 3
    levels = to_8_bits(values[..., :colours])
    mode = "L" if colours == 1 else "RGB"
    flat = Image.fromarray(levels[..., 0] if mode == "L" else levels, mode)
    colour = np.asarray(_in_srgb(flat, image.info.get("icc_profile")))
    if values.shape[-1] > colours:
        colour = on_white(colour, to_8_bits(values[..., colours]))
    return upright(colour, int(image.getexif().get(_ORIENTATION, 1)))


def _is_grey(image: Image.Image) -> bool:
    """Whether an RGB picture has no colours: of a palette, of black and white, of grey with transparency."""
    red, green, blue = (np.asarray(image.getchannel(each)) for each in "RGB")
    return bool((red == green).all() and (green == blue).all())


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB as a screen shows it. Raises ImageError where the picture's own profile cannot be applied."""
    if not profile or image.mode not in _SPACES:
        return image.convert("RGB")
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = own.profile.xcolor_space.strip()
        if "srgb" in (own.profile.profile_description or "").lower():
            return image.convert("RGB")
        if image.mode == "L" and space == "RGB":
            image = image.convert("RGB")
        if image.mode == "RGB" and space == "GRAY" and _is_grey(image):
            image = image.getchannel("R")
        if space != _SPACES[image.mode]:
            raise ImageError(f"has a colour profile for {space} and pixels of {image.mode}; save it as sRGB")
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageError(f"has a colour profile that cannot be applied ({error}); save it as sRGB") from error
    assert converted is not None
    return converted

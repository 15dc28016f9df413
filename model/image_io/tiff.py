"""Reading of TIFF pictures: any bit depth, palettes, CMYK, transparency, planar files, orientation. Whole-slide files
are read by `everslide.model.image_io.source_image`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from everslide.model.errors import ImageError
from everslide.model.image_io.pixel_values import Pixels, to_8_bits, upright

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BYTES_PER_PX = 16
"""Largest size of a decoded pixel: four channels of 32 bits."""
_LOOKED_AT = 64
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
"""Channels of photometric interpretations: white is zero, black is zero, RGB, palette, CMYK, YCbCr."""
_MODES = {2: "RGB", 5: "CMYK", 6: "YCbCr"}


@dataclass(frozen=True)
class Decoded:
    """A decoded picture, upright.

    pixels: (H, W) or (H, W, C). mode: Pillow's name of its channels. alpha: (H, W), None: opaque. premultiplied:
    colours are multiplied by alpha already. profile: its ICC colour profile.
    """

    pixels: Pixels
    mode: str
    alpha: Pixels | None
    premultiplied: bool
    profile: bytes | None


def read_tiff(file: BinaryIO, max_side: int, max_pixels: int, min_side: int) -> Decoded:
    """The first picture of a TIFF file. max_side, max_pixels, min_side: limits in pixels; see `check_size`.

    Raises ImageError for pictures that are refused, and errors of tifffile and its codecs for damaged files.
    """
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        check_size(page.imagewidth, page.imagelength, max_side, max_pixels, min_side)
        _check_claims(page, max_pixels)
        _check_single(tiff, page)
        _check_whole(tiff, page)
        return _decoded(page)


def check_size(width: int, height: int, max_side: int, max_pixels: int, min_side: int) -> None:
    """Raises ImageError where width or height, in pixels, exceed the limits. Call it before anything is decoded."""
    if min(width, height) < min_side:
        raise ImageError(f"expected at least {min_side} x {min_side} px, found {width} x {height}")
    if max(width, height) > max_side or width * height > max_pixels:
        raise ImageError(
            f"claims {width} x {height} px, expected at most {max_side} a side and {max_pixels} in all; "
            "cut or shrink it first"
        )


def _check_claims(page: TiffPage, max_pixels: int) -> None:
    """What would be decoded must fit memory, whatever the size says. Raises ImageError."""
    if page.dtype is None:
        raise ImageError(f"expected samples of one kind, found {page.bitspersample} bits of {page.sampleformat!s}")
    size = page.imagewidth * page.imagelength * page.imagedepth * page.samplesperpixel * page.dtype.itemsize
    tile = (page.tilewidth or 1) * (page.tilelength or 1) * page.samplesperpixel * page.dtype.itemsize
    if max(size, tile) > max_pixels * BYTES_PER_PX:
        raise ImageError(
            f"claims {max(size, tile)} bytes, expected at most {max_pixels * BYTES_PER_PX}; shrink it first"
        )


def _check_single(tiff: TiffFile, page: TiffPage) -> None:
    """Smaller copies of the picture, its levels and thumbnails, may follow. Raises ImageError for anything else."""
    stacked = (tiff.imagej_metadata or {}).get("images", 1) if tiff.is_imagej else page.imagedepth
    others = 0
    for other in islice(iter(tiff.pages), 1, _LOOKED_AT):
        whole = other.aspage()
        extra = whole.is_reduced or whole.subfiletype & 4
        others += not extra and whole.imagewidth * whole.imagelength >= page.imagewidth * page.imagelength
    if others or stacked > 1:
        least = "at least " if others + 1 == _LOOKED_AT else ""
        count = max(others + 1, stacked)
        raise ImageError(f"has {least}{count} pages or planes of this size; save the one that is meant")


def _check_whole(tiff: TiffFile, page: TiffPage) -> None:
    """Parts that are not there would be read as black. Raises ImageError."""
    end = tiff.filehandle.size
    pieces = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if not pieces or any(count == 0 or offset + count > end for offset, count in pieces):
        raise ImageError("is cut short: parts of the picture are missing")


def _decoded(page: TiffPage) -> Decoded:
    photometric = int(page.photometric)
    colours = _COLOURS.get(photometric)
    values: NDArray[Any] = page.asarray()
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    elif page.axes == "YX":
        values = values[..., None]
    elif page.axes != "YXS":
        raise ImageError(f"expected rows and columns, found the axes {page.axes}")
    if colours is None or values.shape[-1] < colours:
        raise ImageError(f"expected grey, RGB, palette, CMYK or YCbCr, found {_name(page)}; save it as RGB")
    colour, extra = values[..., :colours], values[..., colours:]
    bits = page.bitspersample if isinstance(page.bitspersample, int) else page.bitspersample[0]
    bits = bits if bits % 8 else 8  # 16 and 32 only say how it is stored
    alpha, premultiplied = _transparency(page, extra, bits)
    turn = int(page.tags.valueof(274, 1))
    if photometric == 3:
        pixels, mode = _painted(page, colour[..., 0]), "RGB"
    else:
        levels = to_8_bits(colour, bits)
        if photometric == 0:
            levels = np.uint8(255) - levels
        converted = photometric == 6 and page.compression in (6, 7)  # the codec of JPEG gives RGB
        mode = "RGB" if converted else _MODES.get(photometric, "L")
        pixels = levels[..., 0] if mode == "L" else levels
    alpha = None if alpha is None else upright(alpha, turn)
    return Decoded(upright(pixels, turn), mode, alpha, premultiplied, page.tags.valueof(34675))


def _name(page: TiffPage) -> str:
    """Of its colours: CIELAB, CFA and so on."""
    return getattr(page.photometric, "name", f"photometric interpretation {page.photometric}")


def _transparency(page: TiffPage, extra: NDArray[Any], bits: int) -> tuple[Pixels | None, bool]:
    """(alpha or None, whether colours are premultiplied). Raises ImageError for channels of unknown meaning."""
    if extra.shape[-1] == 0:
        return None, False
    meaning = [int(each) for each in page.extrasamples]
    if extra.shape[-1] > 1 or not meaning:
        raise ImageError(f"has {extra.shape[-1]} channels beside its colours; save it as RGB")
    alpha = to_8_bits(extra[..., 0], bits)
    if meaning[0] not in (1, 2):
        if (alpha == 255).all():
            return None, False
        raise ImageError("has a channel beside its colours that is not said to be transparency; save it as RGB")
    return alpha, meaning[0] == 1


def _painted(page: TiffPage, index: NDArray[Any]) -> Pixels:
    """Palette -> RGB. Its colours have 16 bits, or 8 from writers that misread the standard."""
    colours = np.asarray(page.colormap)
    if colours.max() > 255:
        colours = colours >> 8
    return np.ascontiguousarray(colours.astype(np.uint8).T[index])

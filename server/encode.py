"""Pixels to files and back. Every file carries the mark that it is synthetic; same pixels, same bytes."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, features

from everslide.model.slide import Slide
from everslide.server.errors import NotFoundError

Pixels = NDArray[np.uint8]
NOTICE = "SYNTHETIC - not for diagnosis"
JPEG_QUALITY = 90
WEBP_QUALITY = 90
_PNG_LEVEL = 1
"""zlib's fastest level: photographs gain a few per cent from the slow ones, at ten times the time."""


@dataclass(frozen=True)
class Format:
    """A format of tiles: its canonical suffix and media type."""

    suffix: str
    mimetype: str


JPEG = Format("jpeg", "image/jpeg")
WEBP = Format("webp", "image/webp")
PNG = Format("png", "image/png")
FORMATS = {"jpeg": JPEG, "jpg": JPEG, "webp": WEBP, "png": PNG}


def format_of(suffix: str) -> Format:
    """Suffix without dot -> Format. Raises NotFoundError."""
    if suffix not in FORMATS:
        raise NotFoundError(f"one of the suffixes {', '.join(FORMATS)}", repr(suffix[:40]), "ask for .jpeg")
    return FORMATS[suffix]


def mark_of(slide: Slide) -> str:
    """The sentence inside every file."""
    return f"{NOTICE}; Everslide {slide.model} seed {slide.seed}"


def encoders_fingerprint() -> str:
    """Changes with whatever may change the bytes of an encoded tile while its pixels stay."""
    versions = [PIL.__version__, *(str(features.version(codec)) for codec in ("jpg", "zlib", "webp"))]
    settings = [str(JPEG_QUALITY), str(WEBP_QUALITY), str(_PNG_LEVEL), NOTICE]
    return hashlib.sha256("|".join(versions + settings).encode()).hexdigest()


def encode(pixels: Pixels, fmt: Format, mark: str) -> bytes:
    """(H, W, 3) uint8 -> a file that carries `mark` as JPEG comment, PNG text or WebP XMP. PNG is lossless."""
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8, (pixels.shape, pixels.dtype)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    out = io.BytesIO()
    if fmt is JPEG:
        image.save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4", comment=mark.encode())
    elif fmt is WEBP:
        image.save(out, "WEBP", quality=WEBP_QUALITY, method=2, xmp=_xmp(mark))
    else:
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", mark)
        image.save(out, "PNG", compress_level=_PNG_LEVEL, pnginfo=text)
    return out.getvalue()


def decode(data: bytes) -> Pixels:
    """A file of any of the formats -> (H, W, 3) uint8."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _xmp(mark: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/webp">'
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{escape(mark)}</rdf:li></rdf:Alt></dc:description>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()

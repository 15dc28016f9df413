"""IIIF Image API 3.0: parsing of addresses, and rendering of their images. https://iiif.io/api/image/3.0/"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from everslide.model.geometry import Rect
from everslide.model.organs import SlideOrgan
from everslide.server.deepzoom import DeepZoom
from everslide.server.encode import JPEG, PNG, WEBP, Format, Pixels, check_sides, encode
from everslide.server.errors import MalformedError, TooLargeError

CONTEXT = "http://iiif.io/api/image/3/context.json"
PROTOCOL = "http://iiif.io/api/image"
PROFILE = "level2"
FORMATS = {"jpg": JPEG, "png": PNG, "webp": WEBP}
RENDER_FORMAT = 1
"""Part of every entity tag: raise it when the same pixels would give other images."""
QUALITIES = ("default", "color", "gray", "bitonal")
EXTRA_FEATURES = (
    "mirroring",
    "regionSquare",
    "sizeUpscaling",
    "rotationBy90s",
    "canonicalLinkHeader",
    "profileLinkHeader",
)
_NUMBER = r"\d{1,15}(?:\.\d{1,10})?"
_REGION_PX = re.compile(r"(\d{1,15}),(\d{1,15}),(\d{1,15}),(\d{1,15})")
_REGION_PCT = re.compile(rf"pct:({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER})")
_SIZE_PCT = re.compile(rf"pct:({_NUMBER})")
_SIZE_WH = re.compile(r"(!?)(\d{0,10}),(\d{0,10})")
_ROTATION = re.compile(rf"(!?)({_NUMBER})")


@dataclass(frozen=True)
class ImageRequest:
    """What is asked for. region: in 20x pixels, on the slide. width, height: of the image before it is turned.
    quarters: clockwise quarter turns. canonical: the one spelling of the address, from the region on."""

    region: Rect
    width: int
    height: int
    mirrored: bool
    quarters: int
    quality: str
    fmt: Format
    suffix: str
    canonical: str


@dataclass(frozen=True)
class Limits:
    """max_area: pixels of an image."""

    max_area: int


def parse(
    extent: tuple[int, int], limits: Limits, region: str, size: str, rotation: str, quality: str, suffix: str
) -> ImageRequest:
    """Raises MalformedError, TooLargeError. extent: (width, height) of the slide in 20x pixels."""
    l0_rect = _region(extent, region)
    width, height = _size(l0_rect, size, limits)
    mirrored, quarters = _rotation(rotation)
    if suffix not in FORMATS:
        raise MalformedError(f"one of the formats {', '.join(FORMATS)}", repr(suffix[:40]), "ask for .jpg")
    if quality not in QUALITIES:
        raise MalformedError(f"one of the qualities {', '.join(QUALITIES)}", repr(quality[:40]), "ask for default")
    check_sides(width, height, FORMATS[suffix])
    full = l0_rect == Rect(0, 0, *extent)
    area = "full" if full else f"{l0_rect.x},{l0_rect.y},{l0_rect.width},{l0_rect.height}"
    largest = (width, height) == _largest(l0_rect, limits)
    up = "^" if width > l0_rect.width or height > l0_rect.height else ""
    measure = "max" if largest else f"{up}{width},{height}"
    turn = f"{'!' if mirrored else ''}{quarters * 90}"
    kept = "default" if quality == "color" else quality
    canonical = f"{area}/{measure}/{turn}/{kept}.{suffix}"
    return ImageRequest(l0_rect, width, height, mirrored, quarters, quality, FORMATS[suffix], suffix, canonical)


def info(
    identifier: str,
    zoom: DeepZoom,
    limits: Limits,
    tile_px: int,
    notice: str,
    organ: SlideOrgan | None = None,
    regions: Sequence[SlideOrgan] = (),
) -> dict[str, object]:
    """The body of info.json. identifier: the image's own URI, without a slash at its end. organ: of the slide.
    regions: organs of the slide's regions."""
    width, height = zoom.slide.width_px, zoom.slide.height_px
    scales = [2 ** zoom.scale(level) for level in range(zoom.max_level, zoom.min_level - 1, -1)]
    return {
        "@context": CONTEXT,
        "id": identifier,
        "type": "ImageService3",
        "protocol": PROTOCOL,
        "profile": PROFILE,
        "width": width,
        "height": height,
        "maxArea": limits.max_area,
        "tiles": [{"width": tile_px, "height": tile_px, "scaleFactors": scales}],
        "sizes": [
            {"width": w, "height": h}
            for w, h in (zoom.level_size(level) for level in range(zoom.min_level, zoom.max_level + 1))
            if w * h <= min(limits.max_area, 4_000_000)
        ],
        "preferredFormats": ["jpg"],
        "extraFormats": ["webp"],
        "extraQualities": ["color", "gray", "bitonal"],
        "extraFeatures": list(EXTRA_FEATURES),
        "rights": "https://creativecommons.org/publicdomain/zero/1.0/",
        "service": [],
        "partOf": [],
        "seeAlso": [],
        "synthetic": True,
        "notice": notice,
        **(_organ(organ) if organ else {}),
        **({"regionOrgans": [_organ(one) for one in regions]} if regions else {}),
    }


def _organ(organ: SlideOrgan) -> dict[str, object]:
    return {"organ": organ.name, "organCases": organ.cases, "organSections": organ.sections}


def entity_tag(request: ImageRequest, fingerprint: str, corner: tuple[int, int]) -> str:
    """The entity tag of the image, known before it is painted. corner: (x, y) in 20x pixels of the part that it is
    of."""
    return f"{fingerprint}-iiif-{RENDER_FORMAT}-{corner[0]}-{corner[1]}-{request.canonical}"


def render(request: ImageRequest, zoom: DeepZoom, read: Callable[[int, Rect], Pixels], mark: str, limit: int) -> bytes:
    """The encoded image. read: (level, rectangle of it) -> pixels. limit: pixels that may be read.

    Raises TooLargeError and what `read` raises.
    """
    level, z_rect = source(request, zoom)
    if z_rect.width * z_rect.height > limit:
        found = f"{z_rect.width} x {z_rect.height} pixels of level {level}"
        raise TooLargeError(f"at most {limit} pixels to read", found, "ask for a smaller region")
    image = Image.fromarray(read(level, z_rect))
    if image.size != (request.width, request.height):
        image = image.resize((request.width, request.height), Image.Resampling.LANCZOS)
    if request.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if request.quarters:
        turns = {1: Image.Transpose.ROTATE_270, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_90}
        image = image.transpose(turns[request.quarters])
    if request.quality in ("gray", "bitonal"):
        image = image.convert("L")
        if request.quality == "bitonal":
            image = image.point(lambda value: 255 if value >= 128 else 0)
    return encode(np.asarray(image.convert("RGB")), request.fmt, mark)


def source(request: ImageRequest, zoom: DeepZoom) -> tuple[int, Rect]:
    """(level, rectangle of it) to read: the coarsest level that is not coarser than what is asked for."""
    level = zoom.max_level
    while level > zoom.min_level:
        shrink = 2 ** zoom.scale(level - 1)
        if request.width * shrink > request.region.width or request.height * shrink > request.region.height:
            break
        level -= 1
    shrink = 2 ** zoom.scale(level)
    z_width, z_height = zoom.level_size(level)
    x, y = min(request.region.x // shrink, z_width - 1), min(request.region.y // shrink, z_height - 1)
    right = min(z_width, max(x + 1, -(-request.region.right // shrink)))
    bottom = min(z_height, max(y + 1, -(-request.region.bottom // shrink)))
    return level, Rect(x, y, right - x, bottom - y)


def _region(extent: tuple[int, int], text: str) -> Rect:
    width, height = extent
    whole = Rect(0, 0, width, height)
    if text == "full":
        return whole
    if text == "square":
        side = min(extent)
        return Rect((width - side) // 2, (height - side) // 2, side, side)
    if match := _REGION_PX.fullmatch(text):
        rect = Rect(*(int(part) for part in match.groups()))
    elif match := _REGION_PCT.fullmatch(text):
        left, top, wide, high = (float(part) / 100 for part in match.groups())
        x, y = round(left * width), round(top * height)
        rect = Rect(x, y, round((left + wide) * width) - x, round((top + high) * height) - y)
    else:
        raise MalformedError("a region: full, square, x,y,w,h or pct:x,y,w,h", repr(text[:60]), "correct the address")
    on_slide = rect.intersection(whole)
    if on_slide is None:
        raise MalformedError(f"a region on the slide of {width} x {height}", repr(text[:60]), "see info.json")
    return on_slide


def _largest(region: Rect, limits: Limits) -> tuple[int, int]:
    """(width, height) of the region at full resolution, or as large as may be."""
    area = region.width * region.height
    if area <= limits.max_area:
        return region.width, region.height
    shrink = (limits.max_area / area) ** 0.5
    return max(1, int(region.width * shrink)), max(1, int(region.height * shrink))


def _size(region: Rect, text: str, limits: Limits) -> tuple[int, int]:
    upscaled = text.startswith("^")
    width, height = _asked_size(region, text.removeprefix("^"), limits, upscaled)
    if width < 1 or height < 1:
        raise MalformedError("a size of at least one pixel", repr(text[:60]), "ask for a larger one")
    if not upscaled and (width > region.width or height > region.height):
        raise MalformedError(
            f"a size within {region.width},{region.height}", repr(text[:60]), "begin the size with ^ to enlarge"
        )
    if width * height > limits.max_area:
        raise TooLargeError(f"at most {limits.max_area} pixels", f"{width} x {height}", "see maxArea of info.json")
    return width, height


def _asked_size(region: Rect, text: str, limits: Limits, upscaled: bool) -> tuple[int, int]:
    if text == "max":
        return _largest(region, limits)
    if match := _SIZE_PCT.fullmatch(text):
        share = float(match[1]) / 100
        return round(region.width * share), round(region.height * share)
    match = _SIZE_WH.fullmatch(text)
    if match is None or not (match[2] or match[3]) or (match[1] and not (match[2] and match[3])):
        raise MalformedError("a size: max, w, ,h w,h !w,h or pct:n", repr(text[:60]), "correct the address")
    if not match[3]:
        return int(match[2]), max(1, round(region.height * int(match[2]) / region.width))
    if not match[2]:
        return max(1, round(region.width * int(match[3]) / region.height)), int(match[3])
    width, height = int(match[2]), int(match[3])
    if not (match[1] and width and height):
        return width, height
    share = min(width / region.width, height / region.height)
    if share > 1 and not upscaled and width > region.width and height > region.height:
        return width, height  # refused: the official validator wants it so, where the text would allow a smaller image
    if not upscaled:
        share = min(share, 1.0)
    most = (limits.max_area / (region.width * region.height)) ** 0.5
    if share > most:  # "as large as possible but not larger than [...] server-imposed limits"
        return max(1, int(region.width * most)), max(1, int(region.height * most))
    return max(1, round(region.width * share)), max(1, round(region.height * share))


def _rotation(text: str) -> tuple[bool, int]:
    match = _ROTATION.fullmatch(text)
    if match is None or float(match[2]) > 360:
        raise MalformedError("a rotation: 0, 90, 180 or 270, with ! before it to mirror", repr(text[:40]), "ask for 0")
    if float(match[2]) % 90:
        raise MalformedError("a rotation by quarter turns", repr(text[:40]), "turn the image yourself")
    return bool(match[1]), int(float(match[2])) // 90 % 4

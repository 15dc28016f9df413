"""Regions of a slide as files: pyramidal OME-TIFF, a field as PNG or JPEG, Deep Zoom folders.

A region is painted level by level, the coarsest first, as it would be browsed, and tile by tile: memory does not grow
with it. What a stopped export had painted is not painted again.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from everslide import version
from everslide.model.geometry import TILE_PX, Rect, magnification, mpp
from everslide.model.organs import organ_words
from everslide.server.destination import NOTE, delete_tiles, folder_of, fresh_of, holds_other_tiles, part_of
from everslide.server.encode import JPEG, JPEG_QUALITY, NOTICE, Format, Pixels, check_sides, encode
from everslide.server.errors import NotFoundError
from everslide.server.journal import Journal
from everslide.server.ome import ome_xml, point_at_levels, sub_ifds_tag
from everslide.server.regions import check_size, read_region
from everslide.server.tiles import ServedSlide, TileService

MAX_OCTAVES = 8
"""Coarser levels of a file's pyramid that are painted; a region begins at a whole pixel of the coarsest."""
_FOOTER_PX = 20
Progress = Callable[[int, int], None]
"""Called with the number of tiles done, and of all tiles."""


@dataclass(frozen=True)
class Region:
    """The part of a slide that is exported. level: Deep Zoom level of its finest pixels. z_rect: in pixels of it."""

    slide: ServedSlide
    level: int
    z_rect: Rect

    @property
    def mpp(self) -> float:
        """um per pixel of the level."""
        return mpp(self.slide.zoom.scale(self.level))

    @property
    def description(self) -> str:
        """What the file says of itself: synthetic, model, seed, sampling, organs, fingerprint, level and region."""
        slide, rect = self.slide.entry.slide, self.z_rect
        of = organ_words(self.slide.organ, self.slide.region_organs)
        return (
            f"{NOTICE}. Everslide {version()}, slide {slide.name}, model {slide.model}, seed {slide.seed}"
            f"{slide.sampling.words}{of}, fingerprint {self.slide.fingerprint}, level {self.level}, "
            f"region {rect.x},{rect.y} {rect.width}x{rect.height}"
        )


def region_of(slide: ServedSlide, level: int, z_rect: Rect) -> Region:
    """A checked region. Raises NotFoundError where the slide has no such level, or `z_rect` is not on it."""
    zoom = slide.zoom
    if not zoom.min_level <= level <= zoom.max_level:
        expected = f"a level in {zoom.min_level} .. {zoom.max_level}"
        raise NotFoundError(expected, f"level {level}", "see the slide's metadata")
    width, height = zoom.level_size(level)
    on_slide = z_rect.intersection(Rect(0, 0, width, height))
    if on_slide != z_rect:
        found = f"{z_rect.x},{z_rect.y} {z_rect.width}x{z_rect.height}"
        raise NotFoundError(f"a region within {width}x{height} of level {level}", found, "choose one on the slide")
    return Region(slide, level, z_rect)


def _never() -> bool:
    return False


def _quiet(done: int, total: int) -> None:
    return


class Pyramid:
    """A region and its coarser octaves, in tiles of 256 px that begin at the region's corner.

    The region is grown to the left and upwards to whole pixels of the coarsest octave, so that every octave shows the
    same area. gone: whether the client has gone; then painting stops. single: without coarser octaves, so that the
    region is exactly what was asked for.
    """

    def __init__(
        self, service: TileService, region: Region, gone: Callable[[], bool] = _never, single: bool = False
    ) -> None:
        self._service, self._gone = service, gone
        rect, zoom = region.z_rect, region.slide.zoom
        longest = max(rect.width, rect.height)
        small = max(0, (longest - 1).bit_length() - (TILE_PX.bit_length() - 1))
        self.octaves = 0 if single else min(MAX_OCTAVES, small, region.level - zoom.min_level)
        step = 2**self.octaves
        x, y = rect.x // step * step, rect.y // step * step
        grown = Rect(x, y, rect.right - x, rect.bottom - y)
        self.region = Region(region.slide, region.level, grown)

    def size(self, octave: int) -> tuple[int, int]:
        """(width, height) in pixels of an octave; 0 is the finest."""
        rect = self.region.z_rect
        return -(-rect.width // 2**octave), -(-rect.height // 2**octave)

    def grid(self, octave: int) -> tuple[int, int]:
        """(columns, rows) of tiles of an octave."""
        width, height = self.size(octave)
        return -(-width // TILE_PX), -(-height // TILE_PX)

    @property
    def tiles(self) -> int:
        """Tiles of all octaves together."""
        return sum(cols * rows for cols, rows in map(self.grid, range(self.octaves + 1)))

    def tile(self, octave: int, col: int, row: int) -> Pixels:
        """(height, width, 3): at most 256 px a side, less at the right and lower edges."""
        width, height = self.size(octave)
        origin_x, origin_y = self.region.z_rect.x >> octave, self.region.z_rect.y >> octave
        x, y = col * TILE_PX, row * TILE_PX
        z_rect = Rect(origin_x + x, origin_y + y, min(TILE_PX, width - x), min(TILE_PX, height - y))
        return read_region(self._service, self.region.slide, self.region.level - octave, z_rect, self._gone)

    def whole(self, octave: int) -> Pixels:
        """An octave as one image."""
        width, height = self.size(octave)
        origin = self.region.z_rect.x >> octave, self.region.z_rect.y >> octave
        z_rect = Rect(*origin, width, height)
        return read_region(self._service, self.region.slide, self.region.level - octave, z_rect, self._gone)


def tiff_plan(region: Region, lossless: bool) -> dict[str, object]:
    """What decides the tiles of an OME-TIFF; only an export of the same plan is gone on with."""
    return {"what": region.description, "lossless": lossless, "quality": JPEG_QUALITY}


def export_tiff(pyramid: Pyramid, out: Path, lossless: bool = False, progress: Progress = _quiet) -> None:
    """Write a pyramidal OME-TIFF, whole or not at all; `<out>.part` holds the tiles of an export that was stopped.

    Raises OSError and what painting raises.
    """
    part, fresh = part_of(out), fresh_of(out)
    with Journal(part, tiff_plan(pyramid.region, lossless)) as journal:
        for octave in range(pyramid.octaves, -1, -1):
            cols, rows = pyramid.grid(octave)
            for index in range(cols * rows):
                if (octave, index) not in journal:
                    pixels = _padded(pyramid.tile(octave, index % cols, index // cols))
                    journal.add(octave, index, _tiff_tile(pixels, lossless))
                progress(len(journal), pyramid.tiles)
        with suppress(FileNotFoundError):
            fresh.unlink()
        _write_tiff(pyramid, journal, fresh, lossless)
    fresh.replace(out)
    part.unlink()


def _tiff_tile(pixels: Pixels, lossless: bool) -> bytes:
    if lossless:
        return bytes(imagecodecs.zlib_encode(np.ascontiguousarray(pixels).tobytes(), level=6))
    return encode(pixels, JPEG, NOTICE)


def _padded(pixels: Pixels) -> Pixels:
    """TIFF's tiles are whole: the edge is repeated."""
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, TILE_PX - height), (0, TILE_PX - width), (0, 0)), mode="edge")


def _write_tiff(pyramid: Pyramid, journal: Journal, path: Path, lossless: bool) -> None:
    region, bigtiff = pyramid.region, pyramid.tiles > 10_000
    with tifffile.TiffWriter(path, bigtiff=bigtiff, ome=False) as tiff:
        for octave in range(pyramid.octaves + 1):
            width, height = pyramid.size(octave)
            per_cm = 1e4 / (region.mpp * 2**octave)
            first = octave == 0
            tiff.write(
                _tiles_of(pyramid, journal, octave),
                shape=(height, width, 3),
                dtype=np.uint8,
                tile=(TILE_PX, TILE_PX),
                subfiletype=0 if first else 1,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                software=f"Everslide {version()}" if first else False,
                description=_described(pyramid) if first else None,
                metadata=None,
                extratags=[sub_ifds_tag(pyramid.octaves, bigtiff)] if first and pyramid.octaves else [],
                compression="adobe_deflate" if lossless else "jpeg",
                photometric="rgb" if lossless else "ycbcr",
                subsampling=None if lossless else (1, 1),
            )
    if pyramid.octaves:
        point_at_levels(path)


def _tiles_of(pyramid: Pyramid, journal: Journal, octave: int) -> Iterator[bytes]:
    cols, rows = pyramid.grid(octave)
    return (journal.get(octave, index) for index in range(cols * rows))


def _described(pyramid: Pyramid) -> bytes:
    region = pyramid.region
    name = f"{NOTICE}: {region.slide.entry.slide.name}"
    seen = magnification(region.slide.zoom.scale(region.level))
    return ome_xml(name, region.description, pyramid.size(0), region.mpp, seen, f"Everslide {version()}")


def check_field(width: int, height: int, fmt: Format, max_pixels: int) -> None:
    """Raises TooLargeError where a region is too large for one image. Call before anything is painted."""
    check_size(width, height, max_pixels)
    check_sides(width, height + _FOOTER_PX, fmt)


def export_field(pyramid: Pyramid, out: Path, fmt: Format, max_pixels: int) -> None:
    """Write a region as one image with a line below it that says what it is. Raises TooLargeError, OSError."""
    rect = pyramid.region.z_rect
    check_field(rect.width, rect.height, fmt, max_pixels)
    image = Image.fromarray(_with_footer(pyramid.whole(0), pyramid.region))
    dpi = 25400 / pyramid.region.mpp
    fresh = fresh_of(out)
    if fmt is JPEG:
        image.save(
            fresh,
            "JPEG",
            quality=JPEG_QUALITY,
            subsampling="4:4:4",
            comment=pyramid.region.description.encode(),
            dpi=(dpi, dpi),
        )
    else:
        fresh.write_bytes(_png(image, pyramid.region, dpi))
    fresh.replace(out)


def _png(image: Image.Image, region: Region, dpi: float) -> bytes:
    text = PngInfo()
    text.add_text("Comment", region.description)
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=text, dpi=(dpi, dpi))
    return out.getvalue()


def _with_footer(pixels: Pixels, region: Region) -> Pixels:
    """The image with a line of text below it; its own pixels stay as they are."""
    image = Image.new("RGB", (pixels.shape[1], pixels.shape[0] + _FOOTER_PX), (40, 40, 40))
    image.paste(Image.fromarray(pixels))
    words = f"{NOTICE}   {region.mpp:g} um/px   {region.slide.entry.slide.name}"
    ImageDraw.Draw(image).text((6, pixels.shape[0] + 4), words, fill=(255, 210, 90))
    return np.asarray(image)


def export_dzi(pyramid: Pyramid, out: Path, progress: Progress = _quiet, overwrite: bool = False) -> None:
    """Write `<out>` (.dzi) and its folder of JPEG tiles, for any web server. Tiles that are there are kept, if they are
    of the same export. overwrite: those of another export are deleted; otherwise they raise FileExistsError. Raises
    OSError and what painting raises."""
    rect, slide = pyramid.region.z_rect, pyramid.region.slide
    folder, plan = folder_of(out), pyramid.region.description
    if holds_other_tiles(folder, plan):
        if not overwrite:
            raise FileExistsError(f"{folder} holds another export")
        out.unlink(missing_ok=True)  # it described the tiles that go
        delete_tiles(folder)
    _write(folder / NOTE, plan.encode())
    finest = (max(rect.width, rect.height) - 1).bit_length()
    done = 0
    for octave in range(pyramid.octaves, -1, -1):
        cols, rows = pyramid.grid(octave)
        for index in range(cols * rows):
            path = folder / str(finest - octave) / f"{index % cols}_{index // cols}.{JPEG.suffix}"
            if not path.exists():
                _write(path, encode(pyramid.tile(octave, index % cols, index // cols), JPEG, slide.mark))
            done += 1
            progress(done, pyramid.tiles)
    _write_overview(pyramid, folder, finest)
    xml = slide.zoom.descriptor(JPEG.suffix)
    whole = f'Width="{slide.zoom.slide.width_px}" Height="{slide.zoom.slide.height_px}"'
    _write(out, xml.replace(whole, f'Width="{rect.width}" Height="{rect.height}"').encode())


def _write_overview(pyramid: Pyramid, folder: Path, finest: int) -> None:
    """The levels above the coarsest octave, each the mean of the next: one tile each."""
    image = Image.fromarray(pyramid.whole(pyramid.octaves))
    for level in range(finest - pyramid.octaves - 1, -1, -1):
        image = image.resize((-(-image.width // 2), -(-image.height // 2)), Image.Resampling.BOX)
        path = folder / str(level) / f"0_0.{JPEG.suffix}"
        _write(path, encode(np.asarray(image), JPEG, pyramid.region.slide.mark))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_bytes(data)
    fresh.replace(path)

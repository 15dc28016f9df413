"""The command `everslide export`: from its arguments to a file, with a progress bar."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Never

from tqdm import tqdm

from everslide.model.errors import SlideError
from everslide.model.geometry import BASE_MAGNIFICATION, TILE_PX, Rect, TileIndex
from everslide.server.assembly import assemble
from everslide.server.destination import Kind, check_free, check_place, check_unfinished
from everslide.server.encode import JPEG, PNG, Format
from everslide.server.errors import MalformedError
from everslide.server.export import (
    Progress,
    Pyramid,
    check_field,
    export_dzi,
    export_field,
    export_tiff,
    region_of,
    tiff_plan,
)
from everslide.server.inspect import Counting
from everslide.server.painters import ModelFiles
from everslide.server.settings import MIB, Settings
from everslide.server.slides import Catalogue, Entry
from everslide.server.tiles import ServedSlide, TileService

_REGION = re.compile(r"(\d{1,15}),(\d{1,15}),(\d{1,15}),(\d{1,15})")
MAX_MEMORY = 64 * MIB
"""Bytes of encoded, and of undecoded tiles in memory: an export asks for every tile about once."""
SUFFIXES: dict[str, Kind] = {
    ".tiff": "tiff",
    ".tif": "tiff",
    ".png": PNG,
    ".jpeg": JPEG,
    ".jpg": JPEG,
    ".dzi": "dzi",
}
WINDOWS_PER_TILE = 1.2
"""Of a pyramid: its tiles are as many as their windows, but for those across its border."""


def run_export(
    settings: Settings,
    entry: Entry,
    files: Mapping[str, ModelFiles],
    out: Path,
    region: str | None,
    magnification: float,
    lossless: bool,
    report: Callable[[str], None],
    dry_run: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a region of a slide to `out`, in the format of its suffix.

    files: weights and options by model. region: "X,Y,WIDTH,HEIGHT" in 20x pixels; None: the whole slide. magnification:
    of the finest pixels. report: called with the number of tiles and the expected time, before painting; a dry run ends
    there, and is not told what has the name. overwrite: it is replaced. Raises SlideError, StoreError, RequestError,
    OSError.
    """
    kind, replaces = kind_of(out), overwrite or dry_run
    check_place(out, kind)
    if not replaces:
        check_free(out)
    if entry.slide.unbounded and region is None:
        raise SlideError(f"{entry.slide.name} has no end: say which part with --region X,Y,WIDTH,HEIGHT")
    little = replace(
        settings,
        event_streams=0,
        memory_size=min(settings.memory_size, MAX_MEMORY),
        raw_size=min(settings.raw_size, MAX_MEMORY),
    )
    assembly = assemble(little, Catalogue((entry,)), files)
    try:
        slide = assembly.service.slide(entry.slide.name)
        level = _level(slide, magnification)
        wanted = region_of(slide, level, _rect(slide, level, region))
        pyramid = Pyramid(assembly.service, wanted, single=isinstance(kind, Format))
        if isinstance(kind, Format):
            check_field(*pyramid.size(0), kind, settings.max_pixels)
        if not replaces:
            check_unfinished(out, kind, tiff_plan(pyramid.region, lossless))
        report(plan_of(assembly.service, pyramid, None if isinstance(kind, Format) else pyramid.tiles))
        if dry_run:
            return
        if isinstance(kind, Format):
            export_field(pyramid, out, kind, settings.max_pixels)
            return
        with tqdm(total=pyramid.tiles, unit="tile", desc=out.name) as bar:
            progress = _shown_on(bar)
            if kind == "dzi":
                export_dzi(pyramid, out, progress, overwrite)
            else:
                export_tiff(pyramid, out, lossless, progress)
    finally:
        assembly.close()


def kind_of(out: Path) -> Kind:
    """The format of a file by its suffix, in any case. Raises MalformedError."""
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise MalformedError(f"a file that ends in {', '.join(SUFFIXES)}", out.name, "choose another name")
    return SUFFIXES[suffix]


def plan_of(service: TileService, pyramid: Pyramid, tiles: int | None) -> str:
    """Size, number of tiles and expected time, in words. tiles: number in all levels; None: a single image."""
    width, height = pyramid.size(0)
    cols, rows = pyramid.grid(0)
    count, levels = tiles or cols * rows, pyramid.octaves + 1 if tiles else 1
    words = f"{width} x {height} px in {levels} levels" if tiles else f"{width} x {height} px"
    seconds = _seconds_per_window(service, pyramid)
    painted = pyramid.tiles if tiles else count * 4 / 3  # a single image's coarser tiles are painted too
    time_words = f", about {_duration(painted * WINDOWS_PER_TILE * seconds)} if none is painted yet" if seconds else ""
    return f"{words}: {count} tiles{time_words}"


def _seconds_per_window(service: TileService, pyramid: Pyramid) -> float | None:
    """Measured on two coarse tiles, of four windows each; None where there is nothing but glass."""
    slide = pyramid.region.slide
    s = max(slide.zoom.scale(pyramid.region.level), service.models[slide.entry.slide.model].top_scale - 1)
    painter = service.painter_of(slide.entry)
    if not isinstance(painter, Counting):
        return None
    at = TILE_PX << (s - slide.zoom.scale(pyramid.region.level))
    rect = pyramid.region.z_rect
    tile = TileIndex(s, (rect.x + rect.width // 2) // at, (rect.y + rect.height // 2) // at)
    painter.tile(tile)
    before, started = painter.counts.windows, time.perf_counter()
    painter.tile(replace(tile, col=tile.col + 2))  # the first one took the time to get going as well
    windows = painter.counts.windows - before
    return (time.perf_counter() - started) / windows if windows else None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _shown_on(bar: tqdm[Never]) -> Progress:
    def show(done: int, total: int) -> None:
        bar.update(done - bar.n)

    return show


def _level(slide: ServedSlide, magnification: float) -> int:
    shrink = BASE_MAGNIFICATION / magnification if magnification > 0 else 0.0
    s = math.log2(shrink) if 0 < shrink < math.inf else -1.0
    if s < 0 or s != int(s):
        raise SlideError(f"magnification {magnification:g}: expected 20, 10, 5, 2.5, 1.25, 0.625, 0.3125 or 0.15625")
    return slide.zoom.level(int(s))


def _rect(slide: ServedSlide, level: int, region: str | None) -> Rect:
    """A region in 20x pixels -> pixels of the level that cover it."""
    if region is None:
        return Rect(0, 0, *slide.zoom.level_size(level))
    match = _REGION.fullmatch(region)
    if match is None:
        raise MalformedError("a region as X,Y,WIDTH,HEIGHT in 20x pixels", repr(region[:80]), "correct it")
    rect = Rect(*(int(part) for part in match.groups()))
    for _ in range(slide.zoom.scale(level)):
        rect = rect.parent()
    return rect

"""The command `everslide export`: from its arguments to a file, with a progress bar."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Never

from tqdm import tqdm

from everslide.model.errors import SlideError
from everslide.model.geometry import BASE_MAGNIFICATION, Rect
from everslide.model.manner import OWN, Manner
from everslide.server.assembly import assemble
from everslide.server.encode import JPEG, PNG
from everslide.server.errors import MalformedError
from everslide.server.export import Progress, Pyramid, export_dzi, export_field, export_tiff, region_of
from everslide.server.painters import ModelFiles
from everslide.server.settings import MIB, Settings
from everslide.server.slides import Catalogue, Entry, demo_entries, parse_spec
from everslide.server.tiles import ServedSlide

_REGION = re.compile(r"(\d{1,15}),(\d{1,15}),(\d{1,15}),(\d{1,15})")
MAX_MEMORY = 64 * MIB
"""Bytes of encoded, and of undecoded tiles in memory: an export asks for every tile about once."""
SUFFIXES = (".ome.tiff", ".ome.tif", ".png", ".jpeg", ".jpg", ".dzi")


def run_export(
    settings: Settings,
    entry: Entry,
    files: ModelFiles,
    out: Path,
    region: str | None,
    magnification: float,
    lossless: bool,
) -> None:
    """Write `out`, in the format that its name says. Raises SlideError, StoreError, RequestError, OSError."""
    if not out.name.endswith(SUFFIXES):
        raise MalformedError(f"a file that ends in {', '.join(SUFFIXES)}", out.name, "choose another name")
    little = replace(
        settings,
        event_streams=0,
        memory_size=min(settings.memory_size, MAX_MEMORY),
        raw_size=min(settings.raw_size, MAX_MEMORY),
    )
    assembly = assemble(little, Catalogue((entry,)), {entry.slide.model: files})
    try:
        slide = assembly.service.slide(entry.slide.name)
        level = _level(slide, magnification)
        wanted = region_of(slide, level, _rect(slide, level, region))
        pyramid = Pyramid(assembly.service, wanted)
        if out.name.endswith((".png", ".jpeg", ".jpg")):
            export_field(pyramid, out, PNG if out.suffix == ".png" else JPEG, settings.max_pixels)
            return
        with tqdm(total=pyramid.tiles, unit="tile", desc=out.name) as bar:
            progress = _shown_on(bar)
            if out.suffix == ".dzi":
                export_dzi(pyramid, out, progress)
            else:
                export_tiff(pyramid, out, lossless, progress)
    finally:
        assembly.close()


def _shown_on(bar: tqdm[Never]) -> Progress:
    def show(done: int, total: int) -> None:
        bar.update(done - bar.n)

    return show


def entry_of(spec: str, model: str, manner: Manner = OWN) -> Entry:
    """The slide "demo", "endless", or that of a specification. Raises SlideError."""
    demos = {entry.slide.name: entry for entry in demo_entries(model)}
    entry = demos.get(spec) or parse_spec(spec, model)
    return replace(entry, slide=replace(entry.slide, manner=manner))


def _level(slide: ServedSlide, magnification: float) -> int:
    s = math.log2(BASE_MAGNIFICATION / magnification) if magnification > 0 else -1.0
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

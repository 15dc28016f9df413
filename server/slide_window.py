"""Bounded views of slides: the whole slide, or a part of a slide that has no end or is too large.

Many viewers begin with the whole picture. They cannot show an unbounded slide, nor one whose overview would need any
number of tiles. Such slides are served in parts, `NAME@X,Y,WIDTH,HEIGHT` in 20x pixels: each is a pyramid of its own,
down to a single pixel.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from everslide.model.errors import SlideError
from everslide.model.geometry import TILE_PX, Rect
from everslide.model.pyramid.wavelet import box_mean
from everslide.server.deepzoom import DeepZoom
from everslide.server.encode import Pixels
from everslide.server.errors import MalformedError, NotFoundError
from everslide.server.regions import read_region
from everslide.server.tiles import ServedSlide, TileService

_PART = re.compile(r"(\d{1,13}),(\d{1,13}),(\d{1,13}),(\d{1,13})", re.ASCII)
DEFAULT_PX = (131072, 98304)
"""Width and height, in 20x pixels, of the part that is offered by default: about a glass slide."""


@dataclass(frozen=True)
class View:
    """A slide, or the part of it that begins at the 20x pixel (l0_x, l0_y). name: in addresses. zoom: its pyramid."""

    slide: ServedSlide
    name: str
    zoom: DeepZoom
    l0_x: int = 0
    l0_y: int = 0

    def read(
        self, service: TileService, level: int, z_rect: Rect, gone: Callable[[], bool], viewer: str = ""
    ) -> Pixels:
        """Pixels (height, width, 3) of a rectangle of a level of this view. Raises what `read_region` raises."""
        whole, s = self.slide.zoom, self.zoom.scale(level)
        painted = min(s, whole.scale(whole.min_level))
        shrink = 2 ** (s - painted)
        rect = Rect(
            z_rect.x * shrink + (self.l0_x >> painted),
            z_rect.y * shrink + (self.l0_y >> painted),
            z_rect.width * shrink,
            z_rect.height * shrink,
        )
        width, height = whole.level_size(whole.level(painted))
        there = Rect(rect.x, rect.y, min(rect.right, width) - rect.x, min(rect.bottom, height) - rect.y)
        pixels = read_region(service, self.slide, whole.level(painted), there, gone, viewer)
        beyond = ((0, rect.height - there.height), (0, rect.width - there.width), (0, 0))
        pixels = np.pad(pixels, beyond, mode="edge")
        for _ in range(s - painted):
            pixels = box_mean(pixels)
        return pixels


def view_of(service: TileService, name: str) -> View:
    """The view that an address names. Raises NotFoundError where there is none, also for an unbounded slide without a
    part; MalformedError where the part cannot be read, or is not on the slide."""
    base, at, part = name.partition("@")
    slide = service.slide(base)
    if at and not slide.zoom.ends:
        return _part(slide, base, part)
    if at:
        raise NotFoundError(f"the slide {base} as a whole", repr(name[:80]), "leave out what begins with @")
    if slide.entry.slide.unbounded:
        raise _only_in_parts(slide, "a slide without one")
    return View(slide, base, slide.zoom)


def pyramid_of(service: TileService, name: str) -> View:
    """As `view_of`, but raises NotFoundError also for a slide too large to be served up to a single pixel."""
    view = view_of(service, name)
    if not view.zoom.ends:
        raise _only_in_parts(view.slide, "a slide too large to be shown whole")
    return view


def _only_in_parts(slide: ServedSlide, what: str) -> NotFoundError:
    base = slide.entry.slide.name
    do = f"ask for a part of it, {base}@X,Y,WIDTH,HEIGHT in 20x pixels, such as {default_part(slide)}"
    return NotFoundError("a picture that has an end", f"{base}, {what}", do)


def default_part(slide: ServedSlide) -> str:
    """The name of the part in the middle of a slide that is offered to viewers that need a whole picture."""
    whole, step = slide.entry.slide, _step(slide)
    width, height = (min(most, side) for most, side in zip(DEFAULT_PX, (whole.width_px, whole.height_px), strict=True))
    x, y = ((side - size) // 2 // step * step for side, size in ((whole.width_px, width), (whole.height_px, height)))
    return f"{whole.name}@{x},{y},{width},{height}"


def _step(slide: ServedSlide) -> int:
    """20x pixels of a pixel of the coarsest painted plane: parts begin at whole ones."""
    return int(2 ** slide.zoom.scale(slide.zoom.min_level))


def _part(slide: ServedSlide, base: str, part: str) -> View:
    match, step, whole = _PART.fullmatch(part), _step(slide), slide.entry.slide
    if match is None:
        raise MalformedError(f"{base}@X,Y,WIDTH,HEIGHT in 20x pixels", repr(part[:60]), "correct the address")
    x, y, width, height = (int(number) for number in match.groups())
    most = 4 * TILE_PX * step
    if x % step or y % step or min(width, height) < TILE_PX or max(width, height) > most:
        expected = f"X and Y in steps of {step}, sides of {TILE_PX} to {most}"
        raise MalformedError(
            expected, part, f"try {x // step * step},{y // step * step},{DEFAULT_PX[0]},{DEFAULT_PX[1]}"
        )
    if x + width > whole.width_px or y + height > whole.height_px:
        raise MalformedError(f"a part within {whole.width_px} x {whole.height_px}", part, "choose another")
    try:
        bounded = replace(whole, width_px=width, height_px=height, unbounded=False)
    except SlideError as error:
        raise MalformedError("a part that a slide may be as large as", str(error), "choose another") from error
    return View(
        slide, f"{base}@{x},{y},{width},{height}", DeepZoom(bounded, slide.zoom.scale(slide.zoom.min_level)), x, y
    )

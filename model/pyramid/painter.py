"""The painter: whole tiles of a slide. A tile is a function of its parent's pixels and of keyed noise alone.

Planes are painted coarse to fine. The topmost plane is given (a sketch, or a real image); every finer plane is its
parent plus detail. Detail comes from the model window by window; overlapping windows are blended (`Painter._paint`),
and the result is rounded so that the 2x2 box mean of the children *is* the parent
(`everslide.model.pyramid.wavelet`), and so that nothing below a sketch is brighter than its glass. Planes above the
topmost one are box means. What is remembered only saves time: the same pixels come out after any eviction, in any
order, with any other windows in the batch.

Cost: a tile touches 2x2 windows; its ancestors add at most 3x3 windows a plane (`MAX_WINDOWS_PER_TILE` in all).
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from everslide.model.errors import SlideError
from everslide.model.geometry import (
    TILE_PX,
    TOP_SCALE,
    Rect,
    TileIndex,
    WindowGrid,
    WindowIndex,
    tiles_touching,
    windows_touching,
)
from everslide.model.pyramid.generation_context import GenerationContext, Topmost
from everslide.model.pyramid.top import TopPlane
from everslide.model.pyramid.wavelet import box_mean, children_of, smooth_bands
from everslide.model.pyramid.window_model import WindowModel, common_facts
from everslide.model.pyramid.windows import Bands, Counts, LocalWindows, Windows
from everslide.model.slide import Slide

if TYPE_CHECKING:
    from everslide.model.style_reference import Reference

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
T = TypeVar("T", bound=np.generic)
MAX_WINDOWS_PER_TILE = 4 + 9 * (TOP_SCALE - 1)
"""Windows painted for a tile at s = 0 when nothing is cached, at most."""
PYRAMID_FORMAT = 3
"""Part of every fingerprint: raise it when the same bands, blended and closed, would give other pixels."""
CLEAR = 238
"""Grey levels of CLEAR and more are glass. Below a sketch, a window whose whole parent is glass is not evaluated."""
REMEMBERED_WINDOWS = 160
REMEMBERED_REGIONS = 6


class TileStore(Protocol):
    """Where a painter looks for finished tiles, and keeps them. A store may lose any tile: it is painted again,
    equal."""

    def get(self, tile: TileIndex) -> Pixels | None:
        """The tile (256, 256, 3), or None where it is not kept."""
        ...

    def put(self, tile: TileIndex, pixels: Pixels) -> None:
        """Keep a tile (256, 256, 3)."""
        ...


class Painter:
    """Paints the tiles of one slide. Safe to use from several threads if `paints` is.

    paints: paints the windows; a `WindowModel` is wrapped in `LocalWindows`. tiles: where finished tiles are kept.
    top: the topmost plane. fingerprint: see `identity`.
    """

    def __init__(
        self,
        slide: Slide,
        paints: WindowModel | Windows,
        tiles: TileStore,
        top: TopPlane,
        reference: Reference | None = None,
    ) -> None:
        """reference: what the slide shall look like. Raises SlideError where the model lacks what slide or reference
        ask for."""
        self.slide, self._tiles = slide, tiles
        self._paints = paints if isinstance(paints, Windows) else LocalWindows(paints)
        self._grid = self._paints.grid
        if reference and not self._paints.steerable:
            raise SlideError(f"slide {slide.name}: its model {slide.model} takes no reference picture; leave it out")
        self._paints.capabilities.check(slide.sampling, f"slide {slide.name}: its model {slide.model}")
        self._top = top
        self._brightest = 255 if top.real else top.glass
        self.fingerprint = identity(slide, self._paints, self._top, reference)
        topmost = Topmost(self.fingerprint, self._top) if self._paints.capabilities.from_top else None
        picture_s = top.s if top.real else None
        self._context = GenerationContext(slide.seed, reference, slide.sampling, picture_s, topmost)
        self._windows = _RememberedWindows()
        self._drawing: dict[TileIndex, threading.Lock] = {}
        self._regions: dict[int, tuple[tuple[Rect, Pixels], ...]] = {}  # by scale, the newest first; always replaced

    @property
    def counts(self) -> Counts:
        """Work done so far."""
        return self._paints.counts

    def tile(self, tile: TileIndex) -> Pixels:
        """Pixels (256, 256, 3) uint8 of a whole tile, from the store or painted.

        Raises SlideError for scales below 0, and for planes above the topmost one of an unbounded slide.
        """
        kept = self._tiles.get(tile)
        return kept if kept is not None else self.paint(tile)

    def paint(self, tile: TileIndex) -> Pixels:
        """As `tile`, without asking the store for the tile itself: for callers that know it is not kept."""
        if tile.s < 0:
            raise SlideError(f"scale {tile.s}: expected 0 (20x) or coarser")
        if tile.s > self._top.s:
            pixels = self._box_mean_tile(tile)
        elif tile.s == self._top.s:
            return self._draw(tile)
        else:
            pixels = np.ascontiguousarray(self._pixels(tile.s, tile.rect))
        self._tiles.put(tile, pixels)
        return pixels

    def _draw(self, tile: TileIndex) -> Pixels:
        """A tile of the topmost plane. It costs as much as several windows, so threads that want the same one share
        it."""
        with self._drawing.setdefault(tile, threading.Lock()):
            pixels = self._tiles.get(tile)
            if pixels is None:
                pixels = self._top.tile(tile.col, tile.row)
                self._tiles.put(tile, pixels)
        self._drawing.pop(tile, None)
        return pixels

    def _box_mean_tile(self, tile: TileIndex) -> Pixels:
        if self.slide.unbounded:
            raise SlideError(f"scale {tile.s}: an unbounded slide is never shown whole; the coarsest is {self._top.s}")
        inside = Rect(0, 0, *self.slide.size_at(tile.s - 1))
        children = np.full((2 * TILE_PX, 2 * TILE_PX, 3), self._top.glass, np.uint8)
        for child in tiles_touching(tile.s - 1, tile.rect.children()):
            if child.rect.intersection(inside):
                y, x = (child.row % 2) * TILE_PX, (child.col % 2) * TILE_PX
                children[y : y + TILE_PX, x : x + TILE_PX] = self.tile(child)
        return box_mean(children)

    def _pixels(self, s: int, rect: Rect) -> Pixels:
        """Pixels of `rect` of plane s: remembered, put together from kept tiles, or painted from the parent plane."""
        for known, pixels in self._regions.get(s, ()):
            if known.intersection(rect) == rect:
                return _crop(pixels, known, rect)
        region, pixels = self._kept(s, rect) or self._paint(s, rect)
        self._regions[s] = ((region, pixels), *self._regions.get(s, ()))[:REMEMBERED_REGIONS]
        return _crop(pixels, region, rect)

    def _kept(self, s: int, rect: Rect) -> tuple[Rect, Pixels] | None:
        """`rect` put together from kept tiles (the topmost plane always is), or None where one is missing."""
        out = np.empty((rect.height, rect.width, 3), np.uint8)
        for tile in tiles_touching(s, rect):
            pixels = self.tile(tile) if s == self._top.s else self._tiles.get(tile)
            if pixels is None:
                return None
            part = tile.rect.intersection(rect)
            assert part is not None
            _crop(out, rect, part)[:] = _crop(pixels, tile.rect, part)
        return rect, out

    def _paint(self, s: int, rect: Rect) -> tuple[Rect, Pixels]:
        """`rect`, grown to whole 2x2 blocks, painted from plane s + 1: windows are blended here, by `tent`."""
        mean_rect = rect.parent()
        windows = list(windows_touching(s, mean_rect.children(), self._grid))
        painted = self._windows.get(windows)
        missing = [window for window in windows if window not in painted]
        needed = mean_rect
        for window in missing:
            needed = needed.union(window.parent_rect)
        parent = self._pixels(s + 1, needed)
        painted.update(self._paint_windows(missing, parent, needed))
        bands = np.zeros((mean_rect.height, mean_rect.width, 3, 3), np.float32)
        tent = _tent(self._grid)
        for window in windows:  # in grid order, whatever was painted when: sums of floats depend on their order
            part = window.parent_rect.intersection(mean_rect)
            assert part is not None
            weight = _crop(tent, window.parent_rect, part)
            _crop(bands, mean_rect, part)[:] += _crop(painted[window], window.parent_rect, part) * weight
        mean = _crop(parent, needed, mean_rect)
        return mean_rect.children(), children_of(mean, bands, self._brightest)

    def _paint_windows(self, missing: list[WindowIndex], parent: Pixels, parent_rect: Rect) -> dict[WindowIndex, Bands]:
        """Paint and remember the missing windows, all of one scale. parent: pixels `parent_rect` of plane s + 1."""
        if not missing:
            return {}
        parents = {w: np.ascontiguousarray(_crop(parent, parent_rect, w.parent_rect)) for w in missing}
        out = {w: _smooth(parents[w]) for w in missing if not self._top.real and parents[w].min() >= CLEAR}
        to_paint = [window for window in missing if window not in out]
        bands = self._paints.paint(self._context, to_paint, [parents[w] for w in to_paint]) if to_paint else []
        out.update(zip(to_paint, bands, strict=True))
        self._windows.put(out)
        return out


class _RememberedWindows:
    """The REMEMBERED_WINDOWS windows used last. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bands: OrderedDict[WindowIndex, Bands] = OrderedDict()

    def get(self, windows: list[WindowIndex]) -> dict[WindowIndex, Bands]:
        """Those of the windows that are remembered."""
        with self._lock:
            found = {window: self._bands[window] for window in windows if window in self._bands}
            for window in found:
                self._bands.move_to_end(window)
            return found

    def put(self, painted: dict[WindowIndex, Bands]) -> None:
        with self._lock:
            self._bands.update(painted)
            while len(self._bands) > REMEMBERED_WINDOWS:
                self._bands.popitem(last=False)


def identity(slide: Slide, paints: Windows, top: TopPlane, reference: Reference | None) -> str:
    """The slide's identity: 16 hexadecimal digits that change with everything that can change one of its pixels.

    This is the one place where it is computed. Entity tags, keys of stores, `?v=` of links, headers and exports derive
    from it. paints: paints the windows. top: the topmost plane. reference: what the slide is conditioned on, or None.
    """
    extent = (slide.width_px, slide.height_px, slide.unbounded)
    style = reference.digest if reference else ""
    facts = (
        PYRAMID_FORMAT, *common_facts(), slide.seed, extent, slide.sampling.key, style,
        paints.fingerprint, paints.grid, top.fingerprint, top.s,
    )  # fmt: skip
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _smooth(parent: Pixels) -> Bands:
    """Bands of a window without detail of its own: the smooth surface through its parent (h, h, 3)."""
    return smooth_bands(parent.astype(np.float32)).astype(np.float16)


def _crop(array: NDArray[T], of: Rect, to: Rect) -> NDArray[T]:
    """The part `to` of an array (H, W, ...) that covers `of`, as a view."""
    return array[to.y - of.y : to.bottom - of.y, to.x - of.x : to.right - of.x]


def _tent(grid: WindowGrid) -> Floats:
    """Blending weights (h, h, 1, 1) of a window in its parent's plane; over all windows they add up to 1 everywhere."""
    return tent(grid.window_px // 2, (grid.window_px - grid.stride_px) // 2)[:, :, None, None]


def tent(side: int, overlap: int) -> Floats:
    """Weights (side, side) float32 in (0, 1]: 1 inside, falling linearly towards each edge over `overlap` pixels."""
    ramp = (np.arange(overlap, dtype=np.float32) + np.float32(0.5)) / np.float32(max(overlap, 1))
    weights = np.ones(side, np.float32)
    weights[:overlap], weights[side - overlap :] = ramp, ramp[::-1]
    return weights[:, None] * weights[None, :]

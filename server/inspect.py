"""Routes for inspecting the model: facts of tiles, difference from the parent, and painting a tile again."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from flask import Blueprint, Response, request

from everslide.model.geometry import TILE_PX, TileIndex, magnification, mpp
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.pyramid.window_trace import PaintedWindow
from everslide.model.pyramid.windows import Bands
from everslide.model.sampling_config import SamplingConfig
from everslide.server.access import Access, client_gone
from everslide.server.deepzoom import TileAddress, natural
from everslide.server.encode import PNG, Pixels, encode
from everslide.server.errors import MalformedError
from everslide.server.fields import asks, fresh_json
from everslide.server.film import film
from everslide.server.tiles import ServedSlide, TileService

MAX_TILES = 400
"""Tiles in one request; a wall screen shows about 300."""
_HALF = TILE_PX // 2


class Counts(Protocol):
    """Work of a painter since it was made: windows painted, network evaluations."""

    windows: int
    denoiser_calls: int


@runtime_checkable
class Counting(Protocol):
    """A painter that counts its work."""

    counts: Counts


@dataclass(frozen=True)
class Repainted:
    """A tile painted again from its stored ancestors, without anything else that was cached.

    pixels: (256, 256, 3). windows: those painted for it, coarse first; empty where the model cannot be watched. steps:
    bands predicted at each sampler step of the last window. The counts are None where the painter does not count.
    """

    pixels: Pixels
    seconds: float
    windows: list[PaintedWindow]
    steps: list[Bands]
    window_count: int | None
    denoiser_calls: int | None


class _Without:
    """The tiles of a slide, seen by somebody who must not know one of them, nor anything finer; keeps nothing."""

    def __init__(self, slide: ServedSlide, hidden: TileIndex) -> None:
        self._slide = slide
        self._hidden = hidden

    def get(self, tile: TileIndex) -> Pixels | None:
        return self._slide.tiles.get(tile) if tile.s > self._hidden.s else None

    def put(self, tile: TileIndex, pixels: Pixels) -> None:
        return


def inspection_routes(service: TileService, access: Access) -> Blueprint:
    """`/api/slides/<name>/tiles/<level>?cols=FIRST-LAST&rows=FIRST-LAST`, `.../<level>/<col>/<row>`, and POST of the
    latter to paint the tile once more."""
    routes = Blueprint("inspect", __name__)

    def place(name: str, level: str, col: str, row: str) -> tuple[ServedSlide, TileAddress]:
        slide = service.slide(name)
        address = TileAddress(natural(level, "the level"), natural(col, "the column"), natural(row, "the row"))
        slide.zoom.check(address)
        return slide, address

    @routes.get("/api/slides/<name>/tiles/<level>")
    @asks({"cols": "FIRST-LAST, of columns.", "rows": "FIRST-LAST, of rows."}, required=True)
    def several(name: str, level: str) -> Response:
        """The states of several tiles of a level: cached, waiting or not painted."""
        slide = service.slide(name)
        cols, rows = (_span(request.args.get(axis, ""), axis) for axis in ("cols", "rows"))
        if len(cols) * len(rows) > MAX_TILES:
            raise MalformedError(f"at most {MAX_TILES} tiles", str(len(cols) * len(rows)), "ask for fewer")
        tiles = [TileAddress(natural(level, "the level"), col, row) for row in rows for col in cols]
        for corner in (tiles[0], tiles[-1]):
            slide.zoom.check(corner)
        return fresh_json({"tiles": [_state(slide, address) for address in tiles]})

    @routes.get("/api/slides/<name>/tiles/<level>/<col>/<row>")
    def one(name: str, level: str, col: str, row: str) -> Response:
        """What is known of a tile: its address, seed, model, state and digest."""
        slide, address = place(name, level, col, row)
        return fresh_json(_facts(slide, address))

    @routes.post("/api/slides/<name>/tiles/<level>/<col>/<row>")
    def again(name: str, level: str, col: str, row: str) -> Response:
        """Paint a tile once more, watched, and compare its bytes with those kept."""
        access.admit()
        slide, address = place(name, level, col, row)
        first = service.pixels(slide, address, client_gone())
        repainted = _repaint(service, slide, slide.zoom.tile_index(address))
        return fresh_json(_comparison(slide, first, repainted))

    return routes


def _span(words: str, axis: str) -> range:
    """ "3-7" -> range(3, 8)."""
    first, dash, last = words.partition("-")
    if not dash:
        raise MalformedError(f"{axis}=FIRST-LAST", repr(words[:40]), "correct the address")
    begin, end = natural(first, axis), natural(last, axis) + 1
    if not 0 < end - begin <= MAX_TILES:  # `len` of a range ends at 2^63
        raise MalformedError(f"{axis}=FIRST-LAST, at most {MAX_TILES}", repr(words[:40]), "ask for fewer")
    return range(begin, end)


def _state(slide: ServedSlide, address: TileAddress) -> dict[str, Any]:
    tile = slide.zoom.tile_index(address)
    pixels = slide.tiles.get(tile)
    difference = None if pixels is None else _difference_to_parent(slide, tile, pixels)
    return {"col": address.col, "row": address.row, "cached": pixels is not None, "difference": difference}


def _facts(slide: ServedSlide, address: TileAddress) -> dict[str, Any]:
    tile = slide.zoom.tile_index(address)
    pixels = slide.tiles.get(tile)
    return {
        "level": address.level,
        "col": address.col,
        "row": address.row,
        "scale": tile.s,
        "magnification": magnification(tile.s),
        "um_per_px": mpp(tile.s),
        "seed": str(slide.entry.slide.seed),
        "model": slide.entry.slide.model,
        "steps": slide.entry.slide.sampling.steps,
        "guidance": slide.entry.slide.sampling.guidance,
        "organ": ", ".join(organ for organ, _ in slide.organs_in(tile.rect, tile.s)) or None,
        "fingerprint": slide.fingerprint,
        "cached": pixels is not None,
        "sha256": None if pixels is None else _digest(slide, pixels),
        "difference": None if pixels is None else _difference_to_parent(slide, tile, pixels),
    }


def _difference_to_parent(slide: ServedSlide, tile: TileIndex, pixels: Pixels) -> int | None:
    """Largest difference, in grey levels, of the tile's 2x2 box means from its parent; None without a cached parent."""
    parent = slide.tiles.get(tile.parent)
    if parent is None:
        return None
    y, x = (tile.row % 2) * _HALF, (tile.col % 2) * _HALF
    quadrant = parent[y : y + _HALF, x : x + _HALF]
    return int(np.abs(box_mean(pixels).astype(np.int16) - quadrant.astype(np.int16)).max())


def _repaint(service: TileService, slide: ServedSlide, tile: TileIndex) -> Repainted:
    """Paint with a painter that remembers nothing but the tiles above, in the painter's turn."""
    windows: list[PaintedWindow] = []
    steps: list[Bands] = []
    painter = service.painter_of(slide.entry, _Without(slide, tile), windows.append)
    seconds = 0.0

    def work() -> Pixels:
        nonlocal seconds
        started = time.monotonic()
        pixels = painter.tile(tile)
        seconds = time.monotonic() - started
        if windows:
            steps.extend(windows[-1].steps())
        return pixels

    # Under a name of its own, so that nobody who waits for the slide's tile shares this turn.
    name = f"{slide.entry.slide.name} once more"
    pixels = service.queue.paint(name, slide.zoom.address(tile), tile.s, work, client_gone())
    counts = painter.counts if isinstance(painter, Counting) else None
    window_count, denoiser_calls = (counts.windows, counts.denoiser_calls) if counts else (None, None)
    return Repainted(pixels, seconds, windows, steps, window_count, denoiser_calls)


def _comparison(slide: ServedSlide, first: Pixels, second: Repainted) -> dict[str, Any]:
    digests = [_digest(slide, pixels) for pixels in (first, second.pixels)]
    return {
        "equal": digests[0] == digests[1],
        "sha256": digests,
        "largest_difference": int(np.abs(first.astype(np.int16) - second.pixels.astype(np.int16)).max()),
        "milliseconds": round(second.seconds * 1000, 1),
        "windows": second.window_count,
        "steps": _steps_of_window(slide.entry.slide.sampling, second),
        "denoiser_calls": second.denoiser_calls,
        "work": [_work(window) for window in second.windows],
        "film": film(second.windows[-1], second.steps, second.pixels, slide.mark) if second.windows else [],
    }


def _steps_of_window(sampling: SamplingConfig, painted: Repainted) -> int | None:
    """Sampler steps of a window. None where nobody counts, or nothing was painted."""
    if not painted.window_count or painted.denoiser_calls is None:
        return None
    return painted.denoiser_calls // painted.window_count // sampling.calls_per_step


def _work(window: PaintedWindow) -> dict[str, Any]:
    return {
        "magnification": magnification(window.s),
        "milliseconds": round(window.seconds * 1000, 1),
        "agreement_db": round(window.agreement_db, 1),
    }


def _digest(slide: ServedSlide, pixels: Pixels) -> str:
    """SHA-256 of the lossless file."""
    return hashlib.sha256(encode(pixels, PNG, slide.mark)).hexdigest()

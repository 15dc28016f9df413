"""The tile service: from an address to the bytes of a tile.

A request goes address -> store -> painter's queue -> encode -> store -> answer. Files hold whole lossless tiles; JPEG
and WebP are encoded from them in a millisecond, and are kept in memory only.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote

from everslide.cache.shared_flight import SharedFlight
from everslide.cache.single_flight import SingleFlight
from everslide.cache.store import ByteStore, Key
from everslide.model.errors import SlideError
from everslide.model.geometry import TILE_PX, Rect, TileIndex
from everslide.model.organs import SlideOrgan
from everslide.model.pyramid.window_trace import Watch
from everslide.model.style_reference import Reference
from everslide.server.deepzoom import DeepZoom, TileAddress
from everslide.server.encode import PNG, Format, Pixels, encode, encoders_fingerprint, mark_of, png_fingerprint
from everslide.server.errors import BusyError, GoneError
from everslide.server.foresight import Foresight, Guess
from everslide.server.metrics import Metrics
from everslide.server.pace import Pace
from everslide.server.painters import NoTiles, Painters, TilePainter, TileStore
from everslide.server.pixels import PixelTiles, rank_of
from everslide.server.preview import preview
from everslide.server.queue import PaintQueue, moved_away, stopping
from everslide.server.slides import Catalogue, Entry
from everslide.server.viewports import l0_tile

State = Literal["final", "preview"]


@dataclass(frozen=True)
class Tile:
    """An encoded tile. state: "final", or "preview" for a stand-in. ancestor: the tile that a preview was enlarged
    from; None: plain glass."""

    data: bytes
    fmt: Format
    state: State
    ancestor: TileAddress | None = None


@dataclass(frozen=True)
class ServedSlide:
    """A slide with everything that serves it.

    fingerprint: of the bytes of its tiles: the painter's identity, the mark and the encoders. mark: text in every file.
    organ: chosen or drawn; None where its model knows none. region_organs: those of its regions. like: what it is
    conditioned on.
    """

    entry: Entry
    zoom: DeepZoom
    painter: TilePainter
    tiles: PixelTiles
    fingerprint: str
    mark: str
    organ: SlideOrgan | None = None
    region_organs: tuple[SlideOrgan, ...] = ()
    like: Reference | None = None

    def etag(self, address: TileAddress, fmt: Format) -> str:
        """Entity tag of a final tile, known before it is painted, since tiles are deterministic."""
        return f"{self.fingerprint}-{address.level}-{address.col}-{address.row}-{fmt.suffix}"

    def organs_in(self, rect: Rect, s: int) -> list[tuple[str, float]]:
        """(organ, share) of each organ in a rectangle of plane s, the largest share first."""
        found = self.like.organs(rect, s) if self.like else {}
        return sorted(found.items(), key=lambda one: -one[1])

    @property
    def origin(self) -> list[tuple[str, str]]:
        """Headers of every image that say what painted it. Names of organs are percent-encoded, but for their
        spaces."""
        slide = self.entry.slide
        of = [("X-Everslide-Organ", quote(self.organ.name, safe=" "))] if self.organ else []
        if self.region_organs:
            names = ", ".join(quote(organ.name, safe=" ") for organ in self.region_organs)
            of.append(("X-Everslide-Region-Organs", names))
        return [("X-Everslide-Model", slide.model), ("X-Everslide-Seed", str(slide.seed)), *of]


@dataclass(frozen=True)
class Stores:
    """Where tiles are kept. lossless: whole tiles as PNG. encoded: other encoded tiles, as they are served. raw: whole
    tiles as arrays, for the painter."""

    lossless: ByteStore
    encoded: ByteStore
    raw: ByteStore


@dataclass(frozen=True)
class Check:
    """A check of readiness. passes: whether the part works now. needed: whether nothing can be painted without it."""

    name: str
    passes: Callable[[], bool]
    needed: bool


class TileService:
    """Serves the tiles of all slides of a catalogue; safe to use from several threads.

    models: painters for every model that a slide names. paint_queue: paints; closed with the service.
    flight: lets one of several processes paint a tile, where there are several.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        models: Mapping[str, Painters],
        stores: Stores,
        paint_queue: PaintQueue,
        flight: SharedFlight | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.models = models
        self.stores = stores
        self.queue = paint_queue
        self.metrics = metrics or Metrics()
        self.checks: list[Check] = []
        self.foresight = Foresight()
        self._flight = flight
        self._pace = Pace(lambda: paint_queue.full)
        self._seats = threading.BoundedSemaphore(paint_queue.max_waiting)
        self._flights: SingleFlight[bytes] = SingleFlight()
        self._slides = {entry.slide.name: self._serve(entry, models[entry.slide.model]) for entry in catalogue}

    def slide(self, name: str) -> ServedSlide:
        """The served slide of this name. Raises NotFoundError."""
        served = self._slides.get(name)
        return served if served is not None else self._slides[self.catalogue[name].slide.name]

    def served(self) -> list[ServedSlide]:
        """All served slides, in the order of the catalogue."""
        return [slide for entry in self.catalogue if (slide := self._slides.get(entry.slide.name)) is not None]

    def add(self, entry: Entry) -> None:
        """Serve one more slide. Raises SlideError where its name is taken or its model is not served."""
        if entry.slide.model not in self.models:
            raise SlideError(f"its model {entry.slide.model!r} is not served")
        served = self._serve(entry, self.models[entry.slide.model])
        self.catalogue.add(entry)
        self._slides[entry.slide.name] = served

    def serves(self, slide: ServedSlide) -> bool:
        """Whether the slide is still served, unchanged."""
        return self._slides.get(slide.entry.slide.name) is slide

    def rename(self, name: str, title: str) -> None:
        """Give a slide another title. Raises NotFoundError."""
        served = self.slide(name)
        entry = replace(served.entry, title=title)
        self._slides[name] = replace(served, entry=entry)
        self.catalogue.replace(entry)

    def remove(self, name: str) -> None:
        """Stop serving a slide; a tile of it that is being painted is finished. Raises NotFoundError."""
        self.slide(name)
        self.catalogue.remove(name)
        del self._slides[name]

    def painter_of(self, entry: Entry, tiles: TileStore | None = None, watch: Watch | None = None) -> TilePainter:
        """A new painter of a slide, with nothing remembered. tiles: its store; an empty one by default. watch: called
        with every painted window, where the model can be watched."""
        painters = self.models[entry.slide.model]
        tiles = tiles or NoTiles()
        if watch is not None and painters.watched is not None:
            return painters.watched(entry.slide, tiles, entry.top, entry.reference, watch)
        return painters.make(entry.slide, tiles, entry.top, entry.reference)

    def encoded(self, slide: ServedSlide, address: TileAddress, fmt: Format) -> bytes | None:
        """The file of the final tile, or None where it is not stored. Nothing is decoded, encoded or painted."""
        if is_stored(slide, address, fmt):
            return slide.tiles.file(slide.zoom.tile_index(address))
        return self.stores.encoded.get(self._key(slide, address, fmt))

    def encoded_in_memory(self, slide: ServedSlide, address: TileAddress, fmt: Format) -> bytes | None:
        """As `encoded`, without access to disk or network: None for lossless whole tiles."""
        if is_stored(slide, address, fmt):
            return None
        return self.stores.encoded.get(self._key(slide, address, fmt))

    def cached(self, slide: ServedSlide, address: TileAddress, fmt: Format, *, looked: bool = False) -> Tile | None:
        """The final tile, or None where it must be painted. looked: `encoded` has just returned None for it."""
        data = None if looked else self.encoded(slide, address, fmt)
        if data is None:
            pixels = slide.tiles.get(slide.zoom.tile_index(address))
            data = None if pixels is None else self._encode_once(slide, address, fmt, pixels)
        return None if data is None else Tile(data, fmt, "final")

    def final(
        self, slide: ServedSlide, address: TileAddress, fmt: Format, gone: Callable[[], bool], viewer: str = ""
    ) -> Tile:
        """The final tile, painted if needed. address: checked. Raises what `PaintQueue.paint` raises."""
        return self.cached(slide, address, fmt) or self.painted(slide, address, fmt, gone, viewer)

    def painted(
        self, slide: ServedSlide, address: TileAddress, fmt: Format, gone: Callable[[], bool], viewer: str = ""
    ) -> Tile:
        """The final tile, painted: for a tile that is not stored. address: checked. Raises what `PaintQueue.paint`
        raises."""
        pixels = self._painted_pixels(slide, address, gone, viewer)
        return Tile(self._encode_once(slide, address, fmt, pixels), fmt, "final")

    def preview(self, slide: ServedSlide, address: TileAddress, fmt: Format) -> Tile:
        """The tile if it is cached, else its nearest cached ancestor enlarged, else glass. Never paints; see `Pace`."""
        final = self.cached(slide, address, fmt)
        if final is not None:
            return final
        tile = slide.zoom.tile_index(address)
        with self._pace.turn():
            enlarged = preview(slide.tiles, tile, slide.zoom.scale(slide.zoom.min_level))
            data = encode(_cut(enlarged.pixels, slide.zoom, address), fmt, slide.mark)
        ancestor = slide.zoom.address(enlarged.ancestor) if enlarged.ancestor is not None else None
        return Tile(data, fmt, "preview", ancestor)

    def pixels(self, slide: ServedSlide, address: TileAddress, gone: Callable[[], bool], viewer: str = "") -> Pixels:
        """The whole tile (256, 256, 3), stored or painted. Raises what `PaintQueue.paint` raises."""
        pixels = slide.tiles.get(slide.zoom.tile_index(address))
        return pixels if pixels is not None else self._painted_pixels(slide, address, gone, viewer)

    def _painted_pixels(
        self, slide: ServedSlide, address: TileAddress, gone: Callable[[], bool], viewer: str
    ) -> Pixels:
        tile, name = slide.zoom.tile_index(address), slide.entry.slide.name

        def paint() -> Pixels:
            return self.queue.paint(name, address, tile.s, lambda: self._paint(slide, tile), gone, viewer)

        if self._flight is None or self.queue.has(name, address):
            return paint()
        return self._fly(slide, tile, paint, gone, viewer)

    def paint_ahead(self, guess: Guess) -> None:
        """Paint a predicted tile, if there is such a tile and it is not stored. Raises GoneError when a request
        waits."""
        slide = self._slides.get(guess.slide)
        if slide is None or not slide.zoom.holds(guess.address):
            return
        tile = slide.zoom.tile_index(guess.address)
        if slide.tiles.file(tile) is None:
            slide.painter.paint(tile)
            self.metrics.painted_ahead(guess.slide, guess.address.level)

    def close(self) -> None:
        self.queue.close()

    def _serve(self, entry: Entry, painters: Painters) -> ServedSlide:
        slide, like = entry.slide, painters.conditioned(entry.slide, entry.top, entry.reference)
        organ, regions = painters.organ(slide, like), painters.region_organs(like)
        mark = mark_of(slide, organ, regions)
        content = f"{painters.identity(slide, entry.top, entry.reference)}|{mark}"
        name = _short_hash(f"{content}|{png_fingerprint()}")  # its PNG files are served as they are
        tiles = PixelTiles(self.stores.lossless, self.stores.raw, name, mark)
        return ServedSlide(
            entry=entry,
            zoom=DeepZoom(slide, entry.top.s if entry.top else painters.top_scale),
            painter=painters.make(entry.slide, tiles, entry.top, entry.reference),
            tiles=tiles,
            fingerprint=_short_hash(f"{content}|{encoders_fingerprint()}"),
            mark=mark,
            organ=organ,
            region_organs=regions,
            like=like,
        )

    def _key(self, slide: ServedSlide, address: TileAddress, fmt: Format) -> Key:
        name = f"{fmt.suffix}-1/{slide.fingerprint}/{address.level}/{address.col}_{address.row}"
        return Key(name, rank_of(slide.zoom.scale(address.level)))

    def _fly(
        self, slide: ServedSlide, tile: TileIndex, paint: Callable[[], Pixels], gone: Callable[[], bool], viewer: str
    ) -> Pixels:
        """Paint here, or wait for the process that does. Raises what `PaintQueue.paint` raises."""
        assert self._flight is not None

        def still_wanted() -> None:
            if gone():
                raise GoneError("a client that waits for its tile", "a closed connection", "ask again")
            if waiter.dropped:
                raise moved_away()
            if self.queue.closing:
                raise stopping()

        def paint_here() -> Pixels:
            self.queue.elsewhere.leave(waiter)  # the queue knows of it now
            return paint()

        if not self._seats.acquire(blocking=False):
            raise BusyError(f"at most {self.queue.max_waiting} requests that wait", "more", "ask again in a second")
        place = l0_tile(slide.zoom.address(tile), tile.s)
        waiter = self.queue.elsewhere.wait(viewer, slide.entry.slide.name, place)
        try:
            key = slide.tiles.key(tile)
            return self._flight.run(key.name, lambda: slide.tiles.get(tile), paint_here, still_wanted)
        finally:
            self.queue.elsewhere.leave(waiter)
            self._seats.release()

    def _paint(self, slide: ServedSlide, tile: TileIndex) -> Pixels:
        """In a painter's thread."""
        started = time.perf_counter()
        pixels = slide.painter.paint(tile)
        self.metrics.painted(slide.entry.slide.name, slide.zoom.level(tile.s), time.perf_counter() - started)
        return pixels

    def _encode_once(self, slide: ServedSlide, address: TileAddress, fmt: Format, pixels: Pixels) -> bytes:
        key = self._key(slide, address, fmt)

        def encode_and_keep() -> bytes:
            data = encode(_cut(pixels, slide.zoom, address), fmt, slide.mark)
            if not is_stored(slide, address, fmt):
                self.stores.encoded.put(key, data)
            return data

        return self._flights.run(key.name, encode_and_keep)


def is_stored(slide: ServedSlide, address: TileAddress, fmt: Format) -> bool:
    """Whether the served file is the lossless file itself: PNG, and not cut by the slide's edge."""
    return fmt is PNG and slide.zoom.tile_size(address) == (TILE_PX, TILE_PX)


def _cut(pixels: Pixels, zoom: DeepZoom, address: TileAddress) -> Pixels:
    """A whole tile -> the part of it that lies on the slide."""
    z_width, z_height = zoom.tile_size(address)
    return pixels[:z_height, :z_width]


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]

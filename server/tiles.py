"""The tile service: from an address to the bytes of a tile.

A request goes address -> store -> painter's queue -> encode -> store -> answer. Lossless whole tiles are what is kept
in files; JPEG and WebP are made from them in a millisecond and kept in memory only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from everslide.cache.files import FileStore
from everslide.cache.memory import MemoryStore
from everslide.cache.single_flight import SingleFlight
from everslide.cache.store import ByteStore, Key
from everslide.cache.tiered import TieredStore
from everslide.model.geometry import TILE_PX
from everslide.server.deepzoom import DeepZoom, TileAddress
from everslide.server.encode import PNG, Format, Pixels, encode, encoders_fingerprint, mark_of
from everslide.server.painters import Painters, TilePainter
from everslide.server.pixels import PixelTiles, rank_of
from everslide.server.preview import preview
from everslide.server.queue import PaintQueue
from everslide.server.settings import Settings
from everslide.server.slides import Catalogue, Entry

State = Literal["final", "preview"]


@dataclass(frozen=True)
class Tile:
    """An encoded tile. state: "final" is what it will always be, "preview" stands in for it."""

    data: bytes
    fmt: Format
    state: State


@dataclass(frozen=True)
class ServedSlide:
    """A slide with everything that serves it. fingerprint: changes with the bytes of any of its tiles."""

    entry: Entry
    zoom: DeepZoom
    painter: TilePainter
    tiles: PixelTiles
    fingerprint: str
    mark: str

    def etag(self, address: TileAddress, fmt: Format) -> str:
        """Entity tag of a final tile, known before it is painted, since tiles are deterministic."""
        return f"{self.fingerprint}-{address.level}-{address.col}-{address.row}-{fmt.suffix}"


@dataclass(frozen=True)
class Stores:
    """Where tiles are kept. lossless: whole tiles as PNG. encoded: what is served and is not in `lossless`. raw: whole
    tiles undecoded, for the painter."""

    lossless: ByteStore
    encoded: ByteStore
    raw: ByteStore


def make_stores(settings: Settings) -> Stores:
    """Half of the memory for each of the first two; files behind it where there is a folder. Raises StoreError."""
    half = settings.memory_size // 2
    lossless: ByteStore = MemoryStore(half)
    if settings.cache is not None:
        lossless = TieredStore(lossless, FileStore(settings.cache, settings.cache_size))
    return Stores(lossless, MemoryStore(half), MemoryStore(settings.raw_size))


class TileService:
    """Serves the tiles of all slides of a catalogue; safe to use from several threads.

    models: painters for every model that a slide names.
    """

    def __init__(
        self, catalogue: Catalogue, models: Mapping[str, Painters], stores: Stores, max_waiting: int = 64
    ) -> None:
        self.catalogue = catalogue
        self.stores = stores
        self.queue = PaintQueue(max_waiting)
        self._flights: SingleFlight[bytes] = SingleFlight()
        self._slides = {entry.slide.name: self._serve(entry, models[entry.slide.model]) for entry in catalogue}

    def slide(self, name: str) -> ServedSlide:
        """Raises NotFoundError."""
        return self._slides[self.catalogue[name].slide.name]

    def final(self, slide: ServedSlide, address: TileAddress, fmt: Format, gone: Callable[[], bool]) -> Tile:
        """The tile, painted if need be. `address` must have been checked. Raises what `PaintQueue.paint` raises."""
        data = self._cached(slide, address, fmt)
        if data is None:
            pixels = self._pixels(slide, address, gone)
            key = self._key(slide, address, fmt)
            data = self._flights.run(key.name, lambda: self._encode(slide, address, fmt, pixels))
        return Tile(data, fmt, "final")

    def preview(self, slide: ServedSlide, address: TileAddress, fmt: Format) -> Tile:
        """The tile if it is cached, else its nearest cached ancestor enlarged, else glass. Never paints."""
        data = self._cached(slide, address, fmt)
        if data is not None:
            return Tile(data, fmt, "final")
        tile = slide.zoom.tile_index(address)
        pixels = slide.tiles.get(tile)
        if pixels is not None:
            return Tile(self._encode(slide, address, fmt, pixels), fmt, "final")
        enlarged = preview(slide.tiles, tile, slide.zoom.scale(slide.zoom.min_level))
        return Tile(encode(_cut(enlarged, slide.zoom, address), fmt, slide.mark), fmt, "preview")

    def close(self) -> None:
        self.queue.close()

    def _serve(self, entry: Entry, painters: Painters) -> ServedSlide:
        slide, mark = entry.slide, mark_of(entry.slide)
        extent = f"{slide.width_px}x{slide.height_px}{' unbounded' if slide.unbounded else ''}"
        content = f"{painters.fingerprint}|{mark}|{extent}"
        tiles = PixelTiles(self.stores.lossless, self.stores.raw, _short_hash(content), mark)
        return ServedSlide(
            entry=entry,
            zoom=DeepZoom(slide, painters.top_scale),
            painter=painters.make(slide, tiles),
            tiles=tiles,
            fingerprint=_short_hash(f"{content}|{encoders_fingerprint()}"),
            mark=mark,
        )

    def _key(self, slide: ServedSlide, address: TileAddress, fmt: Format) -> Key:
        name = f"{fmt.suffix}-1/{slide.fingerprint}/{address.level}/{address.col}_{address.row}"
        return Key(name, rank_of(slide.zoom.scale(address.level)))

    def _cached(self, slide: ServedSlide, address: TileAddress, fmt: Format) -> bytes | None:
        """The encoded tile, without decoding anything."""
        if _is_stored(slide, address, fmt):
            return slide.tiles.file(slide.zoom.tile_index(address))
        return self.stores.encoded.get(self._key(slide, address, fmt))

    def _pixels(self, slide: ServedSlide, address: TileAddress, gone: Callable[[], bool]) -> Pixels:
        """The whole tile, remembered or painted."""
        tile = slide.zoom.tile_index(address)
        pixels = slide.tiles.get(tile)
        if pixels is not None:
            return pixels
        return self.queue.paint(slide.entry.slide.name, address, tile.s, lambda: slide.painter.tile(tile), gone)

    def _encode(self, slide: ServedSlide, address: TileAddress, fmt: Format, pixels: Pixels) -> bytes:
        data = encode(_cut(pixels, slide.zoom, address), fmt, slide.mark)
        if not _is_stored(slide, address, fmt):
            self.stores.encoded.put(self._key(slide, address, fmt), data)
        return data


def _is_stored(slide: ServedSlide, address: TileAddress, fmt: Format) -> bool:
    """Whether the served file is the lossless file itself: PNG, and not cut by the slide's edge."""
    return fmt is PNG and slide.zoom.tile_size(address) == (TILE_PX, TILE_PX)


def _cut(pixels: Pixels, zoom: DeepZoom, address: TileAddress) -> Pixels:
    """A whole tile -> the part of it that lies on the slide."""
    z_width, z_height = zoom.tile_size(address)
    return pixels[:z_height, :z_width]


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]

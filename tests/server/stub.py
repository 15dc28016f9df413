"""A painter that needs no model: a few lines of arithmetic, with counters, a gate, and failures to order."""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial

import numpy as np

from everslide.cache.files import FileStore
from everslide.cache.memory import MemoryStore
from everslide.model.geometry import TileIndex
from everslide.model.pyramid.top import TopPlane
from everslide.model.sampling_config import SamplingCapabilities
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference
from everslide.server.encode import Pixels
from everslide.server.painters import Painters, TileStore
from everslide.server.queue import PaintQueue
from everslide.server.slides import Catalogue, Entry
from everslide.server.tiles import Stores, TileService

TOP_SCALE = 9
NO_CHOICE = SamplingCapabilities(1)
DEMO = Slide("demo", 7, model="stub")
SMALL = Slide("small", 8, 1000, 700, model="stub")
ENDLESS = Slide("endless", 2**63 + 1, 2**31, 2**31, unbounded=True, model="stub")


def stub_pixels(seed: int, tile: TileIndex) -> Pixels:
    """(256, 256, 3): a gradient whose tone belongs to the seed and the tile."""
    y, x = np.mgrid[0:256, 0:256]
    tone = (seed * 31 + tile.s * 17 + tile.col * 5 + tile.row * 3) % 97
    return np.stack([x // 2 + tone, y // 2 + tone, (x + y) // 4 + tone], axis=-1).astype(np.uint8)


def stub_identity(fingerprint: str, slide: Slide, top: TopPlane | None, like: Reference | None) -> str:
    """Another one for another slide, picture or reference."""
    return f"{fingerprint}-{slide}-{top.fingerprint if top else ''}-{like.digest if like else ''}"


class Studio:
    """Makes stub painters and watches them.

    gate: painting waits for it; open unless a test closes it. painted: how often each tile was painted, in order.
    failing: tiles that raise. references: references of painters, in the order in which they were made.
    """

    def __init__(
        self, fingerprint: str = "f00d", *, steerable: bool = False, capabilities: SamplingCapabilities = NO_CHOICE
    ) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()
        self.painted: Counter[TileIndex] = Counter()
        self.failing: set[TileIndex] = set()
        self.references: list[Reference] = []
        self.models = {
            "stub": Painters(TOP_SCALE, partial(stub_identity, fingerprint), steerable, capabilities, self._make)
        }

    def _make(
        self, slide: Slide, tiles: TileStore, _top: TopPlane | None = None, like: Reference | None = None
    ) -> StubPainter:
        if like is not None:
            self.references.append(like)
        return StubPainter(self, slide, tiles)


class StubPainter:
    def __init__(self, studio: Studio, slide: Slide, tiles: TileStore) -> None:
        self._studio = studio
        self._slide = slide
        self._tiles = tiles

    def tile(self, tile: TileIndex) -> Pixels:
        found = self._tiles.get(tile)
        return found if found is not None else self.paint(tile)

    def paint(self, tile: TileIndex) -> Pixels:
        self._studio.started.set()
        assert self._studio.gate.wait(30)
        self._studio.painted[tile] += 1
        if tile in self._studio.failing:
            raise RuntimeError("out of paint")
        pixels = stub_pixels(self._slide.seed, tile)
        self._tiles.put(tile, pixels)
        return pixels


def memory_stores(lossless: MemoryStore | FileStore | None = None) -> Stores:
    return Stores(lossless or MemoryStore(10**8), MemoryStore(10**8), MemoryStore(10**8))


def make_service(studio: Studio, stores: Stores | None = None, max_waiting: int = 64) -> TileService:
    catalogue = Catalogue(tuple(Entry(slide, slide.name.title()) for slide in (DEMO, SMALL, ENDLESS)))
    return TileService(catalogue, studio.models, stores or memory_stores(), PaintQueue(max_waiting))

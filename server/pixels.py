"""The `TileStore` of a served slide: tiles as lossless files in a store of bytes."""

from __future__ import annotations

import logging

import numpy as np

from everslide.cache.store import RANKS, ByteStore, Key
from everslide.model.geometry import TILE_PX, TileIndex
from everslide.server.encode import PNG, Pixels, decode, encode

log = logging.getLogger(__name__)

_SHAPE = (TILE_PX, TILE_PX, 3)


def rank_of(s: int) -> int:
    """Rank of scale s in the stores: coarse tiles are few, and are kept longest."""
    return min(s, RANKS - 1)


class PixelTiles:
    """Whole tiles of one slide as arrays (256, 256, 3) uint8: a `TileStore` of the painter.

    files: keeps tiles as PNG files, which are served as they are where the slide's edge does not cut them. raw: keeps
    the most recent tiles undecoded, so that the painter need not decode them again. name: part of every key; it must
    change with everything that changes pixels or their PNG files. mark: text in every file.
    """

    def __init__(self, files: ByteStore, raw: ByteStore, name: str, mark: str) -> None:
        self._files = files
        self._raw = raw
        self._name = name
        self._mark = mark

    def get(self, tile: TileIndex) -> Pixels | None:
        key = self.key(tile)
        raw = self._raw.get(key)
        if raw is not None:
            return np.frombuffer(raw, np.uint8).reshape(_SHAPE)
        data = self._files.get(key)
        if data is None:
            return None
        try:
            pixels = decode(data)
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's words for a damaged file
            log.warning("cached tile %s cannot be decoded (%s): deleted, painted anew", key.name, error)
            self._files.delete(key)
            return None
        self._raw.put(key, pixels.tobytes())
        return pixels

    def put(self, tile: TileIndex, pixels: Pixels) -> None:
        assert pixels.shape == _SHAPE and pixels.dtype == np.uint8, (pixels.shape, pixels.dtype)
        key = self.key(tile)
        self._raw.put(key, pixels.tobytes())
        self._files.put(key, encode(pixels, PNG, self._mark))

    def file(self, tile: TileIndex) -> bytes | None:
        """The PNG of a whole tile, or None where it is not cached."""
        return self._files.get(self.key(tile))

    def key(self, tile: TileIndex) -> Key:
        """Where a tile is kept, in either store."""
        return Key(f"tile-1/{self._name}/{tile.s}/{tile.col}_{tile.row}", rank_of(tile.s))

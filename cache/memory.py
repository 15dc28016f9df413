"""A store in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

from everslide.cache.store import RANKS, Key, StoreStats, rank_to_evict


class MemoryStore:
    """Keeps at most `limit` bytes of values in memory (limit >= 0; keys and bookkeeping come on top).

    A value larger than the whole limit is not kept.
    """

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise ValueError(f"limit {limit} is negative")
        self.limit = limit
        self._lock = threading.Lock()
        self._entries: list[OrderedDict[Key, bytes]] = [OrderedDict() for _ in range(RANKS)]
        self._bytes = [0] * RANKS
        self._hits = self._misses = self._puts = self._evictions = 0

    def get(self, key: Key) -> bytes | None:
        with self._lock:
            entries = self._entries[key.rank]
            value = entries.get(key)
            if value is None:
                self._misses += 1
                return None
            entries.move_to_end(key)
            self._hits += 1
            return value

    def put(self, key: Key, value: bytes) -> None:
        with self._lock:
            self._puts += 1
            self._remove(key)
            if len(value) > self.limit:
                return
            self._entries[key.rank][key] = value
            self._bytes[key.rank] += len(value)
            while sum(self._bytes) > self.limit:
                self._evict()

    def delete(self, key: Key) -> None:
        with self._lock:
            self._remove(key)

    def stats(self) -> StoreStats:
        with self._lock:
            return StoreStats(
                hits=self._hits,
                misses=self._misses,
                puts=self._puts,
                evictions=self._evictions,
                entries=sum(map(len, self._entries)),
                bytes=sum(self._bytes),
            )

    def _remove(self, key: Key) -> None:
        value = self._entries[key.rank].pop(key, None)
        if value is not None:
            self._bytes[key.rank] -= len(value)

    def _evict(self) -> None:
        rank = rank_to_evict(self._bytes, self.limit)
        _, value = self._entries[rank].popitem(last=False)
        self._bytes[rank] -= len(value)
        self._evictions += 1

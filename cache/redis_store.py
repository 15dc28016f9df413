"""A store on a Redis server that many processes and machines share."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable

from everslide.cache.redis_link import RedisDownError, RedisLink
from everslide.cache.sealed import seal, unseal
from everslide.cache.store import Key, StoreStats

log = logging.getLogger(__name__)

_WEEK_SECONDS = 7 * 24 * 3600


def weeks(rank: int) -> int:
    """rank -> seconds: one week for rank 0, one more for each rank above it."""
    return (rank + 1) * _WEEK_SECONDS


class RedisStore:
    """Keeps sealed bytes (`everslide.cache.sealed`) on a Redis server, whose own setting `maxmemory` is the limit.

    Every entry may be evicted. It lives for (rank + 1) weeks from when it was last used, so with
    `maxmemory-policy volatile-ttl` the server drops low ranks first, and within a rank the least recently used; with
    `volatile-lru` or `allkeys-lru` it drops the least recently used of any rank. The database belongs to Everslide:
    its number of keys is what `stats` calls entries.

    While the server cannot be reached, `get` is a miss and `put` does nothing; see `RedisLink`.
    """

    def __init__(self, link: RedisLink, lifetime: Callable[[int], int] = weeks) -> None:
        """lifetime: rank -> seconds for which an entry is kept after its last use."""
        self.link = link
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._evicted_before = self._server_facts()["evicted"]
        self._errors_before = link.errors

    def get(self, key: Key) -> bytes | None:
        life = self._lifetime(key.rank)
        try:
            data = self.link.call("get", lambda client: client.getex(_name(key), ex=life))
        except RedisDownError:
            data = None
        if data is None:
            self._count("misses")
            return None
        value = unseal(key, data)
        if value is None:
            log.warning("corrupt entry %s on redis (%d bytes): deleted, treated as missing", key.name, len(data))
            self._count("corrupt")
            self._count("misses")
            self.delete(key)
            return None
        self._count("hits")
        return value

    def put(self, key: Key, value: bytes) -> None:
        self._count("puts")
        life = self._lifetime(key.rank)
        try:
            self.link.call("set", lambda client: client.set(_name(key), seal(key, value), ex=life))
        except RedisDownError:
            return  # logged and counted

    def delete(self, key: Key) -> None:
        try:
            self.link.call("delete", lambda client: client.unlink(_name(key)))
        except RedisDownError:
            return  # logged and counted

    def stats(self) -> StoreStats:
        """hits, misses, puts, corrupt, errors: of this process; evictions, entries, bytes: of the server, 0 while it
        cannot be reached."""
        facts = self._server_facts()
        with self._lock:
            counts = dict(self._counts)
        return StoreStats(
            **counts,
            errors=self.link.errors - self._errors_before,
            evictions=max(0, facts["evicted"] - self._evicted_before),
            entries=facts["entries"],
            bytes=facts["bytes"],
        )

    def _server_facts(self) -> dict[str, int]:
        try:
            stats = self.link.call("info", lambda client: client.info("stats"))
            memory = self.link.call("info", lambda client: client.info("memory"))
            entries = self.link.call("dbsize", lambda client: client.dbsize())
        except RedisDownError:
            return {"evicted": 0, "entries": 0, "bytes": 0}
        return {"evicted": stats["evicted_keys"], "entries": entries, "bytes": memory["used_memory_dataset"]}

    def _count(self, counter: str) -> None:
        with self._lock:
            self._counts[counter] += 1


def _name(key: Key) -> bytes:
    return f"everslide/{key.rank}/{key.name}".encode()

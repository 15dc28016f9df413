"""A small fast store before a large slow one."""

from __future__ import annotations

from everslide.cache.store import ByteStore, Key, StoreStats


class TieredStore:
    """Answers from `memory` where it can, else from `files`, and then remembers the answer in `memory`."""

    def __init__(self, memory: ByteStore, files: ByteStore) -> None:
        self.memory = memory
        self.files = files

    def get(self, key: Key) -> bytes | None:
        value = self.memory.get(key)
        if value is None:
            value = self.files.get(key)
            if value is not None:
                self.memory.put(key, value)
        return value

    def put(self, key: Key, value: bytes) -> None:
        self.memory.put(key, value)
        self.files.put(key, value)

    def delete(self, key: Key) -> None:
        self.memory.delete(key)
        self.files.delete(key)

    def stats(self) -> StoreStats:
        """Hits of either tier; misses of both; everything else as the files count it."""
        memory, files = self.memory.stats(), self.files.stats()
        return StoreStats(
            hits=memory.hits + files.hits,
            misses=files.misses,
            puts=memory.puts,
            evictions=files.evictions,
            corrupt=files.corrupt,
            errors=files.errors,
            entries=files.entries,
            bytes=files.bytes,
        )

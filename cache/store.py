"""The protocol of a store of bytes, its keys, its counters, and its rule of eviction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

RANKS = 16
"""Number of ranks. A full store evicts rank 0 first, but leaves RESERVED_SHARE of its size to each rank."""
RESERVED_SHARE = 1 / RANKS
"""Share of a store's size that a rank keeps against higher ranks. Without it, a store full of coarse tiles would evict
every fine tile at once."""


class StoreError(Exception):
    """A store cannot be used at all. Raised by constructors, never later."""


@dataclass(frozen=True, order=True)
class Key:
    """The name under which bytes are kept.

    name: explicit and versioned, such as "tile-1/<fingerprint>/0/12_7"; any text.
    rank: 0 .. 15. Bytes of a higher rank are kept longer. The rank is part of the key: the same name under another
        rank is another entry.
    """

    name: str
    rank: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < RANKS:
            raise ValueError(f"key {self.name!r}: rank {self.rank} is not in 0 .. {RANKS - 1}")


@dataclass(frozen=True)
class StoreStats:
    """Counters since the store was made, and what it holds now.

    corrupt: entries that failed their checksum, and were deleted. errors: operations that the disk
    or the server refused.
    """

    hits: int = 0
    misses: int = 0
    puts: int = 0
    evictions: int = 0
    corrupt: int = 0
    errors: int = 0
    entries: int = 0
    bytes: int = 0


class ByteStore(Protocol):
    """Keeps bytes by key, within a limit of bytes. Safe to use from several threads.

    It is a cache: `get` may return None for any key at any time, but never other bytes than those put last. A disk that
    is full, slow or damaged is logged and counted, and never raises.
    """

    def get(self, key: Key) -> bytes | None:
        """The bytes last put under `key`, or None when they are not there any more."""

    def put(self, key: Key, value: bytes) -> None:
        """Keep `value`. To make room, entries of the rank `rank_to_evict` go first, the least recently used of them."""

    def delete(self, key: Key) -> None:
        """Forget `key`; nothing happens when it is not there."""

    def stats(self) -> StoreStats:
        """Counters since the start; `entries` and `bytes` are what is held now."""


def rank_to_evict(bytes_by_rank: list[int], limit: int) -> int:
    """The rank of the next entry to evict: the lowest that holds more than its reserved share of `limit`, else the
    lowest that holds anything. bytes_by_rank: not all zero."""
    held = [rank for rank, size in enumerate(bytes_by_rank) if size > 0]
    over = [rank for rank in held if bytes_by_rank[rank] > limit * RESERVED_SHARE]
    return (over or held)[0]

"""What a store of bytes is: the protocol, its keys and its counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

RANKS = 16
"""Number of ranks. A full store gives up rank 0 first; RESERVED_SHARE is what it leaves of each."""
RESERVED_SHARE = 1 / RANKS
"""Share of a store that no rank loses to higher ranks: without it, a store full of coarse tiles would drop every fine
tile the moment it came in."""


class StoreError(Exception):
    """A store cannot be used at all; raised when it is made, never later."""


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
    """Keeps bytes by key, within a bound of bytes, for as long as it can. Safe to use from several threads.

    A store forgets: `get` may answer None for whatever was put. It never answers other bytes than those put last, and
    it never raises because a disk is full, slow or damaged; that is logged, counted and served past.
    """

    def get(self, key: Key) -> bytes | None:
        """The bytes last put under `key`, or None when they are not there any more."""

    def put(self, key: Key, value: bytes) -> None:
        """Keep `value`, making room by the rule of `rank_to_evict`, then least recently used first."""

    def delete(self, key: Key) -> None:
        """Forget `key`; nothing happens when it is not there."""

    def stats(self) -> StoreStats:
        """Counters since the start; `entries` and `bytes` are what is held now."""


def rank_to_evict(bytes_by_rank: list[int], limit: int) -> int:
    """The rank that gives up an entry: the lowest that holds more than its reserved share, else the lowest that holds
    anything. `bytes_by_rank` must not be all zero."""
    held = [rank for rank, size in enumerate(bytes_by_rank) if size > 0]
    over = [rank for rank in held if bytes_by_rank[rank] > limit * RESERVED_SHARE]
    return (over or held)[0]

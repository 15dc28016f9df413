"""The contract, for every store."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from everslide.cache.files import FileStore
from everslide.cache.memory import MemoryStore
from everslide.cache.redis_link import RedisLink
from everslide.cache.redis_store import RedisStore
from everslide.cache.store import ByteStore, Key, rank_to_evict
from everslide.cache.tiered import TieredStore
from tests.cache.contract import BoundContract, StoreContract
from tests.redis_server import RedisServer


class TestMemoryStore(BoundContract):
    def store(self, tmp_path: Path, limit: int) -> ByteStore:
        return MemoryStore(limit)


class TestFileStore(BoundContract):
    def store(self, tmp_path: Path, limit: int) -> ByteStore:
        return FileStore(tmp_path / "cache", limit, clock_ns=itertools.count(10**18).__next__)


class TestTieredStore(BoundContract):
    def store(self, tmp_path: Path, limit: int) -> ByteStore:
        return TieredStore(MemoryStore(limit), FileStore(tmp_path, limit, clock_ns=itertools.count(10**18).__next__))

    def test_memory_is_filled_from_the_files(self, tmp_path: Path) -> None:
        files = FileStore(tmp_path, 10_000)
        files.put(Key("a"), b"value")
        memory = MemoryStore(10_000)
        store = TieredStore(memory, files)
        assert store.get(Key("a")) == b"value"
        assert memory.get(Key("a")) == b"value"

    def test_drops_the_least_recently_used_first(self, tmp_path: Path) -> None:
        """Per tier: a hit in memory does not touch the file, so the tiers may differ in what they drop."""
        store = TieredStore(MemoryStore(3000), FileStore(tmp_path, 100_000))
        for name in "abcde":
            store.put(Key(name), bytes(1000))
        assert store.memory.stats().entries == 3
        assert store.get(Key("a")) is not None
        assert store.memory.get(Key("a")) is not None
        assert store.memory.get(Key("c")) is None


class TestRedisStore(StoreContract):
    @pytest.fixture(autouse=True)
    def server(self, redis: RedisServer) -> None:
        self.redis = redis

    def store(self, tmp_path: Path, limit: int) -> ByteStore:
        return RedisStore(RedisLink(self.redis.url))


class TestTieredRedisStore(TestRedisStore):
    def store(self, tmp_path: Path, limit: int) -> ByteStore:
        return TieredStore(MemoryStore(limit), super().store(tmp_path, limit))


@pytest.mark.parametrize("rank", [-1, 16])
def test_ranks_are_bounded(rank: int) -> None:
    with pytest.raises(ValueError, match=r"rank .* is not in 0 \.\. 15"):
        Key("a", rank)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([0, 0, 5], 2),
        ([100, 900, 600], 0),
        ([99, 900, 601], 1),  # rank 0 holds no more than its sixteenth
        ([99, 99, 1402], 2),
        ([10, 20, 30], 0),  # nobody over its share: the lowest
    ],
)
def test_rank_to_evict(held: list[int], expected: int) -> None:
    assert rank_to_evict(held, 1590) == expected

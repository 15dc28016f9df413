"""What every store of bytes must do. Each store's tests subclass `StoreContract` and say how to make one."""

from __future__ import annotations

import threading
from pathlib import Path

from everslide.cache.store import ByteStore, Key


class StoreContract:
    """Subclasses define `store`, which makes an empty store of about `limit` bytes."""

    def store(self, tmp_path: Path, limit: int) -> ByteStore:
        raise NotImplementedError

    def test_never_answers_what_was_put_under_another_name(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 100_000)
        for i in range(50):
            store.put(Key(f"tile {i}", i % 16), f"value {i}".encode())
        assert [store.get(Key(f"tile {i}", i % 16)) for i in range(50)] == [f"value {i}".encode() for i in range(50)]
        assert store.get(Key("tile 1", 2)) is None

    def test_answers_what_was_put(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        store.put(Key("tile-1/abc/0/12_7"), b"bytes \x00\xff")
        assert store.get(Key("tile-1/abc/0/12_7")) == b"bytes \x00\xff"

    def test_keeps_empty_values(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        store.put(Key("empty"), b"")
        assert store.get(Key("empty")) == b""

    def test_misses_are_none(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        assert store.get(Key("nothing")) is None
        assert store.stats().misses == 1

    def test_the_last_put_counts(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        store.put(Key("a"), b"first")
        store.put(Key("a"), b"second one")
        assert store.get(Key("a")) == b"second one"
        assert store.stats().entries == 1

    def test_names_are_any_text(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        names = ["../../etc/passwd", "a/b", "a\x00b", "ä" * 500, ""]
        for name in names:
            store.put(Key(name), name.encode())
        assert [store.get(Key(name)) for name in names] == [name.encode() for name in names]

    def test_ranks_are_part_of_the_key(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        store.put(Key("a", 1), b"one")
        store.put(Key("a", 2), b"two")
        assert store.get(Key("a", 1)) == b"one"
        assert store.get(Key("a", 2)) == b"two"
        assert store.get(Key("a", 3)) is None

    def test_deletes(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        store.put(Key("a"), b"value")
        store.delete(Key("a"))
        store.delete(Key("a"))
        assert store.get(Key("a")) is None
        assert store.stats().entries == 0

    def test_counts(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        store.put(Key("a"), bytes(100))
        store.get(Key("a"))
        store.get(Key("a"))
        store.get(Key("b"))
        stats = store.stats()
        assert (stats.puts, stats.hits, stats.misses, stats.entries) == (1, 2, 1, 1)
        assert (stats.evictions, stats.corrupt, stats.errors) == (0, 0, 0)
        assert stats.bytes >= 100

    def test_many_threads(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 20_000)
        wrong: list[bytes] = []

        def work(thread: int) -> None:
            for i in range(60):
                key = Key(f"tile {(i * 7 + thread) % 30}", i % 3)
                store.put(key, f"{key.name} ".encode() * 100)
                found = store.get(key)
                if found is not None and found != f"{key.name} ".encode() * 100:
                    wrong.append(found)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class BoundContract(StoreContract):
    """For stores that keep their bound themselves, to the byte and in order; a server keeps its own, by sampling."""

    def test_stays_within_its_bound(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        for i in range(40):
            store.put(Key(f"tile {i}"), bytes(1000))
            assert store.stats().bytes <= 10_000
        assert store.stats().evictions >= 30

    def test_drops_the_least_recently_used_first(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        for name in "abcde":
            store.put(Key(name), bytes(1500))
        assert store.get(Key("a")) is not None
        for name in "fg":
            store.put(Key(name), bytes(1500))
        assert store.get(Key("a")) is not None
        assert store.get(Key("b")) is None
        assert store.get(Key("g")) is not None

    def test_drops_low_ranks_first(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 10_000)
        store.put(Key("coarse", 9), bytes(1000))
        store.put(Key("middle", 4), bytes(1000))
        for i in range(40):
            store.put(Key(f"fine {i}"), bytes(1000))
        assert store.get(Key("coarse", 9)) is not None
        assert store.get(Key("middle", 4)) is not None
        assert store.get(Key("fine 0")) is None
        assert store.get(Key("fine 39")) is not None

    def test_a_store_full_of_high_ranks_still_takes_low_ones(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 100_000)
        for i in range(200):
            store.put(Key(f"coarse {i}", 9), bytes(1000))
        store.put(Key("fine 0"), bytes(1000))
        store.put(Key("fine 1"), bytes(1000))
        assert store.get(Key("fine 0")) is not None
        assert store.get(Key("fine 1")) is not None
        assert store.stats().bytes <= 100_000

    def test_does_not_keep_what_is_larger_than_itself(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 1000)
        store.put(Key("a"), b"small")
        store.put(Key("a"), bytes(2000))
        assert store.get(Key("a")) is None
        assert store.stats().bytes <= 1000

    def test_may_have_no_room_at_all(self, tmp_path: Path) -> None:
        store = self.store(tmp_path, 0)
        store.put(Key("a"), b"value")
        assert store.get(Key("a")) is None

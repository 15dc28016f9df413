"""What only a store in files can get wrong: damage, restarts, full disks, other processes."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from everslide.cache.files import FileStore
from everslide.cache.store import Key, StoreError

KEY = Key("tile-1/abc/0/12_7", 3)


def only_file(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def flip_last_byte(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    "damage",
    [
        flip_last_byte,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(b"EVERSLD0" + path.read_bytes()[8:]),
    ],
    ids=["flipped bit", "truncated", "empty", "longer", "other version"],
)
def test_damage_is_found_counted_logged_and_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    assert callable(damage)
    store = FileStore(tmp_path, 10_000)
    store.put(KEY, b"value")
    path = only_file(tmp_path)
    damage(path)
    with caplog.at_level(logging.WARNING):
        assert store.get(KEY) is None
    assert "corrupt cache entry" in caplog.text
    assert not path.exists()
    assert (store.stats().corrupt, store.stats().misses, store.stats().hits) == (1, 1, 0)
    store.put(KEY, b"painted anew")
    assert store.get(KEY) == b"painted anew"


def test_a_file_under_another_name_is_corrupt(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 10_000)
    store.put(KEY, b"value")
    path = only_file(tmp_path)
    other = FileStore(tmp_path / "other", 10_000)
    other.put(Key("another", 3), b"other value")
    path.write_bytes(only_file(tmp_path / "other").read_bytes())
    assert store.get(KEY) is None
    assert store.stats().corrupt == 1


def test_survives_a_restart(tmp_path: Path) -> None:
    FileStore(tmp_path, 10_000).put(KEY, b"value")
    again = FileStore(tmp_path, 10_000)
    assert again.get(KEY) == b"value"
    assert again.stats().entries == 1


def test_a_smaller_limit_applies_at_the_next_start(tmp_path: Path) -> None:
    clock = itertools.count(10**18).__next__
    store = FileStore(tmp_path, 100_000, clock_ns=clock)
    for i in range(50):
        store.put(Key(f"tile {i}", i % 2), bytes(1000))
    assert FileStore(tmp_path, 10_000, clock_ns=clock).stats().bytes <= 10_000


def test_a_full_disk_is_logged_counted_and_served_past(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def full(path: Path) -> IO[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = FileStore(tmp_path, 10_000, open_new=full)
    with caplog.at_level(logging.WARNING):
        store.put(KEY, b"value")
    assert "No space left on device" in caplog.text
    assert store.get(KEY) is None
    assert store.stats().errors == 1


def test_a_disk_that_fills_up_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    class Filling:
        """A file of which the disk takes half of what is written."""

        def __init__(self, path: Path) -> None:
            self.file = path.open("xb")

        def __enter__(self) -> Filling:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> int:
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    store = FileStore(tmp_path, 10_000, open_new=Filling)  # type: ignore[arg-type]
    store.put(KEY, b"value")
    assert store.get(KEY) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot be used"):
        FileStore(tmp_path / "file" / "cache", 10_000)


def test_stale_temporary_files_are_swept(tmp_path: Path) -> None:
    FileStore(tmp_path, 10_000)
    stale, fresh = tmp_path / "new" / "1-dead", tmp_path / "new" / "2-alive"
    stale.write_bytes(b"half")
    fresh.write_bytes(b"half")
    two_hours_ago = time.time() - 7200
    os.utime(stale, (two_hours_ago, two_hours_ago))
    FileStore(tmp_path, 10_000)
    assert not stale.exists()
    assert fresh.exists()


_WRITER = """
import sys
from pathlib import Path
from everslide.cache.files import FileStore
from everslide.cache.store import Key
store = FileStore(Path(sys.argv[1]), 200_000)
for i in range(300):
    key = Key(f"tile {i % 90}", i % 4)
    value = f"{key.name} {key.rank} ".encode() * 120
    store.put(key, value)
    found = store.get(key)
    assert found is None or found == value, key
"""


def test_several_processes_share_a_folder(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)]) for _ in range(3)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    stats = FileStore(tmp_path, 1_000_000).stats()
    assert 0 < stats.bytes <= 200_000 * (1 + 3 / 16)

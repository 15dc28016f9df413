"""A store in files that several processes may share and that survives restarts."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from everslide.cache.sealed import SEAL_BYTES, seal, unseal
from everslide.cache.store import RANKS, Key, StoreError, StoreStats, rank_to_evict

log = logging.getLogger(__name__)

_STALE_SECONDS = 3600.0
"""A temporary file of this age belongs to a process that died while it wrote."""
_RESCAN_SHARE = 1 / 16
"""A process looks at the folder again after it wrote this share of the limit."""

Opener = Callable[[Path], IO[bytes]]


@dataclass(frozen=True)
class _Entry:
    used_ns: int
    size: int
    path: Path


def _open_new(path: Path) -> IO[bytes]:
    return path.open("xb")


class FileStore:
    """Keeps about `limit` bytes in files under `folder`, one per key: `<rank>/<ab>/<sha256 of the name>`.

    A file is a sealed value (`everslide.cache.sealed`), written atomically. An entry that fails its checksum is
    deleted, logged and counted, and is a miss. The modification time of a file is the time of its last use. Every
    process that shares the folder keeps the limit by itself: it scans the folder after it wrote 1/16 of the limit, so
    `n` processes may exceed the limit by n/16 of it.

    open_new: opens a new file for writing; tests give one that fails.
    clock_ns: time in nanoseconds; tests give one that does not depend on the file system's.

    Raises StoreError when the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        limit: int,
        open_new: Opener = _open_new,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if limit < 0:
            raise ValueError(f"limit {limit} is negative")
        self.folder = folder
        self.limit = limit
        self._open_new = open_new
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._counts_lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._written_since_scan = 0
        self._new = folder / "new"
        try:
            self._new.mkdir(parents=True, exist_ok=True)
            for rank in range(RANKS):
                (folder / f"{rank:02d}").mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"cache folder {folder} cannot be used: {error.strerror or error}") from error
        self._bytes = self._evict_to_limit()

    def get(self, key: Key) -> bytes | None:
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            self._count("misses")
            return None
        except OSError as error:
            self._complain("read", path, error)
            self._count("misses")
            return None
        value = unseal(key, data)
        if value is None:
            log.warning("corrupt cache entry %s (%d bytes): deleted, treated as missing", path, len(data))
            self._count("corrupt")
            self._count("misses")
            self._unlink(path)
            return None
        with contextlib.suppress(OSError):  # evicted by another process, or a read-only disk: the value is good
            now = self._clock_ns()
            os.utime(path, ns=(now, now))
        self._count("hits")
        return value

    def put(self, key: Key, value: bytes) -> None:
        self._count("puts")
        size = SEAL_BYTES + len(value)
        if size > self.limit:
            self.delete(key)
            return
        path = self._path(key)
        fresh = self._new / f"{os.getpid()}-{uuid.uuid4().hex}"
        try:
            with self._open_new(fresh) as file:
                file.write(seal(key, value))
            now = self._clock_ns()
            os.utime(fresh, ns=(now, now))
            path.parent.mkdir(exist_ok=True)
            fresh.replace(path)
        except OSError as error:
            self._complain("write", path, error)
            self._unlink(fresh)
            return
        with self._lock:
            self._bytes += size
            self._written_since_scan += size
            if self._bytes > self.limit or self._written_since_scan > self.limit * _RESCAN_SHARE:
                self._bytes = self._evict_to_limit()

    def delete(self, key: Key) -> None:
        self._unlink(self._path(key))

    def stats(self) -> StoreStats:
        entries = [entry for rank in range(RANKS) for entry in self._scan(rank)]
        with self._counts_lock:
            counts = dict(self._counts)
        return StoreStats(
            **counts,
            entries=len(entries),
            bytes=sum(entry.size for entry in entries),
        )

    def _path(self, key: Key) -> Path:
        name = hashlib.sha256(key.name.encode()).hexdigest()
        return self.folder / f"{key.rank:02d}" / name[:2] / name

    def _scan(self, rank: int) -> Iterator[_Entry]:
        for path in self._files(self.folder / f"{rank:02d}"):
            with contextlib.suppress(OSError):  # another process was faster
                stat = path.stat()
                yield _Entry(stat.st_mtime_ns, stat.st_size, path)

    def _files(self, folder: Path) -> Iterator[Path]:
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    if entry.is_dir(follow_symlinks=False):
                        yield from self._files(Path(entry.path))
                    else:
                        yield Path(entry.path)
        except FileNotFoundError:
            return
        except OSError as error:
            self._complain("list", folder, error)

    def _evict_to_limit(self) -> int:
        """Delete what exceeds the limit, and 1/16 of the limit more, so that not every put must scan; -> bytes left."""
        self._written_since_scan = 0
        self._sweep_stale()
        ranks = [sorted(self._scan(rank), key=lambda entry: -entry.used_ns) for rank in range(RANKS)]
        held = [sum(entry.size for entry in entries) for entries in ranks]
        if sum(held) <= self.limit:
            return sum(held)
        while sum(held) > self.limit * (1 - _RESCAN_SHARE):
            rank = rank_to_evict(held, self.limit)
            oldest = ranks[rank].pop()
            self._unlink(oldest.path)
            held[rank] -= oldest.size
            self._count("evictions")
        return sum(held)

    def _sweep_stale(self) -> None:
        """Delete what processes left behind that died while they wrote."""
        for path in self._files(self._new):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _STALE_SECONDS:
                    path.unlink()

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._complain("delete", path, error)

    def _complain(self, verb: str, path: Path, error: OSError) -> None:
        """Count an error of the disk, and log the 1st, 2nd, 4th, 8th ... of them."""
        errors = self._count("errors")
        if errors & (errors - 1) == 0:
            log.warning("cache cannot %s %s: %s (error %d; serving past it)", verb, path, error, errors)

    def _count(self, counter: str) -> int:
        with self._counts_lock:
            self._counts[counter] += 1
            return self._counts[counter]

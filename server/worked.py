"""What a worker did, told to those whom it works for: each batch once, with the window that happens to come first.

A window does not know in which batch it is painted. So every answer carries what was counted since the answer before:
the sum over all answers is the sum over all batches.
"""

from __future__ import annotations

import struct
import threading

from everslide.model.pyramid.windows import Counts

_WORK = struct.Struct("<4Q")
"""Windows, network evaluations, batches, places."""
WORK_BYTES = _WORK.size


class Told:
    """Remembers how much of `counts` was told already. Safe to use from several threads."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._lock = threading.Lock()
        self._told = (0, 0, 0, 0)

    def news(self) -> bytes:
        """What was counted since the last time, WORK_BYTES long."""
        with self._lock:
            now = _fields(self._counts)
            news = [new - old for new, old in zip(now, self._told, strict=True)]
            self._told = now
        return _WORK.pack(*news)


def add_work(counts: Counts, data: bytes) -> None:
    """Add what the first WORK_BYTES of an answer tell."""
    windows, calls, batches, places = _WORK.unpack_from(data)
    counts.windows += windows
    counts.denoiser_calls += calls
    counts.batches += batches
    counts.places += places


def _fields(counts: Counts) -> tuple[int, int, int, int]:
    return counts.windows, counts.denoiser_calls, counts.batches, counts.places

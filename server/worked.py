"""Work counts of a cluster's worker, reported with its answers: each batch once, with whichever window comes first.

A window does not know which batch it is painted in. So every answer carries what was counted since the answer before:
the sum over all answers is the sum over all batches.
"""

from __future__ import annotations

import struct
import threading

from everslide.model.pyramid.windows import Counts

_WORK = struct.Struct("<4Q")
"""Windows, network evaluations, batches, places."""
WORK_BYTES = _WORK.size


class UnreportedWork:
    """The part of `counts` that was not reported yet. Safe to use from several threads."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._lock = threading.Lock()
        self._reported = (0, 0, 0, 0)

    def take(self) -> bytes:
        """The work since the last call, WORK_BYTES long."""
        with self._lock:
            now = _fields(self._counts)
            fresh = [new - old for new, old in zip(now, self._reported, strict=True)]
            self._reported = now
        return _WORK.pack(*fresh)


def add_work(counts: Counts, data: bytes) -> None:
    """Add the work in the first WORK_BYTES of an answer to `counts`."""
    windows, calls, batches, places = _WORK.unpack_from(data)
    counts.windows += windows
    counts.denoiser_calls += calls
    counts.batches += batches
    counts.places += places


def _fields(counts: Counts) -> tuple[int, int, int, int]:
    return counts.windows, counts.denoiser_calls, counts.batches, counts.places

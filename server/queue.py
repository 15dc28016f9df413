"""The painter's queue: one thread paints, requests wait, coarse tiles come before fine ones, the newest first."""

from __future__ import annotations

import heapq
import itertools
import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from everslide.server.deepzoom import TileAddress
from everslide.server.encode import Pixels
from everslide.server.errors import BusyError, ClosingError, GoneError, PaintError

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
"""How often a waiting request looks whether its client is still there."""
_RECENT = 32
"""Number of tiles whose median time is `seconds_per_tile`."""


@dataclass(frozen=True)
class Progress:
    """State of one slide: tiles that wait, the tile being painted, tiles painted since the start."""

    waiting: int
    painting: TileAddress | None
    painted: int
    seconds_per_tile: float | None


@dataclass
class _Job:
    """One tile to paint. `order` is the smallest for the tile to paint next; entries of the heap with another order
    are outdated."""

    slide: str
    address: TileAddress
    s: int
    work: Callable[[], Pixels]
    order: tuple[int, int] = (0, 0)
    waiters: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    pixels: Pixels | None = None
    error: Exception | None = None


@dataclass
class _Tally:
    painted: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))


def _never() -> bool:
    return False


class PaintQueue:
    """Runs the work of painting in one thread of its own, which starts at once.

    max_waiting: requests that may wait at the same time; more are refused, so that there are always threads left to
        serve what is cached.
    """

    def __init__(self, max_waiting: int = 64) -> None:
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._jobs: dict[tuple[str, TileAddress], _Job] = {}
        self._heap: list[tuple[tuple[int, int], int, _Job]] = []
        self._numbers = itertools.count()
        self._waiting = 0
        self._painting: _Job | None = None
        self._tallies: dict[str, _Tally] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)
        self._thread.start()

    def paint(
        self,
        slide: str,
        address: TileAddress,
        s: int,
        work: Callable[[], Pixels],
        gone: Callable[[], bool] = _never,
    ) -> Pixels:
        """The result of `work()`, done once in the painter's thread for all who wait for the same tile.

        s: scale of the tile; larger is painted sooner. gone: whether the client went away; a tile for which nobody
        waits any more is not painted.
        Raises PaintError when work failed, BusyError, ClosingError, GoneError.
        """
        job = self._join(slide, address, s, work)
        try:
            while not job.done.wait(_POLL_SECONDS):
                if gone():
                    raise GoneError("a client that waits for its tile", "a closed connection", "ask again")
        finally:
            self._leave(job)
        if job.error is not None:
            raise job.error
        assert job.pixels is not None
        return job.pixels

    def progress(self, slide: str) -> Progress:
        with self._changed:
            painting = self._painting
            tally = self._tallies.get(slide, _Tally())
            return Progress(
                waiting=sum(job.slide == slide and job is not painting for job in self._jobs.values()),
                painting=painting.address if painting is not None and painting.slide == slide else None,
                painted=tally.painted,
                seconds_per_tile=statistics.median(tally.seconds) if tally.seconds else None,
            )

    def close(self, timeout: float = 30.0) -> None:
        """Refuse whatever waits, finish the tile being painted, end the thread."""
        with self._changed:
            self._closing = True
            for job in list(self._jobs.values()):
                if job is not self._painting:
                    self._finish(job, error=_closing())
            self._changed.notify_all()
        self._thread.join(timeout)

    def _join(self, slide: str, address: TileAddress, s: int, work: Callable[[], Pixels]) -> _Job:
        with self._changed:
            if self._closing:
                raise _closing()
            if self._waiting >= self._max_waiting:
                raise BusyError(f"at most {self._max_waiting} requests that wait", "more", "ask again in a second")
            job = self._jobs.get((slide, address))
            if job is None:
                job = self._jobs[slide, address] = _Job(slide, address, s, work)
            self._waiting += 1
            job.waiters += 1
            if job is not self._painting:
                number = next(self._numbers)
                job.order = (-s, -number)
                heapq.heappush(self._heap, (job.order, number, job))
                self._changed.notify_all()
            return job

    def _leave(self, job: _Job) -> None:
        with self._changed:
            self._waiting -= 1
            job.waiters -= 1
            if job.waiters == 0 and job is not self._painting and not job.done.is_set():
                self._finish(job, error=_closing())

    def _run(self) -> None:
        while (job := self._next()) is not None:
            started = time.monotonic()
            try:
                pixels = job.work()
            except Exception as error:
                log.exception("painting %s of slide %s failed", job.address, job.slide)
                found = f"{type(error).__name__}: {error}"
                failure = PaintError("a painted tile", found, "see the server's log; nothing was cached")
                failure.__cause__ = error
                self._done(job, None, failure, None)
            else:
                self._done(job, pixels, None, time.monotonic() - started)

    def _next(self) -> _Job | None:
        """The job to do now, after waiting for one; None when the queue is closed."""
        with self._changed:
            while True:
                while self._heap:
                    order, _, job = heapq.heappop(self._heap)
                    if job.order == order and not job.done.is_set():
                        self._painting = job
                        return job
                if self._closing:
                    return None
                self._changed.wait()

    def _done(self, job: _Job, pixels: Pixels | None, error: Exception | None, seconds: float | None) -> None:
        with self._changed:
            self._painting = None
            if seconds is not None:
                tally = self._tallies.setdefault(job.slide, _Tally())
                tally.painted += 1
                tally.seconds.append(seconds)
            self._finish(job, pixels, error)

    def _finish(self, job: _Job, pixels: Pixels | None = None, error: Exception | None = None) -> None:
        """Give waiting requests their answer. The lock is held."""
        job.pixels, job.error = pixels, error
        del self._jobs[job.slide, job.address]
        job.done.set()


def _closing() -> ClosingError:
    return ClosingError("a running server", "one that is stopping", "ask again when it runs")

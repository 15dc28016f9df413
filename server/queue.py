"""The painter's queue: requests wait, and a few threads paint. The next tile is chosen when a thread is free.

Tiles in view come before tiles out of view; then viewers take turns, the one that waits longest first; of one viewer,
coarse tiles come before fine ones, tiles near the centre of its viewport before others, new requests before old ones.
"""

from __future__ import annotations

import itertools
import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from everslide.server.deepzoom import TileAddress
from everslide.server.elsewhere import Elsewhere
from everslide.server.encode import Pixels
from everslide.server.errors import BusyError, ClosingError, DroppedError, GoneError, PaintError
from everslide.server.events import Broker, TileEvent, TileState
from everslide.server.viewports import L0Tile, Urgency, Viewports, l0_tile

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
"""How often a waiting request checks whether its client is still connected."""
MOMENT_SECONDS = 0.04
"""The queue counts as idle only after so long: a client that requests tile after tile is back sooner."""
_REMEMBERED_TURNS = 4096
"""A round of turns ends after so many viewers at the latest."""
_RECENT = 32
"""Number of tiles whose median time is `seconds_per_tile`."""
FINISHING_SECONDS, ABANDONING_SECONDS = 10.0, 5.0
"""A queue that is closed waits so long for the tiles that are being painted; then it abandons them, since a cluster
without workers never answers, and waits so long for that."""


@dataclass(frozen=True)
class Progress:
    """State of painting of one slide.

    waiting: number of tiles. painting: a tile being painted, or None. painted: tiles since the start. seconds_per_tile:
    median of the latest ones, None before the first.
    """

    waiting: int
    painting: TileAddress | None
    painted: int
    seconds_per_tile: float | None


@dataclass(eq=False)
class _Waiter:
    """A waiting request. number: its serial number. dropped: its tile is out of its viewer's view now."""

    viewer: str
    number: int
    dropped: bool = False


@dataclass(eq=False)
class _Job:
    """One tile to paint, and who waits for it. number: of the latest request. begun_at: when it was first painted,
    seconds since the epoch; 0.0 before."""

    slide: str
    address: TileAddress
    s: int
    work: Callable[[], Pixels]
    number: int = 0
    waiters: list[_Waiter] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    pixels: Pixels | None = None
    error: Exception | None = None
    begun_at: float = 0.0

    @property
    def tile(self) -> L0Tile:
        return l0_tile(self.address, self.s)


@dataclass
class _Tally:
    painted: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))


def _never() -> bool:
    return False


class PaintQueue:
    """Runs the work of painting in threads of its own, which start at once. Safe to use from several threads.

    max_waiting: requests that may wait at the same time; more are refused, so that there are always threads left to
        serve what is cached. threads: how many tiles are painted at the same time.
    """

    def __init__(
        self,
        max_waiting: int = 64,
        threads: int = 1,
        viewports: Viewports | None = None,
        broker: Broker | None = None,
    ) -> None:
        self.max_waiting = max_waiting
        self.threads = threads
        self.viewports = viewports or Viewports()
        self.broker = broker or Broker()
        self.elsewhere = Elsewhere(self.viewports)
        lock = threading.Lock()
        self._changed, self._idle = threading.Condition(lock), threading.Condition(lock)
        self._idle_workers: set[int] = set()  # threads
        self._no_idle_work, self._left_at = False, 0.0
        self._jobs: dict[tuple[str, TileAddress], _Job] = {}
        self._numbers = itertools.count()
        self._waiting = 0
        self._painting: dict[int, _Job] = {}  # by thread
        self._had_turn: set[str] = set()  # viewers that were painted for in this round, whether they still wait or not
        self._tallies: dict[str, _Tally] = {}
        self._closing = self._abandoning = False
        self._threads = [threading.Thread(target=self._run, name=f"painter {i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def paint(
        self,
        slide: str,
        address: TileAddress,
        s: int,
        work: Callable[[], Pixels],
        gone: Callable[[], bool] = _never,
        viewer: str = "",
    ) -> Pixels:
        """The pixels (256, 256, 3) of a tile: the result of `work()`, run once in a painter's thread for all requests
        that wait for this tile.

        s: scale of the tile. gone: whether the client has disconnected; a tile that no request waits for is not
        painted.
        viewer: the name under which the requesting viewer posts its viewport.
        Raises PaintError where `work` raised, BusyError, ClosingError, GoneError, DroppedError.
        """
        job, waiter = self._join(slide, address, s, work, viewer)
        try:
            while not job.done.wait(_POLL_SECONDS):
                if gone():
                    raise GoneError("a client that waits for its tile", "a closed connection", "ask again")
                if waiter.dropped:
                    raise moved_away()
        finally:
            self._leave(job, waiter)
        if job.error is not None:
            raise job.error
        assert job.pixels is not None
        return job.pixels

    def has(self, slide: str, address: TileAddress) -> bool:
        """Whether the tile waits or is being painted."""
        with self._changed:
            return (slide, address) in self._jobs

    def cancel_out_of_view(self, viewer: str, slide: str) -> int:
        """Cancel the viewer's requests for tiles that are out of its viewport; -> how many."""
        dropped = 0
        with self._changed:
            for job in list(self._jobs.values()):
                if job.slide != slide or self.viewports.wanted(viewer, slide, job.tile):
                    continue
                leaving = [waiter for waiter in job.waiters if waiter.viewer == viewer]
                for waiter in leaving:
                    waiter.dropped = True
                    job.waiters.remove(waiter)
                dropped += len(leaving)
                self._drop_if_alone(job, moved_away())
        return dropped + self.elsewhere.cancel_out_of_view(viewer, slide)

    def abandoned(self) -> bool:
        """Whether the tile that the calling thread paints is no longer needed: no request waits for it, or, for idle
        work, any request waits, or the queue was closed too long ago."""
        with self._changed:
            if self.is_idle_work():
                return self._no_idle_work or self._waiting > 0 or len(self.elsewhere) > 0
            job = self._painting.get(threading.get_ident())
            return job is not None and (self._abandoning or not job.waiters)

    def begun_at(self) -> float:
        """When the tile that the calling thread paints was begun, seconds since the epoch; now for other work."""
        with self._changed:
            job = self._painting.get(threading.get_ident())
            return time.time() if job is None else job.begun_at

    def wait_until_idle(self) -> bool:
        """Wait until nothing is painted and no request has waited for MOMENT_SECONDS; False: idle work must end."""
        with self._changed:
            while not self._no_idle_work:
                left = self._left_at + MOMENT_SECONDS - time.monotonic()
                if self._waiting or self._painting:
                    self._idle.wait()
                elif len(self.elsewhere):
                    self._idle.wait(_POLL_SECONDS)  # nobody tells when another process has painted
                elif left > 0:
                    self._idle.wait(left)
                else:
                    return True
            return False

    def close_to_idle_work(self) -> None:
        """Cancel idle work, and let none begin."""
        with self._changed:
            self._no_idle_work = True
            self._idle.notify_all()

    @contextmanager
    def idle_work(self) -> Iterator[None]:
        """A context for painting without a request: it is `abandoned` as soon as a request waits."""
        self._idle_workers.add(threading.get_ident())
        try:
            yield
        finally:
            self._idle_workers.discard(threading.get_ident())

    def is_idle_work(self) -> bool:
        """Whether the calling thread is within `idle_work`."""
        return threading.get_ident() in self._idle_workers

    def progress(self, slide: str) -> Progress:
        """What waits, is painted and was painted of a slide."""
        with self._changed:
            painting = list(self._painting.values())
            tally = self._tallies.get(slide, _Tally())
            return Progress(
                waiting=sum(job.slide == slide and job not in painting for job in self._jobs.values()),
                painting=next((job.address for job in painting if job.slide == slide), None),
                painted=tally.painted,
                seconds_per_tile=statistics.median(tally.seconds) if tally.seconds else None,
            )

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether a further request would be refused."""
        return self._waiting >= self.max_waiting

    @property
    def closing(self) -> bool:
        """Whether `close` was called: nothing more is begun."""
        return self._closing

    def close(self) -> None:
        """Refuse whatever waits, finish the tiles being painted, or abandon them where that takes too long; end the
        threads."""
        self.close_to_idle_work()
        with self._changed:
            self._closing = True
            for job in list(self._jobs.values()):
                if job not in self._painting.values():
                    self._finish(job, error=stopping())
            self._changed.notify_all()
        self._await_threads(FINISHING_SECONDS)
        with self._changed:
            self._abandoning = True
        self._await_threads(ABANDONING_SECONDS)

    def _await_threads(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _join(
        self, slide: str, address: TileAddress, s: int, work: Callable[[], Pixels], viewer: str
    ) -> tuple[_Job, _Waiter]:
        with self._changed:
            if self._closing:
                raise stopping()
            if self.full:
                raise BusyError(f"at most {self.max_waiting} requests that wait", "more", "ask again in a second")
            job = self._jobs.get((slide, address))
            if job is None:
                job = self._jobs[slide, address] = _Job(slide, address, s, work)
                self._publish(job, "waiting")
            job.number = next(self._numbers)
            waiter = _Waiter(viewer, job.number)
            job.waiters.append(waiter)
            self._waiting += 1
            self._changed.notify()
            return job, waiter

    def _leave(self, job: _Job, waiter: _Waiter) -> None:
        with self._changed:
            self._waiting -= 1
            self._left_at = time.monotonic()
            if not waiter.dropped:
                job.waiters.remove(waiter)
            self._drop_if_alone(job, stopping())
            self._idle.notify_all()

    def _drop_if_alone(self, job: _Job, error: Exception) -> None:
        """Forget a job that nobody waits for and nobody paints. The lock is held."""
        if not job.waiters and job not in self._painting.values() and not job.done.is_set():
            self._publish(job, "dropped")
            self._finish(job, error=error)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            started = time.monotonic()
            try:
                pixels = job.work()
            except GoneError as error:  # abandoned while it was painted
                self._done(job, None, error, None)
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
                waiting = [job for job in self._jobs.values() if job not in self._painting.values()]
                if waiting:
                    job = self._choose(waiting)
                    self._painting[threading.get_ident()] = job
                    job.begun_at = job.begun_at or time.time()
                    self._publish(job, "painting")
                    return job
                if self._closing:
                    return None
                self._changed.wait()

    def _choose(self, jobs: list[_Job]) -> _Job:
        """The most urgent job, for the viewer whose turn it is. The lock is held."""
        asked = [(job, waiter) for job in jobs for waiter in job.waiters]
        since: dict[str, int] = {}  # viewer -> number of its oldest request
        for _, waiter in asked:
            since[waiter.viewer] = min(waiter.number, since.get(waiter.viewer, waiter.number))
        job, waiter = min(asked, key=lambda each: self._order(each[0], each[1].viewer, since[each[1].viewer]))
        if waiter.viewer in self._had_turn or len(self._had_turn) >= _REMEMBERED_TURNS:
            self._had_turn.clear()  # the next round
        self._had_turn.add(waiter.viewer)
        return job

    def _order(self, job: _Job, viewer: str, since: int) -> tuple[bool, bool, int, int, float, int]:
        urgency: Urgency = self.viewports.urgency(viewer, job.slide, job.tile)
        return urgency.hidden, viewer in self._had_turn, since, -job.s, urgency.distance, -job.number

    def _done(self, job: _Job, pixels: Pixels | None, error: Exception | None, seconds: float | None) -> None:
        with self._changed:
            del self._painting[threading.get_ident()]
            self._idle.notify_all()
            if isinstance(error, GoneError) and job.waiters:
                if not self._abandoning:  # somebody came back after it was given up
                    self._changed.notify()
                    return
                error = stopping()
            if seconds is not None:
                tally = self._tallies.setdefault(job.slide, _Tally())
                tally.painted += 1
                tally.seconds.append(seconds)
            self._publish(job, "final" if error is None else "dropped" if isinstance(error, GoneError) else "failed")
            self._finish(job, pixels, error)

    def _finish(self, job: _Job, pixels: Pixels | None = None, error: Exception | None = None) -> None:
        """Give waiting requests their answer. The lock is held."""
        job.pixels, job.error = pixels, error
        del self._jobs[job.slide, job.address]
        job.done.set()

    def _publish(self, job: _Job, state: TileState) -> None:
        self.broker.publish(TileEvent(job.slide, job.address, state))


def moved_away() -> DroppedError:
    """The error of a request whose viewer has moved away from its tile."""
    return DroppedError("a tile in view", "a viewport that has moved away", "ask again when it is in view")


def stopping() -> ClosingError:
    """The error of a request that meets a server that is stopping."""
    return ClosingError("a running server", "one that is stopping", "ask again when it runs")

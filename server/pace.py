"""Limits the share of the interpreter that small work takes while the painter is busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REST = 3.0
"""Length of the pause over that of the work."""
LONGEST_REST = 0.1
"""Seconds. Work that took long because the machine was suspended must not be followed by as long a pause."""


class Pace:
    """Lets one thread at a time do small work; while the painter is overloaded, followed by a pause of REST times its
    length.

    All threads of a process share one interpreter lock. Many threads that answer at once would leave little of it to
    the painter, which takes the lock thousands of times for a tile. behind: whether the painter is overloaded.
    """

    def __init__(
        self,
        behind: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._behind, self._clock, self._sleep = behind, clock, sleep
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A context for the work: waits for the turn before, pauses after."""
        with self._lock:
            started = self._clock()
            try:
                yield
            finally:
                if self._behind():
                    self._sleep(min(REST * (self._clock() - started), LONGEST_REST))

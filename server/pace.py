"""Small work that must not keep the painter from its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REST = 3.0
"""How much longer the rest is than the work."""
LONGEST_REST = 0.1
"""Seconds; a machine that stood still must not make anybody wait for as long again."""


class Pace:
    """Lets one thread at a time do something, and, while the painter is behind, rest after it for REST times as long.

    All threads of a process share one interpreter: whoever answers from many of them at once leaves hardly any of it to
    the painter, which asks for its turn thousands of times a tile. behind: whether more is asked of the painter than it
    can do.
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
        """Wait for one's turn, do it, rest."""
        with self._lock:
            started = self._clock()
            try:
                yield
            finally:
                if self._behind():
                    self._sleep(min(REST * (self._clock() - started), LONGEST_REST))

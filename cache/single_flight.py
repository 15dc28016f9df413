"""Work that several threads want at the same time, done once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Lets the first of several threads do some work; the others wait for its result, or its exception.

    Nothing is remembered: a call after the work is done does it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Future[T]] = {}

    def run(self, name: str, work: Callable[[], T]) -> T:
        """The result of `work()`, run by this thread, or by one that is already running it under the same name."""
        with self._lock:
            flight = self._flights.get(name)
            mine = flight is None
            if flight is None:
                flight = self._flights[name] = Future()
        if mine:
            self._fly(name, flight, work)
        return flight.result()

    def _fly(self, name: str, flight: Future[T], work: Callable[[], T]) -> None:
        try:
            result = work()
        except BaseException as error:
            self._land(name)
            flight.set_exception(error)
        else:
            self._land(name)
            flight.set_result(result)

    def _land(self, name: str) -> None:
        with self._lock:
            del self._flights[name]

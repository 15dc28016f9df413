"""Sixteen threads, one piece of work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from everslide.cache.single_flight import SingleFlight

T = TypeVar("T")


def in_threads(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)


def await_waiting(flights: SingleFlight[T], count: int) -> None:
    """Return when so many threads wait for the tile."""
    deadline = time.monotonic() + 30
    while len(flights._flights["tile"]._condition._waiters) < count:  # type: ignore[attr-defined]  # a Future's own
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_one_works_and_the_others_wait() -> None:
    flights: SingleFlight[object] = SingleFlight()
    calls, results = [], []

    def work() -> object:
        calls.append(1)
        await_waiting(flights, 15)
        return object()

    def ask() -> None:
        results.append(flights.run("tile", work))

    in_threads(16, ask)
    assert len(calls) == 1
    assert len(results) == 16
    assert len({id(result) for result in results}) == 1


def test_everybody_gets_the_exception() -> None:
    flights: SingleFlight[None] = SingleFlight()
    caught = []

    def fail() -> None:
        await_waiting(flights, 3)
        raise OSError("no paint")

    def ask() -> None:
        try:
            flights.run("tile", fail)
        except OSError as error:
            caught.append(str(error))

    in_threads(4, ask)
    assert caught == ["no paint"] * 4


def test_nothing_is_remembered() -> None:
    flights: SingleFlight[int] = SingleFlight()
    results = iter([1, 2])
    assert flights.run("tile", results.__next__) == 1
    assert flights.run("tile", results.__next__) == 2


def test_an_exception_does_not_block_the_name() -> None:
    flights: SingleFlight[int] = SingleFlight()
    with pytest.raises(ZeroDivisionError):
        flights.run("tile", lambda: 1 // 0)
    assert flights.run("tile", lambda: 3) == 3


def test_names_are_apart() -> None:
    flights: SingleFlight[str] = SingleFlight()
    assert flights.run("a", lambda: flights.run("b", lambda: "inner") + " outer") == "inner outer"

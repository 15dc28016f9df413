"""Sixteen threads, one piece of work."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from everslide.cache.single_flight import SingleFlight


def in_threads(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)


def test_one_works_and_the_others_wait() -> None:
    flights: SingleFlight[object] = SingleFlight()
    together, calls, results = threading.Barrier(16), [], []

    def work() -> object:
        calls.append(1)
        threading.Event().wait(0.2)
        return object()

    def ask() -> None:
        together.wait()
        results.append(flights.run("tile", work))

    in_threads(16, ask)
    assert len(calls) == 1
    assert len(results) == 16
    assert len({id(result) for result in results}) == 1


def test_everybody_gets_the_exception() -> None:
    flights: SingleFlight[None] = SingleFlight()
    together, caught = threading.Barrier(4), []

    def fail() -> None:
        threading.Event().wait(0.2)
        raise OSError("no paint")

    def ask() -> None:
        together.wait()
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

"""Order, sharing, failures and the end of the painter's queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from everslide.server.deepzoom import TileAddress
from everslide.server.encode import Pixels
from everslide.server.errors import BusyError, ClosingError, GoneError, PaintError, RequestError
from everslide.server.queue import PaintQueue

PIXELS = np.zeros((256, 256, 3), np.uint8)
MAX_LEVEL = 17


def address(s: int, col: int) -> TileAddress:
    return TileAddress(MAX_LEVEL - s, col, 0)


class Bench:
    """A queue whose painter is held at a first tile, and requests for more tiles in threads."""

    def __init__(self, max_waiting: int = 64) -> None:
        self.queue = PaintQueue(max_waiting)
        self.gate = threading.Event()
        self.painted: list[TileAddress] = []
        self.errors: list[RequestError] = []
        self.threads: list[threading.Thread] = []

    def ask(self, s: int, col: int, gone: Callable[[], bool] = lambda: False) -> None:
        """Ask in a thread of its own; return when the request waits."""
        before = self.waiting()
        thread = threading.Thread(target=self._paint, args=(s, col, gone))
        self.threads.append(thread)
        thread.start()
        until(lambda: self.waiting() > before or not thread.is_alive())

    def waiting(self) -> int:
        return self.queue._waiting

    def open(self) -> None:
        self.gate.set()
        for thread in self.threads:
            thread.join(10)

    def _paint(self, s: int, col: int, gone: Callable[[], bool]) -> None:
        def work() -> Pixels:
            assert self.gate.wait(10)
            self.painted.append(address(s, col))
            return PIXELS

        try:
            self.queue.paint("demo", address(s, col), s, work, gone)
        except RequestError as error:
            self.errors.append(error)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.open()
    bench.queue.close()


def hold(bench: Bench) -> None:
    """Let the painter be busy with a tile that does not belong to the test."""
    bench.ask(0, 999)
    until(lambda: bench.queue.progress("demo").painting is not None)


def test_coarse_before_fine_then_newest_first(bench: Bench) -> None:
    hold(bench)
    for s, col in [(0, 1), (3, 1), (0, 2), (7, 1), (3, 2), (0, 3)]:
        bench.ask(s, col)
    bench.open()
    order = [(7, 1), (3, 2), (3, 1), (0, 3), (0, 2), (0, 1)]
    assert bench.painted[1:] == [address(s, col) for s, col in order]


def test_asking_again_makes_a_tile_new(bench: Bench) -> None:
    hold(bench)
    for col in (1, 2, 3, 1):
        bench.ask(0, col)
    bench.open()
    assert bench.painted[1:] == [address(0, 1), address(0, 3), address(0, 2)]


def test_sixteen_requests_paint_once(bench: Bench) -> None:
    hold(bench)
    for _ in range(16):
        bench.ask(2, 5)
    assert bench.queue.progress("demo").waiting == 1
    bench.open()
    assert bench.painted.count(address(2, 5)) == 1
    assert bench.errors == []


def test_progress(bench: Bench) -> None:
    hold(bench)
    bench.ask(1, 1)
    bench.ask(1, 2)
    state = bench.queue.progress("demo")
    assert (state.waiting, state.painting, state.painted) == (2, address(0, 999), 0)
    assert bench.queue.progress("other").waiting == 0
    assert bench.queue.progress("other").painting is None
    bench.open()
    state = bench.queue.progress("demo")
    assert (state.waiting, state.painting, state.painted) == (0, None, 3)


def test_a_tile_nobody_waits_for_is_not_painted(bench: Bench) -> None:
    hold(bench)
    left = threading.Event()
    bench.ask(0, 1, gone=left.is_set)
    left.set()
    until(lambda: bench.queue.progress("demo").waiting == 0)
    bench.open()
    assert bench.painted == [address(0, 999)]
    assert [type(error) for error in bench.errors] == [GoneError]


def test_a_tile_is_painted_as_long_as_one_waits(bench: Bench) -> None:
    hold(bench)
    left = threading.Event()
    bench.ask(0, 1, gone=left.is_set)
    bench.ask(0, 1)
    left.set()
    until(lambda: bench.waiting() == 2)
    bench.open()
    assert bench.painted == [address(0, 999), address(0, 1)]


def test_who_left_may_come_back(bench: Bench) -> None:
    hold(bench)
    left = threading.Event()
    bench.ask(0, 1, gone=left.is_set)
    left.set()
    until(lambda: bench.queue.progress("demo").waiting == 0)
    bench.ask(0, 1)
    bench.open()
    assert bench.painted == [address(0, 999), address(0, 1)]


def test_what_is_painted_knows_when_it_was_begun(bench: Bench) -> None:
    """Not when it was asked for: what waited out of view is not more urgent than what is painted already."""
    hold(bench)
    told: list[float] = []

    def work() -> Pixels:
        told.append(bench.queue.begun_at())
        return PIXELS

    thread = threading.Thread(target=bench.queue.paint, args=("demo", address(0, 1), 0, work))
    thread.start()
    until(lambda: bench.waiting() == 2)
    asked = time.time()
    bench.open()
    thread.join(10)
    assert len(told) == 1 and asked <= told[0] <= time.time()
    assert bench.queue.begun_at() >= told[0], "now, for a thread that paints no tile"


def test_too_many_are_refused() -> None:
    bench = Bench(max_waiting=2)
    hold(bench)
    bench.ask(0, 1)
    bench.ask(0, 2)
    until(lambda: len(bench.errors) == 1)
    assert isinstance(bench.errors[0], BusyError)
    bench.open()
    bench.queue.close()
    assert bench.painted == [address(0, 999), address(0, 1)]


def test_an_exception_reaches_who_waits_and_the_queue_goes_on(bench: Bench) -> None:
    def fail() -> Pixels:
        raise ZeroDivisionError("no brush")

    with pytest.raises(PaintError, match="ZeroDivisionError: no brush"):
        bench.queue.paint("demo", address(0, 1), 0, fail)
    assert bench.queue.progress("demo").painted == 0
    assert bench.queue.paint("demo", address(0, 1), 0, lambda: PIXELS) is PIXELS


def test_closing_finishes_the_tile_in_hand_and_refuses_the_rest() -> None:
    bench = Bench()
    hold(bench)
    bench.ask(0, 1)
    closing = threading.Thread(target=bench.queue.close)
    closing.start()
    until(lambda: len(bench.errors) == 1)
    assert isinstance(bench.errors[0], ClosingError)
    bench.open()
    closing.join(10)
    assert bench.painted == [address(0, 999)]
    assert not any(thread.is_alive() for thread in bench.queue._threads)
    with pytest.raises(ClosingError):
        bench.queue.paint("demo", address(0, 2), 0, lambda: PIXELS)


def test_closing_an_idle_queue() -> None:
    queue = PaintQueue()
    queue.close()
    queue.close()
    assert not any(thread.is_alive() for thread in queue._threads)

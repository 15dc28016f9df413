"""Who is painted for first: what is seen, by turns, near the centre; and who is not painted for any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from everslide.server import queue as module
from everslide.server.deepzoom import TileAddress
from everslide.server.encode import Pixels
from everslide.server.errors import ClosingError, DroppedError, GoneError, RequestError
from everslide.server.events import BACKLOG, Broker, TileEvent
from everslide.server.queue import PaintQueue
from everslide.server.viewports import LIFETIME_SECONDS, L0Tile, Viewport, Viewports, l0_tile
from tests.server.test_queue import until

PIXELS = np.zeros((256, 256, 3), np.uint8)
MAX_LEVEL = 17


class Bench:
    """A queue whose painter is held at a first tile, and viewers who ask for tiles."""

    def __init__(self, threads: int = 1) -> None:
        self.broker = Broker()
        self.queue = PaintQueue(64, threads, broker=self.broker)
        self.gate = threading.Event()
        self.painted: list[tuple[int, int, int]] = []
        self.errors: list[RequestError] = []
        self.threads: list[threading.Thread] = []

    def ask(self, viewer: str, s: int, col: int, row: int = 0, gone: Callable[[], bool] = lambda: False) -> None:
        before = self.queue.waiting
        thread = threading.Thread(target=self._paint, args=(viewer, s, col, row, gone))
        self.threads.append(thread)
        thread.start()
        until(lambda: self.queue.waiting > before or not thread.is_alive())

    def post_viewport(self, viewer: str, s: int, x: float, y: float, width: float = 1024, height: float = 1024) -> int:
        self.queue.viewports.post(viewer, "demo", Viewport(MAX_LEVEL - s, x, y, width, height))
        return self.queue.cancel_out_of_view(viewer, "demo")

    def open(self) -> list[tuple[int, int, int]]:
        """Paint everything; -> what was painted after the tile that held the painter."""
        self.gate.set()
        for thread in self.threads:
            thread.join(10)
        return self.painted[1:]

    def _paint(self, viewer: str, s: int, col: int, row: int, gone: Callable[[], bool]) -> None:
        def work() -> Pixels:
            assert self.gate.wait(10)
            self.painted.append((s, col, row))
            return PIXELS

        try:
            self.queue.paint("demo", TileAddress(MAX_LEVEL - s, col, row), s, work, gone, viewer)
        except RequestError as error:
            self.errors.append(error)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.ask("holder", 0, 999, 999)
    until(lambda: bench.queue.progress("demo").painting is not None)
    yield bench
    bench.open()
    bench.queue.close()


def test_the_centre_of_the_viewport_comes_first(bench: Bench) -> None:
    bench.post_viewport("anna", 0, 0, 0, 256 * 5, 256)
    for col in (0, 4, 1, 2, 3):
        bench.ask("anna", 0, col)
    assert bench.open() == [(0, 2, 0), (0, 3, 0), (0, 1, 0), (0, 4, 0), (0, 0, 0)]


def test_coarse_comes_before_the_centre(bench: Bench) -> None:
    bench.post_viewport("anna", 0, 0, 0)
    bench.ask("anna", 0, 1, 1)
    bench.ask("anna", 1, 0, 0)
    bench.ask("anna", 5, 0, 0)
    assert bench.open() == [(5, 0, 0), (1, 0, 0), (0, 1, 1)]


def test_what_is_seen_comes_before_what_is_not(bench: Bench) -> None:
    bench.post_viewport("anna", 0, 0, 0)
    bench.post_viewport("otto", 0, 5120, 0)
    bench.ask("anna", 0, 4)  # just outside
    bench.ask("anna", 3, 1)  # coarse, and outside
    bench.ask("otto", 0, 21)
    assert bench.open()[0] == (0, 21, 0)


def test_viewers_take_turns(bench: Bench) -> None:
    for col in range(5):
        bench.ask("anna", 0, col)
    for col in range(10, 12):
        bench.ask("otto", 0, col)
    order = bench.open()
    assert sorted(order[:4]) == [(0, 3, 0), (0, 4, 0), (0, 10, 0), (0, 11, 0)]
    assert order[4:] == [(0, 2, 0), (0, 1, 0), (0, 0, 0)]


def test_a_newcomer_does_not_get_the_turns_it_missed(bench: Bench) -> None:
    for col in range(6):
        bench.ask("anna", 0, col)
    bench.ask("otto", 0, 10)
    bench.ask("otto", 0, 11)
    order = bench.open()
    assert order.index((0, 10, 0)) > 0, "otto does not have two turns in a row"


def test_who_asks_again_and_again_does_not_overtake_who_waits() -> None:
    """Otto and Emil ask for a tile each, turn by turn, as long as they are painted for; Anna for one at the edge of
    her view. A viewer that waits for nothing for a moment is no newcomer when it asks again."""
    queue, gate, threads, painted = PaintQueue(), threading.Event(), [], []
    queue.viewports.post("anna", "demo", Viewport(MAX_LEVEL, 0, 0, 1024, 1024))

    def work(viewer: str, col: int) -> Pixels:
        assert gate.wait(10)
        painted.append(viewer)
        if viewer != "anna" and len(painted) < 12:
            ask({"otto": "emil", "emil": "otto"}[viewer], col + 1)
        return PIXELS

    def ask(viewer: str, col: int) -> None:
        address = TileAddress(MAX_LEVEL, col, 0)
        arguments = ("demo", address, 0, lambda: work(viewer, col), lambda: False, viewer)
        threads.append(threading.Thread(target=queue.paint, args=arguments))
        threads[-1].start()
        until(lambda: queue.has("demo", address))

    ask("otto", 1000)
    until(lambda: queue.progress("demo").painting is not None)
    ask("anna", 0)
    ask("emil", 2000)
    gate.set()
    until(lambda: len(painted) >= 12 and queue.waiting == 0)
    for thread in threads:
        thread.join(10)
    queue.close()
    assert painted.index("anna") == 1


def test_a_tile_two_viewers_want_is_painted_once(bench: Bench) -> None:
    bench.ask("anna", 0, 1)
    bench.ask("otto", 0, 1)
    assert bench.open() == [(0, 1, 0)]
    assert bench.errors == []


def test_a_viewport_that_moves_away_drops_what_waits(bench: Bench) -> None:
    bench.post_viewport("anna", 0, 0, 0)
    for col in range(3):
        bench.ask("anna", 0, col)
    bench.ask("otto", 0, 2)
    assert bench.post_viewport("anna", 0, 100_000, 100_000) == 3
    until(lambda: len(bench.errors) == 3)
    assert {type(error) for error in bench.errors} == {DroppedError}
    assert bench.open() == [(0, 2, 0)], "otto still waits for it"


def test_a_viewport_that_zooms_out_drops_what_is_too_fine(bench: Bench) -> None:
    bench.post_viewport("anna", 0, 0, 0)
    bench.ask("anna", 0, 1)
    bench.ask("anna", 4, 0)
    assert bench.post_viewport("anna", 4, 0, 0, 16_384, 16_384) == 1
    assert bench.open() == [(4, 0, 0)]


def test_a_small_move_drops_nothing(bench: Bench) -> None:
    bench.post_viewport("anna", 0, 0, 0)
    bench.ask("anna", 0, 3)
    assert bench.post_viewport("anna", 0, -300, 0) == 0
    assert bench.open() == [(0, 3, 0)]


def test_an_abandoned_tile_can_be_recognised(bench: Bench) -> None:
    seen: list[bool] = []
    left, go_on = threading.Event(), threading.Event()

    def work() -> Pixels:
        seen.append(bench.queue.abandoned())
        left.set()
        assert go_on.wait(10)
        until(bench.queue.abandoned)
        raise GoneError("a client", "none", "ask again")

    bench.gate.set()

    def ask() -> None:
        with pytest.raises(GoneError):
            bench.queue.paint("demo", TileAddress(5, 0, 0), 12, work, left.is_set)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)
    go_on.set()
    until(lambda: not bench.queue.has("demo", TileAddress(5, 0, 0)))
    assert seen == [False]
    assert not bench.queue.abandoned(), "no thread of the queue's"
    assert bench.queue.paint("demo", TileAddress(5, 0, 0), 12, lambda: PIXELS) is PIXELS


def test_two_threads_paint_two_tiles_at_once() -> None:
    together = threading.Barrier(2)
    queue = PaintQueue(threads=2)

    def work() -> Pixels:
        together.wait(10)
        return PIXELS

    threads = [
        threading.Thread(target=queue.paint, args=("demo", TileAddress(17, col, 0), 0, work)) for col in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not together.broken
    assert queue.progress("demo").painted == 2
    queue.close()


def test_a_queue_that_is_closed_does_not_wait_for_an_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a cluster whose workers are gone: its painter's thread asks again and again whether the tile is wanted."""
    monkeypatch.setattr(module, "FINISHING_SECONDS", 0.1)
    queue, errors = PaintQueue(), list[RequestError]()

    def work() -> Pixels:
        while not queue.abandoned():
            time.sleep(0.01)
        raise GoneError("a client that waits", "none", "ask again")

    def ask() -> None:
        try:
            queue.paint("demo", TileAddress(17, 0, 0), 0, work)
        except RequestError as error:
            errors.append(error)

    client = threading.Thread(target=ask)
    client.start()
    until(lambda: queue.progress("demo").painting is not None)
    queue.close()
    client.join(10)
    assert not client.is_alive() and [type(error) for error in errors] == [ClosingError]
    assert not any(thread.is_alive() for thread in queue._threads)


def test_events_tell_what_happens_to_a_tile(bench: Bench) -> None:
    listener = bench.broker.listen("demo")
    other = bench.broker.listen("endless")
    bench.ask("anna", 2, 1)
    left = threading.Event()
    bench.ask("anna", 2, 2, gone=left.is_set)
    left.set()
    until(lambda: len(bench.errors) == 1)
    bench.open()
    events = []
    while (event := listener.next(0.1)) is not None:
        events.append((event.address.col, event.state))
    assert events == [(1, "waiting"), (2, "waiting"), (2, "dropped"), (999, "final"), (1, "painting"), (1, "final")]
    assert other.next(0.01) is None
    bench.broker.leave(listener)
    assert bench.broker.listeners == 1


def test_a_slow_listener_loses_the_oldest_events_and_is_reported() -> None:
    broker = Broker()
    listener = broker.listen("demo")
    for col in range(BACKLOG + 5):
        broker.publish(TileEvent("demo", TileAddress(1, col, 0), "final"))
    assert listener.lost == 5
    first = listener.next(1)
    assert first is not None and first.address.col == 5


def test_a_viewport_is_forgotten_after_a_while() -> None:
    now = [0.0]
    viewports = Viewports(lambda: now[0])
    viewports.post("anna", "demo", Viewport(17, 0, 0, 100, 100))
    far = L0Tile(17, 10_000, 10_000, 256)
    assert not viewports.wanted("anna", "demo", far)
    assert viewports.wanted("anna", "endless", far)
    assert viewports.urgency("anna", "demo", far).hidden
    now[0] = LIFETIME_SECONDS + 1
    assert viewports.wanted("anna", "demo", far)
    assert not viewports.urgency("anna", "demo", far).hidden


def test_a_tiles_place_in_20x_pixels() -> None:
    assert l0_tile(TileAddress(14, 3, 2), 3) == L0Tile(14, 3 * 2048, 2 * 2048, 2048)

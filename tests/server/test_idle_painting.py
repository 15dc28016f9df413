"""Painting while nobody waits: one window at a time, given up for whoever asks, and never wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray

from everslide.cache.local_leases import LocalLeases
from everslide.cache.memory import MemoryStore
from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex, WindowIndex
from everslide.model.mini.sections import make_sketch
from everslide.model.pyramid.batching import GatheredWindows
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.slide import Slide
from everslide.server.app import create_app
from everslide.server.assembly import Assembly, assemble, paint_while_idle
from everslide.server.deepzoom import TileAddress
from everslide.server.encode import JPEG
from everslide.server.errors import GoneError
from everslide.server.foresight import Foresight, Guess
from everslide.server.idle_painting import IdlePainter
from everslide.server.queue import MOMENT_SECONDS, PaintQueue
from everslide.server.settings import Settings
from everslide.server.slides import Catalogue, Entry, demo_entries
from everslide.server.tiles import ServedSlide, TileService
from everslide.server.viewports import l0_tile
from everslide.server.windows import SharedWindows
from tests.server.stub import Studio, make_service
from tests.server.test_queue import until

PARENT = np.full((160, 160, 3), 90, np.uint8)
PIXELS = np.zeros((256, 256, 3), np.uint8)


class Held(SpeckleModel):
    """Speckle whose windows wait for the gate, and that notes how many are painted at the same time."""

    side_by_side = 2

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.lock = threading.Semaphore(0), threading.Lock()
        self.now = self.most = self.begun = 0

    def bands(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """See `WindowModel.bands`."""
        with self.lock:
            self.begun += 1
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.gate.acquire(timeout=20)
        with self.lock:
            self.now -= 1
        return super().bands(context, windows, parents)


@dataclass
class Bench:
    model: Held
    queue: PaintQueue
    windows: SharedWindows


@pytest.fixture
def bench() -> Iterator[Bench]:
    model, queue = Held(), PaintQueue(threads=2)

    def still_wanted() -> None:
        if queue.abandoned():
            raise GoneError("somebody", "nobody", "wait")

    gathered = GatheredWindows(model)
    yield Bench(
        model, queue, SharedWindows(gathered, MemoryStore(10**8), LocalLeases(), still_wanted, queue.is_idle_work)
    )
    model.gate.release(1000)
    queue.close()
    gathered.close()


def paint(bench: Bench, count: int, idle: bool) -> str:
    """How painting so many windows ends."""
    windows, parents = [WindowIndex(0, i, 0) for i in range(count)], [PARENT] * count
    try:
        if idle:
            with bench.queue.idle_work():
                bench.windows.paint(GenerationContext(1), windows, parents)
        else:
            bench.windows.paint(GenerationContext(1), windows, parents)
    except GoneError:
        return "gave way"
    return "painted"


def test_idle_work_paints_one_window_at_a_time(bench: Bench) -> None:
    bench.model.gate.release(4)
    assert paint(bench, 4, idle=True) == "painted"
    assert bench.model.most == 1


def test_what_somebody_waits_for_takes_all_threads(bench: Bench) -> None:
    with ThreadPoolExecutor(1) as pool:
        painted = pool.submit(paint, bench, 4, False)
        until(lambda: bench.model.now == 2)
        bench.model.gate.release(4)
        assert painted.result(20) == "painted"


def test_idle_work_ends_with_the_window_at_hand_when_somebody_waits_and_what_it_painted_is_kept(bench: Bench) -> None:
    with ThreadPoolExecutor(2) as pool:
        idle = pool.submit(paint, bench, 6, True)
        bench.model.gate.release(1)
        until(lambda: bench.model.begun == 2)
        gate = threading.Event()

        def work() -> NDArray[np.uint8]:
            assert gate.wait(20)
            return PIXELS

        seen = pool.submit(bench.queue.paint, "demo", TileAddress(17, 1, 1), 0, work)
        until(lambda: bench.queue.waiting == 1)
        bench.model.gate.release(1)
        assert idle.result(20) == "gave way"
        assert bench.model.begun == 2
        gate.set()
        seen.result(20)
    bench.model.gate.release(4)
    assert paint(bench, 6, idle=True) == "painted"
    assert bench.model.begun == 6


def test_nothing_is_painted_ahead_while_somebody_waits() -> None:
    queue, foresight, painted = PaintQueue(), Foresight(), list[Guess]()
    gate = threading.Event()
    idle = IdlePainter(foresight, queue, painted.append)

    def work() -> NDArray[np.uint8]:
        assert gate.wait(20)
        return PIXELS

    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(queue.paint, "demo", TileAddress(17, 1, 1), 0, work)
        until(lambda: queue.waiting == 1)
        foresight.asked("anna", "demo", TileAddress(17, 1, 1))
        idle.start()
        assert painted == []
        gate.set()
        seen.result(20)
        until(lambda: len(painted) == 9 + 4)  # the tile with its ring, and those above
    idle.close()
    queue.close()


def test_nothing_is_painted_ahead_while_somebody_waits_for_another_process() -> None:
    queue, foresight, painted = PaintQueue(), Foresight(), list[Guess]()
    idle = IdlePainter(foresight, queue, painted.append)
    waiter = queue.elsewhere.wait("anna", "demo", l0_tile(TileAddress(17, 1, 1), 0))
    foresight.asked("anna", "demo", TileAddress(17, 1, 1))
    idle.start()
    with queue.idle_work():
        assert queue.abandoned()
    assert painted == []
    queue.elsewhere.leave(waiter)
    until(lambda: len(painted) == 9 + 4)
    with queue.idle_work():
        assert not queue.abandoned()
    idle.close()
    queue.close()


def test_closing_ends_it_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also between its look at the queue and its wait for more to do."""
    queue, foresight = PaintQueue(), Foresight()
    idle = IdlePainter(foresight, queue, lambda guess: None)
    reached, closing = threading.Event(), threading.Event()
    clear, more = idle._more.clear, idle._more.set

    def clear_late() -> None:
        reached.set()
        assert closing.wait(20)
        clear()

    def set_before() -> None:
        more()
        if reached.is_set():
            closing.set()

    monkeypatch.setattr(idle._more, "clear", clear_late)
    monkeypatch.setattr(idle._more, "set", set_before)
    idle.start()
    assert reached.wait(20)
    ends = threading.Thread(target=idle.close, daemon=True)
    ends.start()
    ends.join(20)
    assert not ends.is_alive()
    queue.close()


def test_a_guess_that_gave_way_is_tried_again_and_one_that_failed_is_not() -> None:
    queue, foresight, tried = PaintQueue(), Foresight(), list[Guess]()

    def paint(guess: Guess) -> None:
        tried.append(guess)
        if len(tried) == 1:
            raise GoneError("nobody who waits", "somebody", "wait")
        if len(tried) == 3:
            raise RuntimeError("out of paint")

    idle = IdlePainter(foresight, queue, paint)
    foresight.asked("anna", "demo", TileAddress(17, 1, 1))
    idle.start()
    until(lambda: len(tried) == 1 + 13)
    idle.close()
    queue.close()
    assert tried[0] == tried[1] and len(set(tried)) == 13


@pytest.fixture
def assembly() -> Iterator[Assembly]:
    assembly = assemble(Settings(cache=None), Catalogue(demo_entries("speckle")))
    yield assembly
    assembly.close()


def painted_ahead(service: TileService) -> float:
    return sum(
        float(line.rpartition(" ")[2])
        for line in service.metrics.text().decode().splitlines()
        if line.startswith("everslide_tiles_painted_ahead_total{")
    )


def test_tiles_painted_ahead_are_those_that_would_have_been_painted(assembly: Assembly) -> None:
    service = assembly.service
    demo = service.slide("demo")
    paint_while_idle(assembly)
    address = TileAddress(demo.zoom.root_level + 1, 3, 2)
    tile = demo.zoom.tile_index(address)
    until(lambda: demo.tiles.file(tile) is not None)
    alone = Painter(demo.entry.slide, SpeckleModel(), MemoryTiles(), make_sketch(demo.entry.slide)).tile(tile)
    kept = demo.tiles.get(tile)
    assert kept is not None
    np.testing.assert_array_equal(kept, alone)
    before = service.metrics.text()
    service.final(demo, address, JPEG, lambda: False)
    assert b"everslide_tiles_painted_total{" not in before and painted_ahead(service) > 0


def test_the_tile_after_the_next_is_there_before_it_is_asked_for() -> None:
    slide = Entry(Slide("small", 5, 4096, 2048, model="speckle"), "small")
    assembly = assemble(Settings(cache=None), Catalogue((slide,)))
    service, small = assembly.service, assembly.service.slide("small")
    client: FlaskClient = create_app(service, Path()).test_client()
    paint_while_idle(assembly)
    try:
        for col in (2, 3):
            assert client.get(f"/slides/small_files/12/{col}_3.jpeg").status_code == 200
        until(lambda: kept(small, TileAddress(12, 4, 3)) and kept(small, TileAddress(12, 5, 3)))
    finally:
        assembly.close()


def kept(slide: ServedSlide, address: TileAddress) -> bool:
    return slide.tiles.file(slide.zoom.tile_index(address)) is not None


def test_who_has_no_token_lets_nothing_be_painted_ahead() -> None:
    service = make_service(Studio())
    client = create_app(service, Path(), Settings(cache=None, token="secret")).test_client()
    assert client.get("/slides/demo_files/17/5_5.jpeg?preview=1").status_code == 200
    assert list(service.foresight.guesses()) == []
    client.get("/slides/demo_files/17/5_5.jpeg?preview=1", headers={"Authorization": "Bearer secret"})
    assert next(service.foresight.guesses()).address == TileAddress(17, 5, 5)
    service.close()


def test_a_tile_that_is_none_or_is_kept_is_not_painted_ahead() -> None:
    studio = Studio()
    service = make_service(studio)
    for address in (TileAddress(17, 10**6, 0), TileAddress(40, 0, 0), TileAddress(17, 5, 5), TileAddress(17, 5, 5)):
        service.paint_ahead(Guess("demo", address))
    service.paint_ahead(Guess("nothing", TileAddress(17, 5, 5)))
    assert studio.painted == {TileIndex(0, 5, 5): 1}
    service.close()


def test_idle_work_begins_a_moment_after_the_last_answer() -> None:
    queue = PaintQueue()
    queue.paint("demo", TileAddress(17, 1, 1), 0, lambda: PIXELS)
    answered = time.monotonic()
    assert queue.wait_until_idle()
    assert time.monotonic() - answered >= 0.5 * MOMENT_SECONDS
    queue.close()
    assert not queue.wait_until_idle()

"""Requests that wait for a tile which another process paints: dropped when their viewer looks away, as all others."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from everslide.cache.local_leases import LocalLeases
from everslide.cache.shared_flight import SharedFlight
from everslide.model.geometry import TileIndex
from everslide.server.deepzoom import TileAddress
from everslide.server.errors import ClosingError, DroppedError
from everslide.server.queue import PaintQueue
from everslide.server.slides import Catalogue, Entry
from everslide.server.tiles import TileService
from everslide.server.viewports import Viewport
from tests.server.stub import DEMO, Studio, memory_stores, stub_pixels
from tests.server.test_queue import until

ADDRESS = TileAddress(17, 300, 200)
TILE = TileIndex(0, 300, 200)
THERE = Viewport(17, 300 * 256, 200 * 256, 1024, 1024)
FAR = Viewport(17, 0, 0, 1024, 1024)


class Shared:
    """A service of one process, and the lease of the tile, which another one holds."""

    def __init__(self) -> None:
        self.studio, self.leases = Studio(), LocalLeases()
        catalogue = Catalogue((Entry(DEMO, "Demo"),))
        self.service = TileService(
            catalogue, self.studio.models, memory_stores(), PaintQueue(), SharedFlight(self.leases)
        )
        self.name = self.service.slide("demo").tiles.key(TILE).name
        self.lease = self.leases.acquire(self.name)
        self.ends: list[object] = []
        self.threads: list[threading.Thread] = []

    def ask(self, viewer: str) -> threading.Thread:
        """A request that waits."""
        before = len(self.service.queue.elsewhere)
        thread = threading.Thread(target=self._ask, args=(viewer,))
        self.threads.append(thread)
        thread.start()
        until(lambda: len(self.service.queue.elsewhere) > before)
        return thread

    def post_viewport(self, viewer: str, viewport: Viewport) -> int:
        self.service.queue.viewports.post(viewer, "demo", viewport)
        return self.service.queue.cancel_out_of_view(viewer, "demo")

    def let_go(self) -> None:
        """The other process is done, or gone, and left nothing."""
        if self.lease is not None:
            self.leases.release(self.name)
        self.lease = None

    def _ask(self, viewer: str) -> None:
        try:
            self.ends.append(self.service.pixels(self.service.slide("demo"), ADDRESS, lambda: False, viewer))
        except (DroppedError, ClosingError) as error:
            self.ends.append(type(error))


@pytest.fixture
def shared() -> Iterator[Shared]:
    shared = Shared()
    yield shared
    shared.let_go()
    for thread in shared.threads:
        thread.join(30)
    shared.service.close()


def test_a_viewer_that_looks_away_leaves_the_wait(shared: Shared) -> None:
    shared.post_viewport("anna", THERE)
    thread = shared.ask("anna")
    assert shared.post_viewport("anna", THERE) == 0
    assert shared.post_viewport("anna", FAR) == 1
    thread.join(30)
    assert shared.ends == [DroppedError]
    assert shared.lease is not None, "the other process still paints"
    assert len(shared.service.queue.elsewhere) == 0
    assert shared.post_viewport("anna", FAR) == 0, "it is dropped once"


def test_another_viewer_goes_on_waiting_and_gets_its_tile(shared: Shared) -> None:
    shared.post_viewport("anna", THERE)
    leaving, staying = shared.ask("anna"), shared.ask("otto")
    assert shared.post_viewport("anna", FAR) == 1
    leaving.join(30)
    assert staying.is_alive()
    shared.let_go()
    staying.join(30)
    assert shared.ends[0] is DroppedError
    np.testing.assert_array_equal(shared.ends[1], stub_pixels(DEMO.seed, TILE))
    assert shared.studio.painted == {TILE: 1}


def test_a_request_that_has_come_to_this_processs_queue_is_dropped_once(shared: Shared) -> None:
    shared.studio.gate.clear()
    shared.post_viewport("anna", THERE)
    thread = shared.ask("anna")
    shared.let_go()
    until(lambda: shared.service.queue.has("demo", ADDRESS))
    assert shared.post_viewport("anna", FAR) == 1
    thread.join(30)
    shared.studio.gate.set()
    assert shared.ends == [DroppedError]


def test_a_server_that_stops_does_not_wait_for_others(shared: Shared) -> None:
    thread = shared.ask("anna")
    shared.service.close()
    thread.join(30)
    assert shared.ends == [ClosingError]

"""Several server processes on one Redis server: each window and each tile is painted once among them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.painter import Painter
from everslide.model.slide import Slide
from tests.model.painting import sketch_of, tile_at
from tests.redis_server import RedisServer
from tests.server.processes import address_of, fetch, metric, start, stop
from tests.server.test_queue import until

SLIDE = Slide("demo", 7, model="speckle")
LEVEL = 17
PLACE = tile_at(SLIDE, 0)
"""Amid tissue: glass costs no window, and its tiles are all alike."""
COL, ROW = PLACE.col, PLACE.row
DEEP_LINK = f"/slides/demo_files/{LEVEL}/{COL}_{ROW}.png"
VIEW = [f"/slides/demo_files/{LEVEL}/{COL + i % 4}_{ROW + i // 4}.png" for i in range(8)]


@contextmanager
def servers(count: int, *arguments: str) -> Iterator[list[str]]:
    processes = [start("--no-cache", *arguments) for _ in range(count)]
    try:
        yield [address_of(process) for process in processes]
    finally:
        for process in processes:
            stop(process)


def windows_alone(tiles: list[TileIndex]) -> int:
    """How many windows one painter paints for these tiles."""
    painter = Painter(SLIDE, SpeckleModel(), MemoryTiles(), sketch_of(SLIDE))
    for tile in tiles:
        painter.tile(tile)
    return painter.counts.windows


def test_eight_processes_paint_each_window_of_a_cold_deep_link_once(redis: RedisServer) -> None:
    with servers(8, "--redis", redis.url) as addresses, ThreadPoolExecutor(8) as pool:
        tiles = set(pool.map(lambda address: fetch(address + DEEP_LINK), addresses))
        painted = [metric(address, "everslide_windows_painted_total") for address in addresses]
        assert len(tiles) == 1
        assert sum(painted) == windows_alone([TileIndex(0, COL, ROW)])
        # now eight neighbouring tiles, one from each process: their windows overlap, and each is painted once
        answers = list(pool.map(lambda i: fetch(addresses[i] + VIEW[i]), range(8)))
        assert len(set(answers)) == 8
        everything = sum(metric(address, "everslide_windows_painted_total") for address in addresses)
        fresh = windows_alone([TileIndex(0, COL + i % 4, ROW + i // 4) for i in range(8)])
        assert everything == fresh
        assert all(fetch(addresses[(i + 3) % 8] + VIEW[i]) == answers[i] for i in range(8))
        assert sum(metric(address, "everslide_windows_painted_total") for address in addresses) == everything


def test_redis_killed_and_restarted_is_served_past(own_redis: RedisServer) -> None:
    with servers(2, "--redis", own_redis.url) as (one, other):
        first = fetch(one + DEEP_LINK)
        own_redis.kill()
        assert fetch(other + DEEP_LINK) == first, "painted again, the same bytes"
        assert fetch(one + VIEW[1]) == fetch(other + VIEW[1])
        assert b'"redis":false' in fetch(one + "/readyz")
        assert metric(one, "everslide_redis_up") == 0
        own_redis.start()
        until(lambda: all(b'"redis":true' in fetch(address + "/readyz") for address in (one, other)))
        third = fetch(one + VIEW[2])
        painted = metric(other, "everslide_tiles_painted_total")
        assert fetch(other + VIEW[2]) == third
        assert metric(other, "everslide_tiles_painted_total") == painted, "shared again"


def test_a_process_killed_while_it_paints_is_followed_by_another(redis: RedisServer) -> None:
    """Its leases run out: the other one paints what is missing, and answers."""
    processes = [start("--no-cache", "--redis", redis.url, "--lease-seconds", "1") for _ in range(2)]
    addresses = [address_of(process) for process in processes]
    with ThreadPoolExecutor(9) as pool:
        answers = [pool.submit(fetch, addresses[0] + path) for path in VIEW]
        until(lambda: metric(addresses[0], "everslide_windows_painted_total") >= 1)
        processes[0].send_signal(signal.SIGKILL)
        tiles = [fetch(addresses[1] + path) for path in VIEW]
        for answer in answers:
            answer.exception()
    assert len(set(tiles)) == 8
    until(lambda: redis.client().keys("everslide/lease/*") == [])  # those that nobody had to wait for run out too
    processes[0].wait(10)
    processes[0].stdout.close()  # type: ignore[union-attr]
    stop(processes[1])

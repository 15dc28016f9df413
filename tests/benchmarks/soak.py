"""Hours of viewers while Redis restarts and workers are killed: nobody sees more than a delay, and nothing is wrong.

    python -m tests.benchmarks.soak [--minutes 120] [--viewers 20] [--workers 2] [--model mini] [--check 200]

Viewers replay journeys at one server with Redis and Dask workers. Every 40 to 80 seconds a worker is killed and another
hired, or Redis is killed and started again three seconds later. In the end the server's live memory (tracemalloc, less
what its caches say they hold) is compared with what it was after a third of the time, and tiles that viewers saw last
are read from the store and compared with ones painted anew in this process. Exits with 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex
from everslide.model.names import MODELS
from everslide.model.pyramid.painter import REMEMBERED_WINDOWS
from everslide.server.painters import load_painters
from everslide.server.slides import demo_entries
from tests.benchmarks.arguments import at_least, end_what_was_started
from tests.benchmarks.department import Workers
from tests.benchmarks.pans import Viewer
from tests.redis_server import RedisServer
from tests.server.processes import address_of, fetch, metric, stop

TRACED = """
import gc, os, signal, sys, tracemalloc
note = sys.argv.pop(1)
tracemalloc.start()
def print_state(*_):
    gc.collect()
    with open(note + ".part", "w") as file:
        file.write(str(tracemalloc.get_traced_memory()[0]))
    os.replace(note + ".part", note)
signal.signal(signal.SIGUSR1, print_state)
from everslide.server.cli import main
main()
"""
"""A server that writes its live memory into a file when it gets SIGUSR1."""
ALLOWED_STATUSES = {200, 429, 503}
GROWTH, SLACK_BYTES = 1.1, 16 * 2**20
"""Live memory in the end, caches left out, may be so many times that after a third of the time, and so much more."""
LONG_MINUTES, PAINTER_BYTES = 10.0, 2 * REMEMBERED_WINDOWS * 160 * 160 * 9 * 2
"""In a shorter run the painters of the two demo slides may still be filling what they remember of windows."""


class TracedServer:
    """A server whose live memory can be asked for."""

    def __init__(self, *flags: str) -> None:
        self._note = Path(tempfile.mkdtemp(prefix="evs")) / "memory"
        command = [sys.executable, "-c", TRACED, str(self._note), "serve", "--port", "0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = address_of(self.process)

    def live_bytes(self) -> float:
        """Live memory, less what is in the caches."""
        self._note.unlink(missing_ok=True)
        os.kill(self.process.pid, signal.SIGUSR1)
        while not self._note.exists():
            time.sleep(0.05)
        caches = metric(self.address, 'everslide_cache_bytes{store="encoded"}')
        caches += metric(self.address, 'everslide_cache_bytes{store="raw"}')
        return float(self._note.read_text("utf-8")) - caches


def soak(minutes: float, viewers: int, workers: int, model: str, check: int, seed: int) -> list[str]:
    """What went wrong; see the module."""
    wrong: list[str] = []
    rng = random.Random(seed)
    with ExitStack() as stack:
        redis = RedisServer()
        stack.callback(redis.close)
        redis.start()
        cluster = Workers(workers, model)
        stack.callback(cluster.close)
        flags = ("--no-cache", "--rate", "0", "--model", model, "--raw-size", "16MB", "--memory-size", "32MB")
        server = TracedServer(*flags, "--redis", redis.url, "--scheduler", cluster.address)
        stack.callback(stop, server.process)
        started = time.monotonic()
        end = started + 60 * minutes
        crowd = [Viewer(int(server.address.rpartition(":")[2]), seed, number, end) for number in range(viewers)]
        for viewer in crowd:
            viewer.start()
        time.sleep(20 * minutes)
        first, events = server.live_bytes(), Counter[str]()
        while time.monotonic() < end - 30:
            time.sleep(min(rng.uniform(40, 80), 6 * minutes))
            if rng.random() < 0.5:
                redis.kill()
                time.sleep(3)
                redis.start()
                events["restarts of Redis"] += 1
            else:
                victim = cluster.processes.pop(1)
                victim.kill()
                victim.wait(20)
                cluster.hire(model, rng.choice(sorted(os.sched_getaffinity(0))))
                events["killed workers"] += 1
        for viewer in crowd:
            viewer.join(240)
        last = server.live_bytes()
        statuses = sum((viewer.statuses for viewer in crowd), Counter[int]())
        print(f"{viewers} viewers, {minutes:g} minutes: {dict(statuses)}, {dict(events)}")
        print(f"MiB of live memory without the caches: {first / 2**20:.1f}, then {last / 2**20:.1f}")
        if set(statuses) - ALLOWED_STATUSES:
            wrong.append(f"answers other than {sorted(ALLOWED_STATUSES)}: {dict(statuses)}")
        if errors := [error for viewer in crowd for error in viewer.errors]:
            wrong.append(f"{len(errors)} broken connections, such as {errors[0]}")
        if last > GROWTH * first + SLACK_BYTES + (PAINTER_BYTES if minutes < LONG_MINUTES else 0):
            wrong.append("memory grew")
        tiles = sorted({tile for viewer in crowd for tile in viewer.latest})
        wrong += different(server.address, rng.sample(tiles, min(check, len(tiles))), model)
    return wrong


def different(address: str, tiles: list[tuple[int, int, int]], model: str) -> list[str]:
    """The tiles that are not what is painted anew."""
    slide = demo_entries(model)[0].slide
    painter, wrong = load_painters(model).make(slide, MemoryTiles(), None, None), []
    for level, col, row in tiles:
        stored = Image.open(io.BytesIO(fetch(f"{address}/slides/demo_files/{level}/{col}_{row}.png"))).convert("RGB")
        if not np.array_equal(np.asarray(stored), painter.tile(TileIndex(17 - level, col, row))):
            wrong.append(f"tile {level}/{col}_{row} is not what is painted anew")
    print(f"{len(tiles)} stored tiles compared with ones painted anew")
    return wrong


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak")
    parser.add_argument("--minutes", type=at_least(1, float), default=120.0)
    parser.add_argument("--viewers", type=at_least(1), default=20)
    parser.add_argument("--workers", type=at_least(1), default=2)
    parser.add_argument("--model", choices=MODELS, default="mini")
    parser.add_argument("--check", type=at_least(1), default=200, help="so many late tiles are painted anew")
    parser.add_argument("--seed", type=int, default=1)
    end_what_was_started()
    wrong = soak(**vars(parser.parse_args()))
    print("\n".join(wrong) or "nothing was wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

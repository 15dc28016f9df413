"""How long somebody who browses waits, measured from outside over HTTP: start, overview, deep link, pan, screen, zoom.

    python -m tests.benchmarks.browse [--places 10] [--seed 1] [--json FILE] [--against PYTHON]

At every place, drawn from a seed amid the tissue of the demo slide, a fresh server with an empty cache is started:

    ready       from the start of the process until /readyz says 200
    overview    the slide's coarsest magnification, its first tile
    deep link   a 20x tile, nothing of its ancestors painted
    pan         the row of 24 tiles to its right, each asked for as soon as the one before has come
    stroll      another such row, of which the next tile is asked for PAUSE seconds after the one before has come
    screen      20 tiles (5 x 4) of a new place at 20x, over four connections, until the last has come
    zoom out    the tiles above the last one, octave by octave
    zoom in     and down again beside where it came from

Beside the times stands what the server counted meanwhile: seconds of painting and windows, a tile or a screen.
--against: a Python with another Everslide installed (the state before a change), measured turn by turn; prints ratios.
Figures of one run can be compared; those of a busy machine say little by themselves. `taskset -c 0` leaves one core.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from everslide.model.names import MODELS
from tests.benchmarks.arguments import at_least, end_what_was_started
from tests.server.processes import address_of, fetch, metric, start, stop

ROW, SCREEN, CONNECTIONS = 24, (5, 4), 4
PAUSE = 0.5
"""Seconds between the tiles of a stroll: a quarter of a full-HD screen a second."""
MAP_SCALE = 6
"""Tissue is looked for at this scale, 32 um per pixel, where a 20x tile is a square of 4 pixels."""
MAP_PX_PER_TILE = 4
DARK = 225
"""Mean grey level below which a place is tissue; glass is 243."""
PHASES = ("ready", "overview", "deep link", "pan", "stroll", "screen", "zoom out", "zoom in")


@dataclass(frozen=True)
class Place:
    """A 20x tile of the slide."""

    col: int
    row: int


@dataclass
class Samples:
    """Seconds that a client waited, and what the server spent meanwhile in all: seconds of painting, windows."""

    seconds: list[float] = field(default_factory=list)
    painting: float = 0.0
    windows: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add what happens within as one sample."""
        started = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - started)


Results = dict[str, Samples]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 .. 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, int(np.ceil(share * len(ordered))) - 1))]


def tissue_places(slide_map: NDArray[np.uint8], seed: int, count: int) -> list[tuple[Place, Place, Place]]:
    """For each of `count` visits where its pan, its stroll and its screen begin, drawn from a seed: rows of ROW tiles
    of which nine in ten are tissue. slide_map: (H, W, 3), MAP_PX_PER_TILE pixels a tile. Raises ValueError."""
    px = MAP_PX_PER_TILE
    height, width = slide_map.shape[0] // px, slide_map.shape[1] // px
    grey = slide_map[: height * px, : width * px].mean(-1).reshape(height, px, width, px).mean((1, 3))
    tissue = np.pad(grey < DARK, ((0, 0), (0, ROW)))
    rows = np.lib.stride_tricks.sliding_window_view(tissue, ROW, axis=1)[:, :width].mean(-1)
    found = np.argwhere((rows >= 0.9) & tissue[:, :width])
    if len(found) < 3 * count:
        raise ValueError(
            f"expected {3 * count} rows of {ROW} tiles of tissue, found {len(found)}: measure another slide"
        )
    rng = random.Random(seed)
    drawn = [Place(int(col), int(row)) for row, col in (found[rng.randrange(len(found))] for _ in range(3 * count))]
    return [(drawn[3 * i], drawn[3 * i + 1], drawn[3 * i + 2]) for i in range(count)]


class Client:
    """Asks one server for tiles of one slide, each thread over a connection of its own, and notes how long it took."""

    def __init__(self, address: str, slide: str) -> None:
        self._address, self._slide = address, slide
        facts = json.loads(fetch(f"{address}/api/slides/{slide}"))
        self.max_level, self.fingerprint = int(facts["max_level"]), str(facts["fingerprint"])
        self.width, self.height = int(facts["width"]), int(facts["height"])
        self._local = threading.local()

    def tile(self, s: int, col: int, row: int, fmt: str = "jpeg") -> bytes:
        """A final tile. Raises RuntimeError for any other answer."""
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection(self._address.removeprefix("http://"), timeout=300)
        connection: http.client.HTTPConnection = self._local.connection
        path = f"/slides/{self._slide}_files/{self.max_level - s}/{col}_{row}.{fmt}?v={self.fingerprint}"
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200 or answer.getheader("X-Everslide-State") != "final":
            raise RuntimeError(f"{path}: expected a final tile, found {answer.status} {data[:200]!r}")
        return data

    @contextmanager
    def counted(self, samples: Samples) -> Iterator[Samples]:
        """Add what the server does within, outside of the times measured."""
        before = self._work()
        yield samples
        seconds, windows = (after - early for after, early in zip(self._work(), before, strict=True))
        samples.painting += seconds
        samples.windows += windows

    def _work(self) -> tuple[float, float]:
        """Seconds of painting and windows so far."""
        names = ("everslide_paint_seconds_sum", "everslide_windows_painted_total")
        return metric(self._address, names[0]), metric(self._address, names[1])


def visit(client: Client, places: tuple[Place, Place, Place], results: Results) -> None:
    """Browse from a cold deep link on; see the module."""
    here, there, elsewhere = places
    with client.counted(results["overview"]) as samples, samples.timed():
        client.tile(7, 0, 0)
    with client.counted(results["deep link"]) as samples, samples.timed():
        client.tile(0, here.col, here.row)
    with client.counted(results["pan"]) as samples:
        _walk(client, here, samples)
    client.tile(0, there.col, there.row)
    with client.counted(results["stroll"]) as samples:
        _walk(client, there, samples, PAUSE)
    across, down = SCREEN
    tiles = [(0, elsewhere.col + x, elsewhere.row + y) for y in range(down) for x in range(across)]
    with client.counted(results["screen"]) as samples, samples.timed(), ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(lambda tile: client.tile(*tile), tiles))
    beside = Place(elsewhere.col + ROW, elsewhere.row)
    for phase, scales, place in (("zoom out", range(1, 8), elsewhere), ("zoom in", range(6, -1, -1), beside)):
        with client.counted(results[phase]) as samples:
            for s in scales:
                with samples.timed():
                    client.tile(s, place.col >> s, place.row >> s)


def _walk(client: Client, place: Place, samples: Samples, pause: float = 0.0) -> None:
    """The row of tiles to the right of a place, one after the other."""
    for i in range(1, ROW):
        time.sleep(pause)
        with samples.timed():
            client.tile(0, place.col + i, place.row)


def arguments_of(model: str) -> tuple[str, ...]:
    """Flags that other versions know too."""
    return "--no-cache", "--model", model, "--rate", "0"


def measure(python: str, model: str, places: tuple[Place, Place, Place], results: Results) -> str:
    """One fresh server, visited once; -> the slide's fingerprint."""
    started = time.perf_counter()
    process = start(*arguments_of(model), python=python)
    try:
        address = address_of(process)
        fetch(f"{address}/readyz")
        results["ready"].seconds.append(time.perf_counter() - started)
        client = Client(address, "demo")
        visit(client, places, results)
        return client.fingerprint
    finally:
        stop(process)


def map_of(python: str, model: str) -> NDArray[np.uint8]:
    """The demo slide at MAP_SCALE, (H, W, 3)."""
    process = start(*arguments_of(model), python=python)
    try:
        client = Client(address_of(process), "demo")
        cols, rows = (-(-side // (256 << MAP_SCALE)) for side in (client.width, client.height))
        lines = []
        for row in range(rows):
            tiles = [Image.open(io.BytesIO(client.tile(MAP_SCALE, col, row, "png"))) for col in range(cols)]
            lines.append(np.concatenate([np.asarray(tile.convert("RGB")) for tile in tiles], axis=1))
        return np.concatenate(lines, axis=0)
    finally:
        stop(process)


def table(results: Results, beside: Results | None = None) -> str:
    """Medians and 95th percentiles in seconds, a line a phase; with another state's, its medians and the ratios."""
    head = f"{'':10}{'n':>5}{'median':>9}{'95 %':>9}{'worst':>9}{'painting':>10}{'windows':>9}"
    lines = [head + (f"{'before':>10}{'ratio':>8}{'95 %':>9}{'ratio':>8}" if beside else "")]
    for phase in PHASES:
        samples = results[phase]
        if not samples.seconds:
            continue
        middle, late = statistics.median(samples.seconds), percentile(samples.seconds, 0.95)
        line = f"{phase:10}{len(samples.seconds):5}{middle:9.3f}{late:9.3f}{max(samples.seconds):9.3f}"
        line += f"{samples.painting / len(samples.seconds):10.3f}{samples.windows / len(samples.seconds):9.2f}"
        if beside and beside[phase].seconds:
            old, old_late = statistics.median(beside[phase].seconds), percentile(beside[phase].seconds, 0.95)
            line += f"{old:10.3f}{middle / old:8.2f}{old_late:9.3f}{late / old_late:8.2f}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.browse")
    parser.add_argument("--places", type=at_least(1), default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", choices=MODELS, default="mini")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--python", default=sys.executable, help="whose Everslide is measured")
    parser.add_argument("--against", help="a Python with another Everslide, measured turn by turn")
    asked = parser.parse_args()
    end_what_was_started()
    os.environ.setdefault("EVERSLIDE_IDLE_PAINTING", "on")
    places = tissue_places(map_of(asked.python, asked.model), asked.seed, asked.places)
    states = [asked.python, *([asked.against] if asked.against else [])]
    results: list[Results] = [{phase: Samples() for phase in PHASES} for _ in states]
    prints = [""] * len(states)
    for place in places:
        for i, python in enumerate(states):
            prints[i] = measure(python, asked.model, place, results[i])
    cores = len(os.sched_getaffinity(0))
    print(f"{asked.places} places of the demo slide, seed {asked.seed}, {asked.model}, {cores} cores, seconds")
    print(table(results[0], results[1] if asked.against else None))
    if asked.json:
        facts = {"places": asked.places, "seed": asked.seed, "model": asked.model, "cores": cores}
        runs = [
            {"fingerprint": mark, "phases": {phase: asdict(samples) for phase, samples in each.items()}}
            for mark, each in zip(prints, results, strict=True)
        ]
        asked.json.write_text(json.dumps({**facts, "runs": runs}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

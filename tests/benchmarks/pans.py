"""Viewers that pan as people do, drawn from a seed: the same journeys whenever they are replayed."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

VIEW_COLS, VIEW_ROWS = 4, 3
LEVELS = (14, 15, 16, 17)
"""Deep Zoom levels of the demo slide that people look at: 2.5x to 20x."""
COLS, ROWS = 512, 384
"""Tiles of its finest level."""
HALL = 8
"""Journeys begin at one of so many places, so that viewers meet: a course looks at the same cases."""
DWELL_SECONDS = (0.3, 1.5)


@dataclass(frozen=True)
class Step:
    """A view of VIEW_COLS x VIEW_ROWS tiles from a corner, and for how long it is looked at once it is there."""

    level: int
    col: int
    row: int
    seconds: float

    def tiles(self) -> list[tuple[int, int, int]]:
        return [(self.level, self.col + x, self.row + y) for y in range(VIEW_ROWS) for x in range(VIEW_COLS)]


def journey(seed: int, viewer: int) -> Iterator[Step]:
    """Without an end: in from an overview, some pans of a few steps each, out and in again elsewhere."""
    places, rng = random.Random(seed), random.Random(f"{seed} {viewer}")
    hall = [(places.uniform(0.2, 0.8), places.uniform(0.2, 0.8)) for _ in range(HALL)]
    while True:
        x, y = rng.choice(hall)
        for level in LEVELS:
            cols, rows = COLS >> (17 - level), ROWS >> (17 - level)
            col, row = int(x * cols), int(y * rows)
            for _ in range(rng.randrange(1, 4)):
                right, down = rng.choice(((1, 0), (-1, 0), (0, 1), (0, -1)))
                for _ in range(rng.randrange(2, 6)):
                    col = min(max(col + right, 0), max(0, cols - VIEW_COLS))
                    row = min(max(row + down, 0), max(0, rows - VIEW_ROWS))
                    yield Step(level, col, row, rng.uniform(*DWELL_SECONDS))
            x, y = col / cols, row / rows


@dataclass
class Viewer(threading.Thread):
    """Replays a journey at one server until stopped. waits: seconds from asking for a tile to its final form."""

    port: int
    seed: int
    number: int
    until: float
    waits: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    finals: int = 0
    seen: set[tuple[int, int, int]] = field(default_factory=set)
    latest: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=200))

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._connection: http.client.HTTPConnection | None = None

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        """See the class."""
        for step in journey(self.seed, self.number):
            if time.monotonic() > self.until:
                return
            self._look(step)
            for tile in step.tiles():
                if tile not in self.seen:
                    self._fetch(tile)
            time.sleep(step.seconds)

    def _look(self, step: Step) -> None:
        side = 256 << (17 - step.level)
        self._ask(
            "POST",
            "/slides/demo/viewport",
            {"viewer": f"viewer {self.number}", "level": step.level, "x": step.col * side, "y": step.row * side}
            | {"width": VIEW_COLS * side, "height": VIEW_ROWS * side},
        )

    def _fetch(self, tile: tuple[int, int, int]) -> None:
        """Ask until the tile is there, as the page does, or the time is over."""
        level, col, row = tile
        started = time.monotonic()
        while time.monotonic() < self.until + 30:
            status, state = self._ask("GET", f"/slides/demo_files/{level}/{col}_{row}.jpeg")
            if status == 200 and state == "final":
                self.waits.append(time.monotonic() - started)
                self.finals += 1
                self.seen.add(tile)
                self.latest.append(tile)
                return
            if status not in (0, 200, 429, 503):
                return
            time.sleep(0.2)

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, str | None]:
        """Status, 0 where no answer came, and the state of a tile."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"X-Everslide-Viewer": f"viewer {self.number}", "Content-Type": "application/json"}
        try:
            self._connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.errors.append(repr(error))
            self._connection.close()
            self._connection = None
            return 0, None
        self.statuses[answer.status] += 1
        return answer.status, answer.getheader("X-Everslide-State")

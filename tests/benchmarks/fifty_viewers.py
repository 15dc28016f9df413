"""Fifty viewers panning at once: no error, nothing painted twice, memory flat but for the caches.

    python -m tests.benchmarks.fifty_viewers [SECONDS]

Each viewer has a place of its own among a few fields, posts its viewport, asks for the tiles in view, and moves on.
Prints what came back and how memory went, and exits with 1 where a promise was broken. The caches hold every tile, or
some would be painted twice; so they fill until the end, and what they say they hold is taken off the process's memory.
The model needs no weights.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from tests.server.processes import address_of, metric, start, stop

VIEWERS = 50
FIELD = 24
"""Tiles a side of a field; fields are few, so that viewers meet."""
LEVEL = 17


class Viewer(threading.Thread):
    """Pans over its field until stopped."""

    def __init__(self, number: int, port: int, until: float) -> None:
        super().__init__(daemon=True)
        self.number, self.port, self.until = number, port, until
        self.statuses: Counter[int] = Counter()
        self.asked: set[tuple[int, int]] = set()
        self.finals: set[tuple[int, int]] = set()
        self.previews = 0
        self.errors: list[str] = []

    def run(self) -> None:
        """See the class."""
        rng = random.Random(self.number)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        left = 100 + FIELD * (self.number % 5)
        col, row = left + rng.randrange(FIELD - 3), 150 + rng.randrange(FIELD - 2)
        while time.monotonic() < self.until:
            view = {"viewer": f"viewer {self.number}", "level": LEVEL, "width": 768, "height": 512}
            self._ask(connection, "POST", "/slides/demo/viewport", view | {"x": col * 256, "y": row * 256})
            for tile in [(col + x, row + y) for y in range(2) for x in range(3)]:
                self.asked.add(tile)
                path = f"/slides/demo_files/{LEVEL}/{tile[0]}_{tile[1]}.jpeg"
                while (answer := self._ask(connection, "GET", path))[0] in (429, 503) and time.monotonic() < self.until:
                    time.sleep(0.2)
                if answer[1] == "final":
                    self.finals.add(tile)
                self.previews += answer[1] == "preview"
            col = min(max(col + rng.choice((-1, 0, 1)), left), left + FIELD - 3)
            row = min(max(row + rng.choice((-1, 0, 1)), 150), 150 + FIELD - 2)
            time.sleep(rng.random() * 0.3)

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: object = None
    ) -> tuple[int, str | None]:
        """Status of the answer, 0 where none came, and the state of its tile."""
        headers = {"X-Everslide-Viewer": f"viewer {self.number}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.errors.append(repr(error))
            connection.close()
            return 0, None
        self.statuses[answer.status] += 1
        return answer.status, answer.getheader("X-Everslide-State")


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def main() -> None:
    """See the module."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    process = start("--no-cache", "--rate", "0", "--memory-size", "64MB", "--raw-size", "64MB")
    address = address_of(process)
    port = int(address.rpartition(":")[2])
    until = time.monotonic() + seconds
    viewers = [Viewer(number, port, until) for number in range(VIEWERS)]
    for viewer in viewers:
        viewer.start()
    memory: list[int] = []
    cached: list[int] = []
    while time.monotonic() < until:
        time.sleep(seconds / 20)
        memory.append(resident(process.pid) // 2**20)
        cached.append(round(metric(address, "everslide_cache_bytes")) // 2**20)
    for viewer in viewers:
        viewer.join(150)
    statuses = sum((viewer.statuses for viewer in viewers), Counter[int]())
    errors = [error for viewer in viewers for error in viewer.errors]
    tiles, finals = (
        len(set[tuple[int, int]]().union(*each)) for each in ((v.asked for v in viewers), (v.finals for v in viewers))
    )
    previews = sum(viewer.previews for viewer in viewers)
    painted, windows = (metric(address, f"everslide_{what}_painted_total") for what in ("tiles", "windows"))
    stop(process)
    print(f"{VIEWERS} viewers, {seconds:.0f} s: statuses {dict(statuses)}, errors {errors[:3]}")
    print(f"{tiles} different tiles asked for, {finals} of them got, {previews} previews")
    print(f"{painted:.0f} tiles painted, {windows:.0f} windows")
    print(f"MiB of memory {memory}")
    print(f"of it MiB in the caches {cached}")
    rest = [all_of_it - in_caches for all_of_it, in_caches in zip(memory, cached, strict=True)]
    print(f"MiB without the caches {rest}")
    flat = max(rest[len(rest) // 2 :]) <= 1.1 * max(rest[: len(rest) // 2])
    sys.exit(bool(errors) or bool(statuses.keys() - {200, 429, 503}) or painted > finals or not flat)


if __name__ == "__main__":
    main()

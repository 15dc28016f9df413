"""A department of viewers before one server, whose tiles 1, 2, 4 worker processes paint behind Dask and Redis.

    python -m tests.benchmarks.department [--viewers 200] [--seconds 60] [--workers 1,2,4] [--model mini] [--json FILE]

Each viewer replays a journey of its own, the same for every number of workers: in from an overview to 20x, pans of a
few steps, elsewhere. Each run has a fresh server, scheduler, Redis and workers of one core each. Prints tiles a second,
how long a tile is waited for at 50, 95 and 99 %, what was refused, and CPU seconds a viewer and minute of server and
workers. On a machine with fewer cores than processes the workers share them, and say nothing about scaling.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from everslide.model.names import MODELS
from tests.benchmarks.arguments import at_least, end_what_was_started, numbers
from tests.benchmarks.browse import percentile
from tests.benchmarks.pans import Viewer
from tests.redis_server import RedisServer
from tests.server.processes import address_of, metric, start, stop


class Workers:
    """A scheduler, and workers that paint in one thread each."""

    def __init__(self, count: int, model: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="evd"))
        note = self._folder / "scheduler.json"
        flags = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(note)]
        scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", *flags]
        self.processes = [subprocess.Popen(scheduler, stderr=subprocess.DEVNULL)]
        while not note.exists() or not note.stat().st_size:
            time.sleep(0.05)
        self.address = str(json.loads(note.read_text("utf-8"))["address"])
        cores = sorted(os.sched_getaffinity(0))
        for number in range(count):
            self.hire(model, cores[number % len(cores)])

    def hire(self, model: str, core: int) -> subprocess.Popen[bytes]:
        """One worker more, which starts on one core."""
        command = [sys.executable, "-m", "everslide.server", "worker", self.address, "--model", model]
        worker = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {core})
        )
        self.processes.append(worker)
        return worker

    def close(self) -> None:
        """End them all."""
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def simulate(workers: int, viewers: int, seconds: float, model: str, seed: int) -> dict[str, Any]:
    """One run; see the module."""
    with ExitStack() as stack:
        redis = RedisServer()
        stack.callback(redis.close)
        redis.start()
        cluster = Workers(workers, model)
        stack.callback(cluster.close)
        flags = ("--no-cache", "--rate", "0", "--model", model, "--threads", str(min(512, viewers + 32)))
        process = start(*flags, "--redis", redis.url, "--scheduler", cluster.address)
        stack.callback(stop, process)
        address = address_of(process)
        pids = [process.pid, *(each.pid for each in cluster.processes)]
        before = sum(map(cpu_seconds, pids))
        started = time.monotonic()
        crowd = [Viewer(int(address.rpartition(":")[2]), seed, number, started + seconds) for number in range(viewers)]
        for viewer in crowd:
            viewer.start()
        for viewer in crowd:
            viewer.join(seconds + 180)
        took = time.monotonic() - started
        waits = [wait for viewer in crowd for wait in viewer.waits] or [float("nan")]
        return {
            "workers": workers,
            "viewers": viewers,
            "seconds": took,
            "tiles_per_second": sum(viewer.finals for viewer in crowd) / took,
            "painted_per_second": metric(address, "everslide_tiles_painted_total") / took,
            "wait_50": percentile(waits, 0.5),
            "wait_95": percentile(waits, 0.95),
            "wait_99": percentile(waits, 0.99),
            "statuses": dict(sum((viewer.statuses for viewer in crowd), Counter[int]())),
            "errors": sum(len(viewer.errors) for viewer in crowd),
            "cpu_seconds_per_viewer_minute": (sum(map(cpu_seconds, pids)) - before) / viewers / (took / 60),
        }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.department")
    parser.add_argument("--viewers", type=at_least(1), default=200)
    parser.add_argument("--seconds", type=at_least(1, float), default=60.0)
    parser.add_argument("--workers", type=numbers, default="1,2,4")
    parser.add_argument("--model", choices=MODELS, default="mini")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    end_what_was_started()
    print(f"{asked.viewers} viewers, {asked.model}, {len(os.sched_getaffinity(0))} cores")
    print("workers  tiles/s  painted/s   wait 50 %   95 %   99 %  CPU s/viewer/min  answers, errors")
    runs = []
    for workers in asked.workers:
        run = simulate(workers, asked.viewers, asked.seconds, asked.model, asked.seed)
        runs.append(run)
        waits = "".join(f"{run[f'wait_{share}']:7.2f}" for share in (50, 95, 99))
        print(
            f"{workers:7}{run['tiles_per_second']:9.1f}{run['painted_per_second']:11.1f}     {waits}"
            f"{run['cpu_seconds_per_viewer_minute']:18.2f}  {run['statuses']}, {run['errors']}",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps(runs, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

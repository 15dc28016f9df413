"""Cached tiles per second of Everslide, of openslide's Deep Zoom example and of large_image, in one run on one machine.

    python -m tests.benchmarks.cached_tiles [SECONDS]

The same field: Everslide serves its tiles from its cache, the others serve the pyramidal TIFF of JPEG tiles that
Everslide exported from it. Rounds of the servers alternate, and Everslide is compared with the others of its own round,
since the machine may be quick in one and slow in the next. Prints a table of medians, and exits with 1 where Everslide
is not three times as fast as each of the others.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.benchmarks.load import Load, run_load
from tests.server.processes import COMMAND, address_of, fetch, start, stop

SIDE = 4096
SPEC = f"bench:5:{SIDE}x{SIDE}"
CONNECTIONS = 8
ROUNDS = 7
OTHERS = {"openslide": 12, "large_image_file": 4, "large_image": 4}
"""Servers, and what each calls the level of full resolution."""
MODEL = ["--model", "speckle"]


@contextmanager
def other(kind: str, path: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.benchmarks.tile_servers", kind, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def measure(seconds: float, folder: Path) -> dict[str, list[Load]]:
    out = folder / "bench.ome.tiff"
    cache = ["--cache", str(folder / "cache")]
    subprocess.run([*COMMAND, "export", SPEC, *MODEL, *cache, "--out", str(out)], check=True, stderr=subprocess.DEVNULL)
    everslide = start(*cache, "--slide", SPEC)
    address = address_of(everslide)
    tiles = [(col, row) for row in range(2, 14) for col in range(2, 14)]
    ours = [f"/slides/bench_files/12/{col}_{row}.jpeg" for col, row in tiles]
    for path in ours:
        fetch(address + path)
    loads: dict[str, list[Load]] = {kind: [] for kind in ("everslide", *OTHERS)}
    with ExitStack() as stack:
        ports = {"everslide": int(address.rpartition(":")[2])}
        ports |= {kind: stack.enter_context(other(kind, out)) for kind in OTHERS}
        paths = {kind: [f"/{level}/{col}_{row}.jpeg" for col, row in tiles] for kind, level in OTHERS.items()}
        paths["everslide"] = ours
        for kind, port in ports.items():
            run_load(port, paths[kind], CONNECTIONS, 1.0)  # warm
        for _ in range(ROUNDS):
            for kind, port in ports.items():
                loads[kind].append(run_load(port, paths[kind], CONNECTIONS, seconds))
    stop(everslide)
    return loads


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with tempfile.TemporaryDirectory() as folder:
        loads = measure(seconds, Path(folder))
    rates = {kind: statistics.median(load.per_second for load in runs) for kind, runs in loads.items()}
    print("| server | tiles/s | p50 ms | p99 ms | kB a tile | errors |\n|---|---|---|---|---|---|")
    for kind, runs in loads.items():
        p50, p99 = (statistics.median(load.percentile(share) for load in runs) * 1000 for share in (0.5, 0.99))
        size = runs[0].bytes / len(runs[0].latencies) / 1000
        errors = sum(load.errors for load in runs)
        print(f"| {kind} | {rates[kind]:.0f} | {p50:.1f} | {p99:.1f} | {size:.1f} | {errors} |")
    ratios = {
        kind: statistics.median(
            one.per_second / another.per_second for one, another in zip(loads["everslide"], loads[kind], strict=True)
        )
        for kind in OTHERS
    }
    print("Everslide serves", ", ".join(f"{ratio:.1f} times the tiles of {kind}" for kind, ratio in ratios.items()))
    sys.exit(min(ratios.values()) < 3)


if __name__ == "__main__":
    main()

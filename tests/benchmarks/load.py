"""A small load generator: kept-open connections on loopback, each asking for one path after the other."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What came back. latencies: seconds, sorted."""

    seconds: float
    latencies: list[float]
    errors: int
    bytes: int

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """share: 0 .. 1 -> seconds."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def run_load(port: int, paths: Sequence[str], connections: int, seconds: float) -> Load:
    """Ask for `paths` in turn over `connections` connections for `seconds`."""
    return asyncio.run(_run(port, paths, connections, seconds))


async def _run(port: int, paths: Sequence[str], connections: int, seconds: float) -> Load:
    latencies: list[float] = []
    wrong: list[int] = []
    turn = itertools.cycle(paths)
    end = time.perf_counter() + seconds

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        received = 0
        while time.perf_counter() < end:
            started = time.perf_counter()
            writer.write(f"GET {next(turn)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - started)
            received += length
            if not head.startswith(b"HTTP/1.1 200") or length == 0:
                wrong.append(1)
        writer.close()
        return received

    started = time.perf_counter()
    received = await asyncio.gather(*(client() for _ in range(connections)))
    return Load(time.perf_counter() - started, sorted(latencies), len(wrong), sum(received))

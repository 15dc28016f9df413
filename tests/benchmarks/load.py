"""A small load generator: kept-open connections on loopback, each asking for one path after the other."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)


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


class _Client(asyncio.Protocol):
    """One connection: asks, reads the answer, asks again. It does as little as it can, since it shares the processor
    with the server."""

    def __init__(self, turn: Iterator[bytes], end: float) -> None:
        self.latencies: list[float] = []
        self.errors = self.bytes = 0
        self.done = asyncio.get_running_loop().create_future()
        self._turn, self._end = turn, end
        self._head, self._left, self._started = b"", 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        if not self._left:
            self._head += data
            body = self._head.find(b"\r\n\r\n") + 4
            if body < 4:
                return
            length = _LENGTH.search(self._head, 0, body)
            size = int(length[1]) if length is not None else 0
            if not self._head.startswith(b"HTTP/1.1 200") or size == 0:
                self.errors += 1
            self.bytes += size
            self._left = size + body - len(self._head) + len(data)
        self._left -= len(data)
        if not self._left:
            self.latencies.append(time.perf_counter() - self._started)
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))

    def _ask(self) -> None:
        self._head, self._started = b"", time.perf_counter()
        if self._started < self._end:
            self._transport.write(next(self._turn))
        else:
            self.done.set_result(None)
            self._transport.close()


async def _run(port: int, paths: Sequence[str], connections: int, seconds: float) -> Load:
    turn = itertools.cycle([f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths])
    loop, started = asyncio.get_running_loop(), time.perf_counter()
    opened = [
        await loop.create_connection(lambda: _Client(turn, started + seconds), "127.0.0.1", port)
        for _ in range(connections)
    ]
    clients = [client for _, client in opened]
    await asyncio.gather(*(client.done for client in clients))
    took = time.perf_counter() - started
    latencies = sorted(itertools.chain.from_iterable(client.latencies for client in clients))
    return Load(took, latencies, sum(client.errors for client in clients), sum(client.bytes for client in clients))

"""What goes wrong around a running server: what its users get, and that nothing wrong is stored."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from everslide.cache.files import FileStore
from everslide.server.encode import decode
from everslide.server.serving import Server
from everslide.server.tiles import TileService
from tests.server.processes import address_of, fetch, metric, serving, start
from tests.server.stub import Studio
from tests.server.test_http import server as server  # a fixture
from tests.server.test_queue import until

TILE = "/slides/demo_files/17/300_200.png"


def ask(address: str, path: str, sent: threading.Semaphore | None = None) -> int:
    """Status of an answer that came whole. sent: released when the request is on its way."""
    host, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request("GET", path)
        if sent is not None:
            sent.release()
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_sigterm_with_requests_in_flight_leaves_nobody_hanging(tmp_path: Path) -> None:
    process = start("--cache", str(tmp_path))
    address = address_of(process)
    paths = [f"/slides/demo_files/17/{100 + 24 * i}_200.png" for i in range(16)]
    sent = threading.Semaphore(0)
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = [pool.submit(ask, address, path, sent) for path in paths]
        assert all(sent.acquire(timeout=60) for _ in paths)
        until(lambda: metric(address, "everslide_queue_waiting") >= 2)
        process.send_signal(signal.SIGTERM)
        statuses = [answer.result(60) for answer in answers]
    assert process.wait(60) == 0
    assert process.stdout is not None
    process.stdout.close()
    assert set(statuses) <= {200, 503}
    assert 200 in statuses and 503 in statuses
    assert FileStore(tmp_path, 10**9).stats().corrupt == 0
    with serving("--cache", str(tmp_path)) as (_, again):
        done = paths[statuses.index(200)]
        assert decode(fetch(again + done)).shape == (256, 256, 3)


def test_a_process_killed_while_it_writes_leaves_whole_tiles_or_none(tmp_path: Path) -> None:
    process = start("--cache", str(tmp_path))
    address = address_of(process)
    paths = [f"/slides/demo_files/17/{300 + i}_200.png" for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(fetch, address + path) for path in paths]
        until(lambda: metric(address, "everslide_tiles_painted_total") >= 2)
        process.kill()
        for answer in answers:
            answer.exception(30)
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()
    with serving("--cache", str(tmp_path)) as (_, again), serving("--no-cache") as (_, fresh):
        for path in paths[:3]:
            assert fetch(again + path) == fetch(fresh + path)
        assert metric(again, "everslide_cache_corrupt_total") == 0


def test_clients_that_read_slowly_keep_nobody_waiting(server: Server) -> None:
    """There are more of them than threads, and each reads one byte for every answer that somebody else gets."""
    body = json.dumps({"level": 17, "x": 0, "y": 0, "width": 1500, "height": 1500, "format": "ome.tiff"})
    head = "POST /slides/demo/export HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json"
    listener = next(each.socket for each in server._sockets.values() if each.accepting)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # or the kernel takes in whole answers
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.socket()) for _ in range(12)]
        for client in slow:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", server.port))
            client.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            assert client.recv(1) == b"H"
        assert server.in_flight >= len(slow), "answers that are not read are not sent"
        for _ in range(20):
            assert ask(f"http://127.0.0.1:{server.port}", TILE) == 200
            assert all(len(client.recv(1)) == 1 for client in slow)
        for client in slow:
            client.settimeout(30)
            head_, _, file = b"".join(iter(lambda client=client: client.recv(65536), b"")).partition(b"\r\n\r\n")  # type: ignore[misc]
            assert f"Content-Length: {len(file)}\r\n".encode() in head_ + b"\r\n", "it is whole, however late"


def test_two_thousand_requests_out_of_range_store_nothing(server: Server, service: TileService, studio: Studio) -> None:
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(4)]

    def ask_many(connection: http.client.HTTPConnection) -> set[int]:
        statuses = set()
        for i in range(0, 2500, 5):
            connection.request("GET", f"/slides/demo_files/{i % 40}/{512 + i}_{10**9 + i}.jpeg")
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)
        return statuses

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(ask_many, connections)) == {404}
    for connection in connections:
        connection.close()
    assert not studio.painted
    for store in (service.stores.lossless, service.stores.encoded, service.stores.raw):
        assert (store.stats().entries, store.stats().puts) == (0, 0)
    assert ask(f"http://127.0.0.1:{server.port}", TILE) == 200


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"/" * 300_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /slides/demo/viewport HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /slides/demo/viewport HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /slides/demo_files/17/1_1.jpeg HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n",
    ],
    ids=["TLS", "version", "long line", "negative length", "bad chunk", "two lengths"],
)
def test_junk_on_the_socket_ends_its_connection_and_nothing_else(server: Server, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        try:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1000)
        except ConnectionResetError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: image")
    assert ask(f"http://127.0.0.1:{server.port}", "/healthz") == 200


def test_a_viewer_who_comes_and_goes_leaves_nothing_behind(server: Server, studio: Studio) -> None:
    before = threading.active_count()
    for i in range(30):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(f"GET /slides/demo_files/17/{i}_7.jpeg HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    until(lambda: server.in_flight == 0)
    assert threading.active_count() == before

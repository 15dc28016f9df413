"""What goes wrong around a running server: what its users get, and that nothing wrong is stored."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
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


def ask(address: str, path: str) -> int:
    """Status of an answer that came whole; 0 where none came."""
    host, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except ConnectionRefusedError:
        return 0
    finally:
        connection.close()


def test_sigterm_with_requests_in_flight_leaves_nobody_hanging(tmp_path: Path) -> None:
    process = start("--cache", str(tmp_path))
    address = address_of(process)
    paths = [f"/slides/demo_files/17/{100 + 40 * i}_200.png" for i in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = [pool.submit(ask, address, path) for path in paths]
        until(lambda: metric(address, "everslide_queue_waiting") >= 5)
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


def test_a_client_that_reads_slowly_keeps_nobody_waiting(server: Server, service: TileService) -> None:
    """It reads one byte for every answer that somebody else gets."""
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.connect(("127.0.0.1", server.port))
        body = json.dumps({"level": 17, "x": 0, "y": 0, "width": 1500, "height": 1500})
        head = "POST /slides/demo/export HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json"
        slow.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        assert slow.recv(1) == b"H"
        for _ in range(40):
            assert ask(f"http://127.0.0.1:{server.port}", TILE) == 200
            assert len(slow.recv(1)) == 1
        assert server._app.count <= 1
        slow.settimeout(30)
        rest = b"".join(iter(lambda: slow.recv(65536), b""))
        assert rest.endswith(b"IEND\xaeB`\x82"), "the rest is there when it is read"


def test_ten_thousand_requests_out_of_range_store_nothing(server: Server, service: TileService, studio: Studio) -> None:
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(4)]

    def ask_many(connection: http.client.HTTPConnection) -> set[int]:
        statuses = set()
        for i in range(2500):
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
    until(lambda: server._app.count == 0)
    assert threading.active_count() == before

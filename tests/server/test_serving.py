"""The server as a server: sockets, closed connections, signals."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from everslide.server.app import create_app
from everslide.server.serving import Server
from everslide.server.tiles import TileService
from tests.server.stub import Studio

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TILE = "/slides/demo_files/17/300_200.jpeg"


@pytest.fixture
def server(service: TileService, static: Path) -> Iterator[Server]:
    server = Server(create_app(service, static), "127.0.0.1", 0, threads=8)
    server.start()
    yield server
    server.stop(service.close)


def get(server: Server, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_serves_on_the_port_it_says(server: Server) -> None:
    assert server.address == f"http://127.0.0.1:{server.port}/"
    assert get(server, "/healthz") == (200, b'{"status":"ok"}\n')
    assert get(server, TILE)[0] == 200


def test_idle_connections_of_a_department_keep_nobody_out(server: Server) -> None:
    """Browsers keep up to six each; waitress by itself accepts a hundred, and then no more until some time out."""
    idle = [socket.create_connection((server.host, server.port)) for _ in range(300)]
    try:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    finally:
        for each in idle:
            each.close()


def test_a_port_in_use_is_an_error_at_once(server: Server, service: TileService, static: Path) -> None:
    with pytest.raises(OSError, match="in use"):
        Server(create_app(service, static), "127.0.0.1", server.port, threads=2)


def test_previews_are_served_while_painting(server: Server, studio: Studio) -> None:
    studio.gate.clear()
    waiting = threading.Thread(target=get, args=(server, TILE))
    waiting.start()
    assert studio.started.wait(10)
    assert get(server, f"{TILE}?preview=1")[0] == 200
    progress = json.loads(get(server, "/api/slides/demo/progress")[1])
    assert progress["painting"] == {"level": 17, "col": 300, "row": 200}
    studio.gate.set()
    waiting.join(10)


def test_a_tile_of_a_closed_connection_is_not_painted(server: Server, service: TileService, studio: Studio) -> None:
    studio.gate.clear()
    first = threading.Thread(target=get, args=(server, TILE))
    first.start()
    assert studio.started.wait(10)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /slides/demo_files/17/1_1.jpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for_queue(service, 1)
    wait_for_queue(service, 0)
    studio.gate.set()
    first.join(10)
    assert len(studio.painted) == 1


def test_a_body_that_claims_to_be_enormous_is_refused_unread(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        head = "POST /api/slides/demo/annotations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n[]"
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


def test_stopping_answers_everybody(service: TileService, static: Path, studio: Studio) -> None:
    server = Server(create_app(service, static), "127.0.0.1", 0, threads=8)
    server.start()
    studio.gate.clear()
    answers: dict[str, int] = {}

    def ask(path: str) -> None:
        answers[path] = get(server, path)[0]

    painting = threading.Thread(target=ask, args=(TILE,))
    painting.start()
    assert studio.started.wait(10)
    queued = threading.Thread(target=ask, args=("/slides/demo_files/17/1_1.jpeg",))
    queued.start()
    wait_for_queue(service, 1)
    stopping = threading.Thread(target=server.stop, args=(service.close,))
    stopping.start()
    queued.join(10)
    studio.gate.set()
    painting.join(10)
    stopping.join(10)
    assert answers == {TILE: 200, "/slides/demo_files/17/1_1.jpeg": 503}
    with pytest.raises(OSError, match="refused"):
        get(server, "/healthz")


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_stopping_ends_every_thread(service: TileService, static: Path) -> None:
    before = set(threading.enumerate())
    server = Server(create_app(service, static), "127.0.0.1", 0, threads=8)
    server.start()
    assert get(server, "/healthz")[0] == 200
    server.stop(lambda: None)
    assert set(threading.enumerate()) <= before


def test_stopping_sends_answers_to_their_end() -> None:
    body = bytes(12_000_000)  # more than sockets hold

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    server = Server(app, "127.0.0.1", 0, threads=2)
    server.start()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(1) == b"H"
        stopping = threading.Thread(target=server.stop, args=(lambda: None,))
        stopping.start()
        stopping.join(0.5)  # the client is busy with something else
        received = sum(len(part) for part in iter(lambda: client.recv(1 << 20), b""))
    stopping.join(10)
    assert received > len(body)


def test_stopping_ends_streams_of_events(service: TileService, static: Path) -> None:
    server = Server(create_app(service, static), "127.0.0.1", 0, threads=2)
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/slides/demo/events")
    stream = connection.getresponse()
    assert stream.readline() == b"event: progress\n"

    def refuse() -> None:
        service.queue.broker.close()
        service.close()

    server.stop(refuse)
    assert server.in_flight == 0
    assert stream.read().endswith(b"\n\n"), "ended by the server, not cut off"


def wait_for_queue(service: TileService, waiting: int) -> None:
    deadline = time.monotonic() + 10
    while service.queue.progress("demo").waiting != waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)

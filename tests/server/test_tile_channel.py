"""The quick way to tiles in memory gives what the usual way gives, and leaves everything else to it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from everslide.cache.store import Key
from everslide.model.slide import Slide
from everslide.server.deepzoom import TileAddress
from everslide.server.encode import JPEG
from everslide.server.serving import Server
from everslide.server.slides import Entry
from everslide.server.tile_channel import TileChannel
from everslide.server.tiles import TileService
from tests.server.stub import Studio
from tests.server.test_http import server as server  # a fixture

TILE = "/slides/demo_files/17/300_200.jpeg"


class Wire:
    """A connection, and which of its requests took the quick way."""

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.quick: list[bool] = []
        usual = TileChannel._answer

        def watched(channel: TileChannel, data: bytes) -> bytes | None:
            answer = usual(channel, data)
            self.quick.append(answer is not None)
            return answer

        monkeypatch.setattr(TileChannel, "_answer", watched)

    def ask(self, request: bytes) -> tuple[dict[str, str], bytes]:
        """-> headers, among them the status line as "", and body."""
        self.socket.sendall(request)
        return self.read()

    def ask_quickly(self, request: bytes) -> tuple[dict[str, str], bytes]:
        """Ask until the answer came the quick way: not while the thread of the answer before it is being put away."""
        for _ in range(1000):
            answer = self.ask(request)
            if self.quick and self.quick[-1]:
                return answer
        raise AssertionError("never quick")

    def read(self) -> tuple[dict[str, str], bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.socket.recv(65536)
            assert part, data
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        named = (line.split(": ", 1) for line in lines)
        headers = {"": status} | {name.lower(): value for name, value in named}
        while len(body) < int(headers["content-length"]):
            body += self.socket.recv(65536)
        return headers, body


@pytest.fixture
def wire(server: Server, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(server, monkeypatch)


def get(path: str, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()


@pytest.mark.parametrize("query", ["", "?v=0123"])
def test_the_quick_answer_is_the_usual_one(wire: Wire, query: str) -> None:
    wire.ask(get(TILE))  # painted
    quick = wire.ask_quickly(get(TILE + query, "Accept: image/*", "User-Agent: test"))
    usual = wire.ask(get(TILE + query, 'If-None-Match: "other"'))
    assert wire.quick[-1] is False
    assert quick[1] == usual[1]
    for headers in (quick[0], usual[0]):
        headers.pop("date")
    assert quick[0] == usual[0]


@pytest.mark.parametrize(
    "header",
    ["Origin: https://pages.example", "Range: bytes=0-9", "If-None-Match: *", "CONNECTION: keep-alive, Close"],
)
def test_requests_with_conditions_go_the_usual_way(wire: Wire, header: str) -> None:
    wire.ask(get(TILE))
    wire.ask(get("/healthz"))
    wire.socket.sendall(get(TILE, header))
    assert wire.socket.recv(100).startswith(b"HTTP/1.1 ")
    assert not any(wire.quick)


@pytest.mark.parametrize(
    "request_",
    [
        get("/slides/demo_files/17/300_200.png"),
        get("/slides/demo_files/17/300_201.jpeg"),
        get("/slides/demo_files/99/300_200.jpeg"),
        get("/slides/nothing_files/17/300_200.jpeg"),
        get(TILE + "?preview=1"),
        get("/slides/demo.dzi"),
        get(TILE).replace(b"Host", b"Toast"),
        get(TILE).replace(b"GET", b"POST"),
    ],
)
def test_everything_else_goes_the_usual_way(wire: Wire, request_: bytes) -> None:
    wire.ask(get(TILE))
    headers, _ = wire.ask(request_)
    assert headers[""].startswith("HTTP/1.1 ")
    assert not any(wire.quick)


def test_a_request_in_pieces_and_two_in_one_are_answered(wire: Wire) -> None:
    first = wire.ask(get(TILE))[1]
    whole = get(TILE)
    wire.socket.sendall(whole[:20])
    wire.socket.sendall(whole[20:])
    assert wire.read()[1] == first
    wire.socket.sendall(get(TILE, "X: 1") + get(TILE, "X: 2"))
    both = b""
    while both.count(first) < 2:
        both += wire.socket.recv(65536)
    assert both.count(b"HTTP/1.1 200 OK") == 2
    assert wire.ask(get(TILE))[1] == first


@pytest.mark.parametrize("body", [b"", b'{"type": "FeatureCollection", "features": []}'])
def test_who_expects_to_be_told_to_go_on_is_answered_with_a_body_and_without(wire: Wire, body: bytes) -> None:
    wire.socket.settimeout(5)
    if not body:
        headers, _ = wire.ask(get(TILE, "Expect: 100-continue"))
        assert headers[""].startswith("HTTP/1.1 200")
        return
    head = [b"POST /api/slides/demo/annotations HTTP/1.1", b"Host: localhost", b"Content-Type: application/json"]
    wire.socket.sendall(b"\r\n".join([*head, b"Expect: 100-continue", b"Content-Length: %d" % len(body), b"", b""]))
    assert wire.socket.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    headers, _ = wire.ask(body)
    assert headers[""].startswith("HTTP/1.1 200")


def test_a_client_that_does_not_read_is_not_waited_for(wire: Wire, server: Server) -> None:
    wire.ask(get(TILE))
    for _ in range(300):
        wire.socket.sendall(get(TILE))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as other:
        other.sendall(get("/healthz"))
        assert other.recv(100).startswith(b"HTTP/1.1 200")
    received = b""
    while received.count(b"HTTP/1.1 200 OK") < 300:
        received += wire.socket.recv(1 << 20)


def test_a_slide_made_while_the_server_runs_is_answered_quickly_too(wire: Wire, service: TileService) -> None:
    tile = "/slides/late_files/17/300_200.jpeg"
    assert wire.ask(get(tile))[0][""].startswith("HTTP/1.1 404")
    service.add(Entry(Slide("late", 9, model="stub"), "Late"))
    wire.ask(get(tile))  # painted
    quick = wire.ask_quickly(get(tile))
    assert (quick[0][""], quick[0]["x-everslide-seed"]) == ("HTTP/1.1 200 OK", "9")


def test_addresses_beyond_those_remembered_are_answered(
    wire: Wire, service: TileService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everslide.server.fast_path._REMEMBERED", 2)
    paths = [f"/slides/demo_files/17/{col}_200.jpeg" for col in range(5)]
    first = [wire.ask(get(path))[1] for path in paths]
    assert [wire.ask_quickly(get(path))[1] for path in paths] == first
    assert len(set(first)) == 5


def test_a_tile_given_up_by_the_store_goes_the_usual_way(wire: Wire, service: TileService) -> None:
    first = wire.ask(get(TILE))[1]
    wire.ask_quickly(get(TILE))
    slide = service.slide("demo")
    service.stores.encoded.delete(service._key(slide, TileAddress(17, 300, 200), JPEG))
    assert wire.ask(get(TILE))[1] == first
    assert wire.quick[-1] is False


def test_each_store_is_asked_once_for_a_cold_tile(
    wire: Wire, service: TileService, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name, store in (("encoded", service.stores.encoded), ("files", service.stores.lossless)):
        usual = store.get

        def counted(key: Key, name: str = name, usual: Callable[[Key], bytes | None] = usual) -> bytes | None:
            asked.append(f"{name} {key.name.rpartition('/')[2]}")
            return usual(key)

        monkeypatch.setattr(store, "get", counted)
    headers, _ = wire.ask(get(TILE))
    assert headers["x-everslide-state"] == "final"
    assert sorted(asked) == ["encoded 300_200", "files 300_200"]
    asked.clear()
    assert wire.ask(get(TILE))[0]["x-everslide-state"] == "final"
    assert asked == ["encoded 300_200"]


def test_a_tile_that_came_meanwhile_is_found_by_a_request_of_another_form(wire: Wire, studio: Studio) -> None:
    wire.ask(get(TILE))
    head = f"HEAD {TILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    wire.socket.sendall(head)
    assert wire.socket.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert sum(studio.painted.values()) == 1

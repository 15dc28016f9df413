"""Pages of other origins change nothing and cost nothing; names of other hosts are not answered to."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from everslide.server.hosts import Hosts, parse_hosts
from everslide.server.origins import parse_frames, parse_origins
from everslide.server.serving import Server
from everslide.server.tiles import TileService
from tests.server.test_http import TILE, VIEW, client_of
from tests.server.test_http import server as server  # a fixture
from tests.server.test_tile_channel import Wire
from tests.server.test_tile_channel import wire as wire  # a fixture

CHANGES = [
    ("POST", "/api/slides"),
    ("POST", "/api/slides/demo/annotations"),
    ("PUT", "/api/slides/demo/annotations/a"),
    ("DELETE", "/api/slides/demo/annotations/a"),
    ("PUT", "/api/slides/demo/tours/a"),
    ("DELETE", "/api/slides/demo/tours/a"),
    ("POST", "/api/slides/demo/tiles/17/300/200"),
    ("POST", "/slides/demo/export"),
    ("POST", "/slides/demo/viewport"),
]
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:9000"},
    {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:9000"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Referer": "https://evil.example/page"},
    {"Origin": "http://["},
    {"Origin": "https://[evil.example"},
    {"Origin": ""},
    {"Origin": "localhost"},
    {"Referer": "http://["},
    {"Referer": "about:blank"},
]
OWN: list[dict[str, str]] = [
    {},
    {"Origin": "http://localhost"},
    {"Origin": "http://LOCALHOST:80"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.tls.example"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("token", [None, "open"])
def test_other_sites_change_nothing(
    service: TileService, static: Path, method: str, path: str, headers: dict[str, str], token: str | None
) -> None:
    client = client_of(service, static, token=token)
    client.set_cookie("everslide_token", "open")
    answer = client.open(path, method=method, json=VIEW, headers=headers)
    assert answer.status_code == 403
    assert "--cors-origins" in answer.text


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_the_page_itself_and_programs_may(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post("/slides/demo/viewport", json=VIEW, headers=headers).status_code == 200


def test_origins_that_are_named_may_change_and_any_page_may_only_read(service: TileService, static: Path) -> None:
    page = {"Origin": "https://pages.example", "Sec-Fetch-Site": "cross-site"}
    named = client_of(service, static, cors_origins="https://pages.example")
    assert named.post("/slides/demo/viewport", json=VIEW, headers=page).status_code == 200
    anyone = client_of(service, static, cors_origins="*")
    assert anyone.get(TILE, headers=page).status_code == 200
    assert anyone.post("/slides/demo/viewport", json=VIEW, headers=page).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize(("method", "path"), [one for one in CHANGES if one[0] != "DELETE"])
def test_a_form_is_no_json(client: FlaskClient, kind: str, method: str, path: str) -> None:
    answer = client.open(path, method=method, data=b"{}", content_type=kind)
    assert answer.status_code == 415
    assert "application/json" in answer.get_json()["error"]["do"]


@pytest.mark.parametrize("path", [TILE, "/iiif/3/demo/full/64,/0/default.jpg", "/api/gallery/stub/5.jpeg"])
def test_other_sites_let_nothing_be_painted(client: FlaskClient, path: str) -> None:
    site = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert client.get(path, headers=site).status_code == 403
    opened = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get(path, headers=opened).status_code == 200, "somebody followed a link"


def test_what_is_painted_already_is_given_to_any_page(client: FlaskClient) -> None:
    client.get(TILE)
    assert client.get(TILE, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/slides", "/healthz", TILE])
@pytest.mark.parametrize(
    "host", ["evil.example", "rebind.evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io"]
)
@pytest.mark.parametrize("token", [None, "open"])
def test_other_names_are_not_answered_to(
    service: TileService, static: Path, path: str, host: str, token: str | None
) -> None:
    client = client_of(service, static, token=token)
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert answer.headers["X-Everslide-Synthetic"] == "true"
    assert "--hosts" in answer.get_json()["error"]["do"]


def test_the_quick_way_checks_the_name_too(server: Server, wire: Wire) -> None:
    head = f"GET {TILE} HTTP/1.1\r\nHost: %s\r\n\r\n"
    wire.ask((head % "localhost").encode())
    assert wire.ask_quickly((head % "localhost").encode())[0][""].startswith("HTTP/1.1 200")
    headers, body = wire.ask((head % "evil.example").encode())
    assert headers[""].startswith("HTTP/1.1 421")
    assert b"evil.example" in body


@pytest.mark.parametrize(
    ("host", "local", "network"),
    [
        ("localhost:8000", True, True),
        ("LOCALHOST.", True, True),
        ("127.0.0.1", True, True),
        ("192.168.3.4:8000", True, True),
        ("[::1]:8000", True, True),
        ("[fe80::1]", True, True),
        (socket.gethostname(), True, True),
        ("microscope-3:8000", True, True),
        ("microscope-3.local", False, True),
        ("slides.internal", False, True),
        ("slides.example.org", True, True),
        ("a.b.example.net:443", True, True),
        ("example.net", False, False),
        ("evil.example", False, False),
        ("[::1].evil.example", False, False),
        ("localhost:80@evil.example", False, False),
        ("evil.example#localhost", False, False),
    ],
)
def test_names_that_the_server_answers_to(host: str, local: bool, network: bool) -> None:
    words = "slides.example.org, *.example.net"
    assert Hosts(words, "127.0.0.1").allows(host) is local
    assert Hosts(words, "0.0.0.0").allows(host) is network
    assert Hosts("*", "127.0.0.1").allows(host)


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example:8443"),
        ("xn--mnchen-3ya.example", "XN--MNCHEN-3YA.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("cafe\u0301.example", "xn--caf-dma.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("*.straße.example", "slides.xn--strae-oqa.example"),
    ],
)
def test_names_of_any_letters_are_those_that_browsers_send(words: str, sent: str) -> None:
    assert Hosts(words, "127.0.0.1").allows(sent)
    assert not Hosts(words, "127.0.0.1").allows("xn--evil-x5a.example")
    assert parse_origins(f"https://{words.removeprefix('*.')}:8443") != ()
    assert parse_frames(f"https://{words}")[0].isascii()


def test_origins_of_any_letters_are_those_that_browsers_send(service: TileService, static: Path) -> None:
    assert parse_origins("https://Kölner-Klinik.example:8443/") == ("https://xn--klner-klinik-4ib.example:8443",)
    client = client_of(
        service, static, cors_origins="https://kölner-klinik.example", frame_ancestors="https://*.köln.example"
    )
    page = {"Origin": "https://xn--klner-klinik-4ib.example", "Sec-Fetch-Site": "cross-site"}
    assert client.post("/slides/demo/viewport", json=VIEW, headers=page).status_code == 200
    assert client.get("/").headers["Content-Security-Policy"].endswith("'self' https://*.xn--kln-sna.example")


@pytest.mark.parametrize(
    ("parse", "words"),
    [
        (parse_hosts, "ü" * 70 + ".example"),
        (parse_hosts, "-ä.example"),
        (parse_hosts, "ä..example"),
        (parse_hosts, "\u2603 .example"),
        (parse_origins, "https://ä b.example"),
        (parse_frames, "https://ä;script-src *"),
        (parse_hosts, "https://slides.example.org"),
        (parse_hosts, "a b"),
        (parse_origins, "pages.example"),
        (parse_origins, "https://a.example; script-src *"),
        (parse_origins, "'self'"),
        (parse_origins, "https://*.example.org"),
        (parse_frames, "https://a.example; script-src *"),
        (parse_frames, "'none'"),
    ],
)
def test_the_settings_are_checked(parse: object, words: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match="expected"):
        parse(words)


def test_pages_that_are_named_may_show_the_viewer_in_a_frame(service: TileService, static: Path) -> None:
    for setting, policy in (
        ("", "frame-ancestors 'self'"),
        (
            "https://moodle.example.edu, https://*.example.org",
            "'self' https://moodle.example.edu https://*.example.org",
        ),
        ("*", "frame-ancestors 'self' *"),
    ):
        client = client_of(service, static, frame_ancestors=setting)
        for path in ("/", TILE, TILE):
            assert client.get(path).headers["Content-Security-Policy"].endswith(policy)

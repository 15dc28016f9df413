"""Behind proxies: what a trusted one says of scheme, host, path and client, and what nobody else may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from everslide.server.proxies import TrustedProxies, parse_networks
from everslide.server.tiles import TileService
from tests.server.test_http import TILE, client_of

TLS = {
    "Host": "slides.example.org",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "slides.example.org",
    "X-Forwarded-Prefix": "/slides-app",
}


@pytest.fixture
def proxied(service: TileService, static: Path) -> FlaskClient:
    return client_of(service, static, trusted_proxies="127.0.0.1, 10.0.0.0/8", token="open")


@pytest.mark.parametrize("prefix", ["", "/", "/slides-app", "/slides-app/", "/a/b"])
def test_links_carry_the_scheme_host_and_path_that_the_client_asked_for(proxied: FlaskClient, prefix: str) -> None:
    headers = TLS | {"X-Forwarded-Prefix": prefix}
    root = f"https://slides.example.org{prefix.rstrip('/')}"
    assert proxied.get("/iiif/3/demo/info.json", headers=headers).get_json()["id"] == f"{root}/iiif/3/demo"
    image = proxied.get("/iiif/3/demo/full/64,/0/default.jpg", headers=headers | {"Authorization": "Bearer open"})
    assert f"<{root}/iiif/3/demo/full/64,48/0/default.jpg>" in image.headers["Link"]
    demo = proxied.get("/api/slides/demo", headers=headers).get_json()
    path = prefix.rstrip("/")
    assert demo["dzi"] == f"{path}/slides/demo.dzi"
    assert demo["tiles"].startswith(f"{path}/slides/demo_files/")
    assert demo["iiif"] == f"{path}/iiif/3/demo"
    spec = proxied.get("/api/openapi.json", headers=headers).get_json()
    assert spec["servers"] == [{"url": path or "/"}]


def test_the_cookie_keeps_to_the_path_and_to_tls(proxied: FlaskClient) -> None:
    answer = proxied.get("/?token=open", headers=TLS)
    assert answer.headers["Location"] == "./"
    parts = answer.headers["Set-Cookie"].split("; ")
    assert {"Secure", "HttpOnly", "Path=/slides-app/", "SameSite=Strict"} <= set(parts)


def test_the_cookie_goes_along_into_a_frame_of_another_site(service: TileService, static: Path) -> None:
    client = client_of(
        service, static, trusted_proxies="127.0.0.1", token="open", frame_ancestors="https://course.example.edu"
    )
    parts = client.get("/?token=open", headers=TLS).headers["Set-Cookie"].split("; ")
    assert {"Secure", "SameSite=None", "Partitioned"} <= set(parts)


def test_redirects_stay_below_the_path(proxied: FlaskClient) -> None:
    assert proxied.get("/iiif/3/demo", headers=TLS).headers["Location"] == "demo/info.json"


@pytest.mark.parametrize("setting", ["", "10.0.0.0/8"])
def test_nobody_else_is_believed(service: TileService, static: Path, setting: str) -> None:
    client = client_of(service, static, trusted_proxies=setting, hosts="slides.example.org")
    answer = client.get("/iiif/3/demo/info.json", headers=TLS)
    assert answer.get_json()["id"] == "http://slides.example.org/iiif/3/demo"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Host", "evil.example/path"),
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "no-slash"),
        ("X-Forwarded-Prefix", "/a?b"),
    ],
)
def test_what_no_proxy_would_say_is_refused(proxied: FlaskClient, header: str, value: str) -> None:
    answer = proxied.get("/iiif/3/demo/info.json", headers=TLS | {header: value})
    assert answer.status_code == 400
    assert header in answer.get_json()["error"]["expected"]


def environ(**headers: str) -> dict[str, Any]:
    return {"REMOTE_ADDR": "10.0.0.1", "HTTP_HOST": "inner:8000", "wsgi.url_scheme": "http"} | {
        f"HTTP_X_FORWARDED_{name.upper()}": value for name, value in headers.items()
    }


@pytest.mark.parametrize(
    ("given", "client", "host"),
    [
        ({"for": "203.0.113.9", "host": "a.example"}, "203.0.113.9", "a.example"),
        ({"for": "6.6.6.6, 203.0.113.9", "host": "evil.example, a.example"}, "203.0.113.9", "a.example"),
        ({"for": "6.6.6.6, 203.0.113.9, 10.0.0.2", "host": "evil.example, a.example, b"}, "203.0.113.9", "a.example"),
        ({"for": "203.0.113.9, 10.0.0.2", "host": "a.example"}, "203.0.113.9", "a.example"),
        ({"for": "unknown", "host": "a.example"}, "10.0.0.1", "a.example"),
        ({"for": "2001:db8::7"}, "2001:db8::7", "inner:8000"),
        ({"for": "203.0.113.9:51234", "host": "a.example"}, "203.0.113.9", "a.example"),
        ({"for": "6.6.6.6:1, 203.0.113.9:2, 10.0.0.2:3", "host": "a.example"}, "203.0.113.9", "a.example"),
        ({"for": "[2001:db8::7]:443"}, "2001:db8::7", "inner:8000"),
        ({"for": "[2001:db8::7]"}, "2001:db8::7", "inner:8000"),
        ({}, "10.0.0.1", "inner:8000"),
    ],
)
def test_what_the_client_invents_does_not_count(given: dict[str, str], client: str, host: str) -> None:
    request = environ(**given)
    assert TrustedProxies("10.0.0.0/8").apply(request)
    assert (request["REMOTE_ADDR"], request["HTTP_HOST"]) == (client, host)


def test_an_address_of_ip_4_within_ip_6_is_the_same_proxy() -> None:
    request = environ(proto="https") | {"REMOTE_ADDR": "::ffff:10.0.0.1"}
    assert TrustedProxies("10.0.0.1").apply(request)
    assert request["wsgi.url_scheme"] == "https"


def test_the_setting_is_checked() -> None:
    with pytest.raises(ValueError, match="expected addresses or networks such as"):
        parse_networks("my-proxy")


def test_each_client_behind_the_proxy_has_its_own_rate(service: TileService, static: Path) -> None:
    client = client_of(service, static, trusted_proxies="127.0.0.1", rate=0.5)
    for who in ("203.0.113.1", "203.0.113.2"):
        assert client.get(TILE.replace("200", who[-1]), headers={"X-Forwarded-For": who}).status_code == 200
    assert client.post(
        "/slides/demo/viewport",
        json={"viewer": "a", "level": 1, "x": 0, "y": 0, "width": 1, "height": 1},
        headers={"X-Forwarded-For": "203.0.113.1"},
    ).status_code == 429  # fmt: skip

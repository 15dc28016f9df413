"""The configurations of proxies that docs/operations.md shows, run by real ones: nginx, and Caddy where it is there."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from everslide.server.app import create_app
from everslide.server.serving import Server
from everslide.server.settings import Settings
from everslide.server.tiles import TileService
from tests.server.test_http import VIEW

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
HOST = "slides.example.org"
TILE = "/slides-app/slides/demo_files/17/300_200.jpeg"


def require(program: str) -> str:
    """The program's path. Skips where there is none; with CI=true that is a failure."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found:
        return found
    reason = f"NOT TESTED: no {program} here: install Debian's package {program}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def documented(kind: str) -> str:
    """The configuration in docs/operations.md."""
    found = re.search(rf"<!-- {kind}: .*?-->\n```{kind}\n(.*?)```", OPERATIONS.read_text("utf-8"), re.DOTALL)
    assert found, f"docs/operations.md has no configuration of {kind}"
    return found[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def everslide(service: TileService, static: Path) -> Iterator[Server]:
    settings = Settings(cache=None, trusted_proxies="127.0.0.1", token="open")
    server = Server(create_app(service, static, settings), "127.0.0.1", 0, 8)
    server.start()
    yield server
    server.stop(lambda: None)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Of a host that vouches for itself: (certificate, key)."""
    openssl = require("openssl")
    paths = tmp_path / "slides.crt", tmp_path / "slides.key"
    flags = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}"]
    flags += ["-addext", f"subjectAltName=DNS:{HOST}", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run([openssl, *flags], check=True, capture_output=True)
    return paths


@contextmanager
def running(command: list[str], port: int, env: dict[str, str] | None = None) -> Iterator[None]:
    """A proxy that listens."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None and time.monotonic() < deadline, process.stdout and process.stdout.read()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture
def nginx(everslide: Server, certificate: tuple[Path, Path], tmp_path: Path) -> Iterator[int]:
    """The port of nginx with the documented configuration; only ports and files are other ones."""
    program, port = require("nginx"), free_port()
    server = documented("nginx").replace("listen 443", f"listen 127.0.0.1:{port}")
    server = server.replace("127.0.0.1:8000", f"127.0.0.1:{everslide.port}")
    for name, path in zip(("slides.crt", "slides.key"), certificate, strict=True):
        server = server.replace(f"/etc/ssl/{name}", str(path))
    folders = "".join(
        f"{kind}_temp_path {tmp_path / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = tmp_path / "nginx.conf"
    http_block = f"access_log off; {folders}\n{server}"
    head = f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}}"
    conf.write_text(f"{head} http {{ {http_block} }}")
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    with running([program, "-c", str(conf), "-e", str(tmp_path / "log"), *user], port):
        yield port


@pytest.fixture
def caddy(everslide: Server, certificate: tuple[Path, Path], tmp_path: Path) -> Iterator[int]:
    program, port = shutil.which("caddy"), free_port()
    if program is None:
        pytest.skip("NOT TESTED: no caddy here, which not every distribution has")
    server = documented("caddy").replace(
        f"{HOST} {{", f"https://{HOST}:{port} {{\n tls {certificate[0]} {certificate[1]}", 1
    )
    conf = tmp_path / "Caddyfile"
    server = server.replace("127.0.0.1:8000", f"127.0.0.1:{everslide.port}")
    conf.write_text("{\n admin off\n auto_https disable_redirects\n}\n" + server)
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with running([program, "run", "--config", str(conf), "--adapter", "caddyfile"], port, os.environ | home):
        yield port


Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture(params=["nginx", "caddy"])
def ask(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Ask:
    """Asks as a browser does that knows the host by name."""
    port = request.getfixturevalue(request.param)
    context = ssl.create_default_context(cafile=str(certificate[0]))

    def asked(method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection(HOST, port, timeout=20, context=context)
        connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname=HOST)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": f"{HOST}:{port}"} | named)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found

    asked.root = f"https://{HOST}:{port}/slides-app"  # type: ignore[attr-defined]
    return asked


def test_page_links_cookie_and_writing_below_a_path_behind_tls(ask: Ask) -> None:
    root: str = ask.root  # type: ignore[attr-defined]
    assert ask("GET", "/slides-app/")[0] == 200
    assert ask("GET", "/slides-app/static/dist/page.js")[0] == 200
    status, headers, _ = ask("GET", "/slides-app/?token=open")
    assert (status, headers["location"]) == (303, "./")
    cookie = headers["set-cookie"]
    assert "Path=/slides-app/" in cookie and "Secure" in cookie
    assert f'"{root}/iiif/3/demo"'.encode() in ask("GET", "/slides-app/iiif/3/demo/info.json")[2]
    sent = {"Cookie": cookie.partition(";")[0]}
    status, headers, _ = ask("GET", "/slides-app/iiif/3/demo/full/64,/0/default.jpg", **sent)
    assert f"<{root}/iiif/3/demo/full/64,48/0/default.jpg>" in headers["link"]
    assert ask("GET", TILE)[0] == 401
    assert [ask("GET", TILE, **sent)[0] for _ in range(3)] == [200, 200, 200]

    post = {"Content_Type": "application/json", **sent}
    where = "/slides-app/slides/demo/viewport"
    assert ask("POST", where, json.dumps(VIEW), Origin=root.removesuffix("/slides-app"), **post)[0] == 200
    assert ask("POST", where, json.dumps(VIEW), Origin="https://evil.example", **post)[0] == 403


def test_what_a_client_says_of_itself_is_not_believed(ask: Ask) -> None:
    root: str = ask.root  # type: ignore[attr-defined]
    lies = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Proto": "http", "X_Forwarded_Prefix": "/evil"}
    status, _, body = ask("GET", "/slides-app/iiif/3/demo/info.json", **lies)
    assert status == 200
    assert f'"{root}/iiif/3/demo"'.encode() in body

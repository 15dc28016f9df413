"""HTTP beyond tiles: the short way, compression, other origins, events, viewports, access, metrics, documentation."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from pydantic import ValidationError

from everslide.server.access import viewer_name
from everslide.server.app import MAX_BODY, create_app
from everslide.server.errors import RateError
from everslide.server.guards import RateLimit
from everslide.server.serving import Server
from everslide.server.settings import Settings
from everslide.server.shapes import ViewportPost
from everslide.server.tiles import Check, TileService
from tests.server.stub import Studio, make_service
from tests.server.test_queue import until

TILE = "/slides/demo_files/17/300_200.jpeg"
VIEW = {"viewer": "anna", "level": 17, "x": 76000, "y": 51000, "width": 2000, "height": 1500}


def client_of(service: TileService, static: Path, **settings: object) -> FlaskClient:
    return create_app(service, static, Settings(cache=None, **settings)).test_client()  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["jpeg", "jpg", "webp", "png"])
@pytest.mark.parametrize("version", ["", "?v={fingerprint}", "?v=0123"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_short_way_gives_the_same_answer(
    client: FlaskClient, service: TileService, suffix: str, version: str, method: str
) -> None:
    path = TILE.replace("jpeg", suffix) + version.format(fingerprint=service.slide("demo").fingerprint)
    client.get(path)  # painted
    fast = client.open(path, method=method)
    slow = client.open(path, method=method, headers={"If-None-Match": '"other"'})
    assert fast.data == slow.data
    assert fast.status == slow.status
    assert dict(fast.headers) == dict(slow.headers)
    assert fast.headers["X-Everslide-State"] == "final"


def test_the_short_way_counts_what_it_serves(client: FlaskClient) -> None:
    for _ in range(3):
        client.get(TILE)
    metrics = client.get("/metrics").text
    assert 'everslide_tiles_served_total{level="17",slide="demo",state="final"} 3.0' in metrics
    assert 'everslide_tiles_painted_total{level="17",slide="demo"} 1.0' in metrics
    assert "everslide_paint_seconds_count 1.0" in metrics


def test_text_is_compressed_where_the_client_takes_it(client: FlaskClient) -> None:
    plain = client.get("/api/slides")
    packed = client.get("/api/slides", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert "Accept-Encoding" in plain.headers["Vary"]
    assert packed.headers["ETag"] == f"W/{plain.headers['ETag']}"
    again = client.get("/api/slides", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
    assert again.status_code == 304


def test_images_and_short_texts_are_not_compressed(client: FlaskClient) -> None:
    for path in (TILE, "/healthz"):
        assert "Content-Encoding" not in client.get(path, headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize("path", ["/api/slides", "/api/slides/demo", "/slides/demo.dzi", "/", "/static/dist/page.js"])
def test_everything_that_may_be_kept_is_asked_about(client: FlaskClient, path: str) -> None:
    first = client.get(path)
    assert first.headers["ETag"]
    assert client.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert client.head(path).headers["Content-Length"] == first.headers["Content-Length"]


def test_other_origins_may_read_only_where_it_is_set(service: TileService, static: Path) -> None:
    origin = {"Origin": "https://pages.example"}
    closed = client_of(service, static)
    assert "Access-Control-Allow-Origin" not in closed.get(TILE, headers=origin).headers
    one = client_of(service, static, cors_origins="https://pages.example, https://more.example")
    answer = one.get(TILE, headers=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://pages.example"
    assert "X-Everslide-State" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in one.get(TILE, headers={"Origin": "https://evil.example"}).headers
    anyone = client_of(service, static, cors_origins="*")
    for _ in range(2):
        assert anyone.get(TILE, headers=origin).headers["Access-Control-Allow-Origin"] == "*"
    asked = one.options("/slides/demo/viewport", headers=origin | {"Access-Control-Request-Method": "POST"})
    assert asked.headers["Access-Control-Allow-Origin"] == "https://pages.example"


def test_a_full_queue_answers_with_a_marked_preview_that_is_not_kept(static: Path) -> None:
    studio = Studio()
    service = make_service(studio, max_waiting=1)
    client = create_app(service, static).test_client()
    client.get("/slides/demo_files/14/37_25.jpeg")
    studio.gate.clear()
    first = threading.Thread(target=client.get, args=("/slides/demo_files/17/1_1.jpeg",))
    first.start()
    until(lambda: service.queue.waiting == 1)
    answer = create_app(service, static).test_client().get(TILE)
    assert (answer.status_code, answer.headers["X-Everslide-State"]) == (200, "preview")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Everslide-Ancestor"] == "14/37_25"
    exact = create_app(service, static).test_client().get(f"{TILE}?v={service.slide('demo').fingerprint}")
    assert (exact.status_code, exact.headers["Retry-After"]) == (503, "1")
    studio.gate.set()
    first.join(10)
    assert client.get(TILE).headers["X-Everslide-State"] == "final"
    service.close()


def test_a_preview_says_what_it_was_enlarged_from(client: FlaskClient) -> None:
    glass = client.get(f"{TILE}?preview=1")
    assert glass.headers["X-Everslide-Ancestor"] == "none"
    client.get("/slides/demo_files/12/9_6.jpeg")
    assert client.get(f"{TILE}?preview=1").headers["X-Everslide-Ancestor"] == "12/9_6"


def test_a_viewport_is_remembered_and_answered(client: FlaskClient, service: TileService) -> None:
    answer = client.post("/slides/demo/viewport", json=VIEW)
    assert (answer.status_code, answer.json) == (200, {"dropped": 0})
    found = service.queue.viewports.of("anna", "demo")
    assert found is not None and found.l0_width == 2000


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"level": "deep"}, "level"),
        ({"level": -1}, "level"),
        ({"width": 0}, "width"),
        ({"x": 1e300}, "x"),
        ({"viewer": ""}, "viewer"),
        ({"viewer": "a" * 65}, "viewer"),
        ({"viewer": "\nat 127.0.0.1"}, "viewer"),
        ({"height": None}, "height"),
    ],
)
def test_a_bad_viewport_is_refused(client: FlaskClient, change: dict[str, object], field: str) -> None:
    answer = client.post("/slides/demo/viewport", json=VIEW | change)
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"]["found"].startswith(f"{field}:")


def test_no_viewport_is_that_of_clients_without_a_name(client: FlaskClient) -> None:
    """Whoever could post theirs would have their tiles cancelled."""
    with client.application.test_request_context("/", environ_base={"REMOTE_ADDR": "10.0.0.7"}):
        name = viewer_name()
    assert "10.0.0.7" in name
    with pytest.raises(ValidationError, match="viewer"):
        ViewportPost.model_validate(VIEW | {"viewer": name})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"level": %s}' % (b"9" * 5000)]
)
def test_a_body_that_is_none_is_refused(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/slides/demo/viewport", data=body, content_type="application/json")
    assert answer.status_code in (400, 415)
    assert answer.json is not None


def test_a_body_that_is_too_large_is_refused(client: FlaskClient) -> None:
    answer = client.post("/slides/demo/viewport", data=b" " * (MAX_BODY + 1), content_type="application/json")
    assert answer.status_code == 413


@pytest.mark.parametrize("named", ["https://pages.example", "https://pages.example, https://more.example"])
def test_no_cache_gives_one_origin_the_answer_of_another(service: TileService, static: Path, named: str) -> None:
    client = client_of(service, static, cors_origins=named)
    for origin in (None, "https://pages.example", "https://other.example"):
        for address in (TILE, "/slides/demo.dzi", "/api/slides/none", "/static/dist/page.js"):
            answer = client.get(address, headers={} if origin is None else {"Origin": origin})
            assert "Origin" in answer.headers["Vary"], (origin, address)
    assert "Origin" not in client_of(service, static, cors_origins="*").get(TILE).headers.get("Vary", "")


def test_a_viewport_of_no_slide(client: FlaskClient) -> None:
    assert client.post("/slides/nothing/viewport", json=VIEW).status_code == 404


def test_with_a_token_only_what_is_cached_is_free(service: TileService, static: Path, studio: Studio) -> None:
    client = client_of(service, static, token="open sesame")
    bearer = {"Authorization": "Bearer open sesame"}
    refused = client.get(TILE)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert client.get(TILE, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/iiif/3/demo/0,0,256,256/max/0/default.jpg").status_code == 401
    assert client.post("/slides/demo/viewport", json=VIEW).status_code == 401
    assert client.get("/api/gallery/stub/5.jpeg").status_code == 401
    assert not studio.painted
    assert client.get(f"{TILE}?preview=1").status_code == 200
    assert client.get("/api/slides").status_code == 200
    assert client.get(TILE, headers=bearer).status_code == 200
    assert client.get(TILE).status_code == 200, "it is cached now"
    assert client.post("/slides/demo/viewport", json=VIEW, headers=bearer).status_code == 200


def test_a_browser_remembers_the_token(service: TileService, static: Path) -> None:
    client = client_of(service, static, token="open sesame")
    assert client.get("/?token=wrong").headers.get("Set-Cookie") is None
    signed = client.get("/?token=open+sesame")
    assert (signed.status_code, signed.headers["Location"]) == (303, "./")
    assert "HttpOnly" in signed.headers["Set-Cookie"] and "SameSite=Strict" in signed.headers["Set-Cookie"]
    assert client.get(TILE).status_code == 200


def test_a_client_that_asks_too_often_is_refused(service: TileService, static: Path) -> None:
    client = client_of(service, static, rate=2)
    answers = [client.post("/slides/demo/viewport", json=VIEW) for _ in range(10)]
    assert [answer.status_code for answer in answers[:4]] == [200] * 4
    assert answers[-1].status_code == 429
    assert answers[-1].headers["Retry-After"] == "1"


def test_a_bucket_fills_again_and_belongs_to_one_client() -> None:
    now = [0.0]
    limit = RateLimit(1, lambda: now[0])
    limit.take("anna")
    limit.take("anna")
    with pytest.raises(RateError):
        limit.take("anna")
    limit.take("otto")
    now[0] = 1.5
    limit.take("anna")
    with pytest.raises(RateError):
        limit.take("anna")


def test_ready_and_not(client: FlaskClient, service: TileService) -> None:
    there = [True]
    assert client.get("/readyz").json == {"status": "ready", "checks": {}}
    service.checks.append(Check("redis", lambda: False, needed=False))
    service.checks.append(Check("workers", lambda: there[0], needed=True))
    assert client.get("/readyz").json == {"status": "ready", "checks": {"redis": False, "workers": True}}
    there[0] = False
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (
        503,
        {"status": "not ready", "checks": {"redis": False, "workers": False}},
    )
    there[0] = True
    service.close()
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_refusals_are_counted(client: FlaskClient) -> None:
    client.get("/slides/demo_files/99/0_0.jpeg")
    assert 'everslide_refusals_total{status="404"} 1.0' in client.get("/metrics").text


def test_the_interface_is_described_whole_and_validly(client: FlaskClient) -> None:
    answer = client.get("/api/openapi.json")
    spec = answer.json
    assert spec is not None
    validate(spec)
    assert spec["openapi"].startswith("3.1")
    described = {(path, method.upper()) for path, item in spec["paths"].items() for method in item}
    routes = {
        (rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}"), method)
        for rule in client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes - described == {("/static/{name}", "GET")}
    assert all(operation["summary"] for item in spec["paths"].values() for operation in item.values())
    tile = spec["paths"]["/slides/{name}_files/{level}/{tile_name}"]["get"]
    assert {each["name"] for each in tile["parameters"]} == {"name", "level", "tile_name", "preview", "v"}
    assert {"200", "304", "400", "404", "503"} <= set(tile["responses"])


def test_the_documentation_page_names_every_route(client: FlaskClient) -> None:
    page = client.get("/api/docs")
    assert page.mimetype == "text/html"
    spec = client.get("/api/openapi.json").json
    assert spec is not None
    for path in spec["paths"]:
        assert path in page.text
    assert "<script" not in page.text


@pytest.fixture
def server(service: TileService, static: Path) -> Iterator[Server]:
    server = Server(create_app(service, static), "127.0.0.1", 0, threads=8)
    server.start()
    yield server
    service.queue.broker.close()
    server.stop(service.close)


class Stream:
    """A stream of events, read one by one."""

    def __init__(self, server: Server, slide: str = "demo") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self.connection.request("GET", f"/slides/{slide}/events")
        self.response = self.connection.getresponse()

    def next(self) -> tuple[str, dict[str, object]]:
        kind = self.response.readline().decode().strip()
        data = self.response.readline().decode().strip()
        self.response.readline()
        return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_events_arrive_as_they_happen(server: Server, studio: Studio, service: TileService) -> None:
    stream = Stream(server)
    assert stream.response.headers["Content-Type"].startswith("text/event-stream")
    assert stream.response.headers["Cache-Control"] == "no-store"
    assert stream.next() == (
        "progress",
        {"waiting": 0, "painting": None, "painted": 0, "seconds_per_tile": None},
    )
    studio.gate.clear()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", TILE)
    tile = {"level": 17, "col": 300, "row": 200}
    assert stream.next() == ("tile", tile | {"state": "waiting"})
    assert stream.next() == ("tile", tile | {"state": "painting"})
    studio.gate.set()
    assert stream.next() == ("tile", tile | {"state": "final"})
    assert connection.getresponse().status == 200
    stream.connection.close()


def test_a_stream_whose_reader_is_gone_is_closed(
    server: Server, service: TileService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everslide.server.slide_routes.HEARTBEAT_SECONDS", 0.1)
    stream = Stream(server)
    stream.next()
    assert service.queue.broker.listeners == 1
    stream.response.close()
    stream.connection.close()
    until(lambda: service.queue.broker.listeners == 0)


def test_too_many_streams_are_refused(service: TileService, static: Path) -> None:
    client = create_app(service, static).test_client()
    service.queue.broker._max_listeners = 0
    answer = client.get("/slides/demo/events")
    assert answer.status_code == 503
    assert answer.json is not None and "streams" in answer.json["error"]["expected"]

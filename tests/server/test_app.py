"""The service over HTTP, as a browser meets it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray
from PIL import Image

from everslide import version
from everslide.model.geometry import TileIndex
from everslide.server.app import create_app
from everslide.server.preview import GLASS_RGB
from everslide.server.tiles import TileService
from tests.server.stub import Studio, make_service, stub_pixels

MARK = "SYNTHETIC - not for diagnosis; Everslide stub seed 7"


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_page_and_assets(client: FlaskClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    assert client.get("/static/dist/page.js").status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get("/healthz").json == {"status": "ok"}


@pytest.mark.parametrize(
    "path", ["/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static//etc/passwd", "/nothing"]
)
def test_nothing_else_is_served(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["error"]["status"] == 404


def test_a_page_that_was_not_built_says_so(service: TileService, tmp_path: Path) -> None:
    answer = create_app(service, tmp_path).test_client().get("/")
    assert answer.status_code == 404
    assert "npm run build" in answer.text


def test_metadata(client: FlaskClient, service: TileService) -> None:
    demo = {
        "id": "demo",
        "title": "Demo",
        "seed": 7,
        "made": False,
        "model": "stub",
        "steps": None,
        "guidance": 1,
        "organ": None,
        "organ_cases": None,
        "organ_sections": None,
        "organ_drawn": None,
        "regions": [],
        "width": 131072,
        "height": 98304,
        "mpp": 0.5,
        "magnification": 20.0,
        "tile_size": 256,
        "overlap": 0,
        "min_level": 0,
        "max_level": 17,
        "root_level": 10,
        "unbounded": False,
        "format": "jpeg",
        "fingerprint": service.slide("demo").fingerprint,
        "version": version(),
        "synthetic": True,
        "notice": "SYNTHETIC - not for diagnosis",
        "dzi": "/slides/demo.dzi",
        "tiles": "/slides/demo_files/{level}/{col}_{row}.jpeg",
        "iiif": "/iiif/3/demo",
    }
    assert client.get("/api/slides/demo").json == demo
    listed = client.get("/api/slides").json
    assert listed is not None
    assert listed["slides"][0] == demo
    assert [slide["id"] for slide in listed["slides"]] == ["demo", "small", "endless"]
    assert listed["slides"][2]["min_level"] == 22


def test_descriptor(client: FlaskClient) -> None:
    answer = client.get("/slides/demo.dzi")
    assert answer.mimetype == "application/xml"
    assert 'TileSize="256"><Size Width="131072" Height="98304"/>' in answer.text


@pytest.mark.parametrize(
    ("suffix", "mimetype", "worst"),
    [("png", "image/png", 0), ("jpeg", "image/jpeg", 12), ("jpg", "image/jpeg", 12), ("webp", "image/webp", 24)],
)
def test_tiles(client: FlaskClient, suffix: str, mimetype: str, worst: int) -> None:
    answer = client.get(f"/slides/demo_files/17/300_200.{suffix}")
    assert answer.status_code == 200
    assert answer.mimetype == mimetype
    expected = stub_pixels(7, TileIndex(0, 300, 200))
    assert int(np.abs(pixels_of(answer.data).astype(int) - expected).max()) <= worst


@pytest.mark.parametrize("suffix", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("query", ["", "?preview=1"])
def test_every_file_says_that_it_is_synthetic(client: FlaskClient, suffix: str, query: str) -> None:
    answer = client.get(f"/slides/demo_files/17/300_200.{suffix}{query}")
    with Image.open(io.BytesIO(answer.data)) as image:
        image.load()
        found = {
            "png": image.info.get("Comment"),
            "jpeg": image.info.get("comment"),
            "webp": image.info.get("xmp"),
        }[suffix]
    text = found.decode() if isinstance(found, bytes) else str(found)
    assert MARK in text


def test_headers_of_a_final_tile(client: FlaskClient, service: TileService) -> None:
    fingerprint = service.slide("demo").fingerprint
    answer = client.get("/slides/demo_files/17/300_200.jpeg")
    assert answer.headers["X-Everslide-Synthetic"] == "true"
    assert answer.headers["X-Everslide-Model"] == "stub"
    assert answer.headers["X-Everslide-Seed"] == "7"
    assert answer.headers["X-Everslide-Version"] == version()
    assert answer.headers["X-Everslide-State"] == "final"
    assert answer.headers["ETag"] == f'"{fingerprint}-17-300-200-jpeg"'
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    forever = client.get(f"/slides/demo_files/17/300_200.jpeg?v={fingerprint}")
    assert forever.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    stale = client.get("/slides/demo_files/17/300_200.jpeg?v=0123")
    assert stale.headers["Cache-Control"] == "public, max-age=3600"


def test_not_modified_without_painting(client: FlaskClient, studio: Studio) -> None:
    path = "/slides/demo_files/17/300_200.jpeg"
    first = client.get(path)
    assert sum(studio.painted.values()) == 1
    for tag in (first.headers["ETag"], f"W/{first.headers['ETag']}", '"other", ' + first.headers["ETag"], "*"):
        answer = client.get(path, headers={"If-None-Match": tag})
        assert answer.status_code == 304
        assert answer.data == b""
        assert answer.headers["ETag"] == first.headers["ETag"]
        assert answer.headers["Cache-Control"] == first.headers["Cache-Control"]
    changed = client.get(path, headers={"If-None-Match": '"other"'})
    assert (changed.status_code, changed.data) == (200, first.data)
    assert sum(studio.painted.values()) == 1


def test_head_has_the_headers_of_get(client: FlaskClient) -> None:
    path = "/slides/demo_files/17/300_200.jpeg"
    head, get = client.head(path), client.get(path)
    assert head.data == b""
    assert head.status_code == 200
    for name in ("Content-Length", "Content-Type", "ETag", "Cache-Control", "X-Everslide-State", "X-Everslide-Seed"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("suffix", ["png", "jpeg"])
def test_tiles_at_the_edge_are_cut(client: FlaskClient, suffix: str) -> None:
    answer = client.get(f"/slides/small_files/10/3_2.{suffix}")
    assert pixels_of(answer.data).shape == (188, 232, 3)
    assert pixels_of(client.get(f"/slides/small_files/10/3_2.{suffix}?preview=1").data).shape == (188, 232, 3)


def test_tiles_near_two_to_the_31(client: FlaskClient) -> None:
    answer = client.get("/slides/endless_files/31/8388607_8388607.png")
    expected = stub_pixels(2**63 + 1, TileIndex(0, 8388607, 8388607))
    assert np.array_equal(pixels_of(answer.data), expected)
    assert answer.headers["X-Everslide-Seed"] == str(2**63 + 1)


BAD_INPUT = [
    ("/api/slides/nothing", 404, "'nothing'"),
    ("/api/slides/nothing/progress", 404, "'nothing'"),
    ("/slides/nothing.dzi", 404, "'nothing'"),
    ("/slides/nothing_files/0/0_0.jpeg", 404, "'nothing'"),
    ("/slides/demo_files/18/0_0.jpeg", 404, "level 18"),
    ("/slides/endless_files/21/0_0.jpeg", 404, "level 21"),
    ("/slides/demo_files/17/512_0.jpeg", 404, "column 512, row 0"),
    ("/slides/demo_files/17/0_384.jpeg", 404, "column 0, row 384"),
    ("/slides/demo_files/17/0_9999999999999999999.jpeg", 404, "row 9999999999999999999"),
    ("/slides/demo_files/17/0_0.gif", 404, "'gif'"),
    ("/slides/demo_files/17/0_0.JPEG", 404, "'JPEG'"),
    ("/slides/demo_files/17/0_0.", 404, "''"),
    ("/slides/demo_files/17/0_0", 400, "'0_0'"),
    ("/slides/demo_files/x/0_0.jpeg", 400, "'x'"),
    ("/slides/demo_files/-1/0_0.jpeg", 400, "'-1'"),
    ("/slides/demo_files/17/-1_0.jpeg", 400, "'-1'"),
    ("/slides/demo_files/17/0_1.5.jpeg", 404, "'5.jpeg'"),
    ("/slides/demo_files/17/00_0.jpeg", 400, "'00'"),
    ("/slides/demo_files/17/0_1e3.jpeg", 400, "'1e3'"),
    ("/slides/demo_files/17/0_" + "9" * 5000 + ".jpeg", 400, "999"),
    ("/slides/demo_files/17/0_0.jpeg?preview=maybe", 400, "preview='maybe'"),
    ("/slides/..%2f..%2fetc_files/0/0_0.jpeg", 404, "GET /slides/"),
    ("/slides/demo_files/17/..%2f0_0.jpeg", 404, "GET /slides/"),
]


@pytest.mark.parametrize(("path", "status", "found"), BAD_INPUT, ids=[path[:40] for path, _, _ in BAD_INPUT])
def test_bad_input_is_refused_before_cache_and_painter(
    client: FlaskClient, service: TileService, studio: Studio, path: str, status: int, found: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.json is not None
    error = answer.json["error"]
    assert error["status"] == status
    assert found in error["found"]
    assert error["expected"]
    assert error["do"]
    assert not studio.painted
    stats = service.stores.lossless.stats()
    assert (stats.hits, stats.misses, stats.puts) == (0, 0, 0)


def test_other_methods_are_refused(client: FlaskClient) -> None:
    answer = client.post("/slides/demo_files/17/0_0.jpeg")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert answer.json is not None


def test_preview_never_paints(client: FlaskClient, service: TileService, studio: Studio) -> None:
    path = "/slides/demo_files/17/300_200.png?preview=1"
    glass = client.get(path)
    assert glass.status_code == 200
    assert glass.headers["X-Everslide-State"] == "preview"
    assert glass.headers["Cache-Control"] == "no-store"
    assert "ETag" not in glass.headers
    assert (pixels_of(glass.data) == GLASS_RGB).all()
    assert not studio.painted
    assert service.queue.progress("demo").waiting == 0


def test_preview_enlarges_the_nearest_cached_ancestor(client: FlaskClient, studio: Studio) -> None:
    client.get("/slides/demo_files/10/2_1.png")
    client.get("/slides/demo_files/14/37_25.png")  # contains tile 300_200 of level 17, at (4, 0) of 8 x 8
    parent = stub_pixels(7, TileIndex(3, 37, 25)).astype(int)
    answer = client.get("/slides/demo_files/17/300_200.png?preview=1")
    found = pixels_of(answer.data)
    assert answer.headers["X-Everslide-State"] == "preview"
    assert found.shape == (256, 256, 3)
    assert np.abs(found[16::32, 16::32].astype(int) - parent[0:32:4, 128:160:4]).max() <= 4
    assert len(studio.painted) == 2


def test_preview_far_below_its_ancestor(client: FlaskClient) -> None:
    client.get("/slides/demo_files/0/0_0.png")
    answer = client.get("/slides/demo_files/17/300_200.jpeg?preview=1")
    assert pixels_of(answer.data).shape == (256, 256, 3)
    assert answer.headers["X-Everslide-State"] == "preview"


@pytest.mark.parametrize("suffix", ["png", "jpeg"])
def test_preview_of_a_cached_tile_is_the_tile(client: FlaskClient, suffix: str) -> None:
    final = client.get("/slides/demo_files/17/300_200.png")
    answer = client.get(f"/slides/demo_files/17/300_200.{suffix}?preview=1")
    assert answer.headers["X-Everslide-State"] == "final"
    assert "ETag" in answer.headers
    if suffix == "png":
        assert answer.data == final.data


def test_a_failing_painter_is_an_error_and_is_not_cached(client: FlaskClient, studio: Studio) -> None:
    tile = TileIndex(0, 300, 200)
    studio.failing.add(tile)
    answer = client.get("/slides/demo_files/17/300_200.jpeg")
    assert answer.status_code == 500
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json is not None
    assert answer.json["error"]["found"] == "RuntimeError: out of paint"
    studio.failing.clear()
    assert client.get("/slides/demo_files/17/300_200.jpeg").status_code == 200
    assert studio.painted[tile] == 2


def test_progress(client: FlaskClient) -> None:
    before = client.get("/api/slides/demo/progress")
    assert before.json == {"waiting": 0, "painting": None, "painted": 0, "seconds_per_tile": None}
    assert before.headers["Cache-Control"] == "no-store"
    client.get("/slides/demo_files/17/300_200.jpeg")
    after = client.get("/api/slides/demo/progress").json
    assert after is not None
    assert after["painted"] == 1
    assert 0 <= after["seconds_per_tile"] < 10
    assert client.get("/api/slides/small/progress").json == before.json


def test_other_weights_are_other_tiles(static: Path) -> None:
    one, other = make_service(Studio("f00d")), make_service(Studio("beef"))
    tags = [
        create_app(service, static).test_client().get("/slides/demo_files/17/0_0.png").headers["ETag"]
        for service in (one, other)
    ]
    assert tags[0] != tags[1]
    one.close()
    other.close()

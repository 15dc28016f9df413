"""IIIF Image API 3, level 2: the validator's own tests over HTTP, and what it does not look at."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from iiif_validator.validator import ImageAPI, ValidationInfo
from iiif_validator.validator import TestSuite as Suite
from PIL import Image

from everslide.cache.memory import MemoryStore
from everslide.model.geometry import Rect, TileIndex
from everslide.model.slide import Slide
from everslide.server.app import create_app
from everslide.server.deepzoom import DeepZoom
from everslide.server.encode import Pixels
from everslide.server.errors import MalformedError, TooLargeError
from everslide.server.iiif import Limits, parse, source
from everslide.server.painters import Painters
from everslide.server.queue import PaintQueue
from everslide.server.serving import Server
from everslide.server.slides import Catalogue, Entry
from everslide.server.tiles import Stores, TileService
from tests.server.stub import NO_CHOICE, Studio, stub_pixels

VALIDATOR_IMAGE = "67352ccc-d1b0-11e1-89ae-279075081939"
LIMITS = Limits(4_000_000)


class SquaresPainter:
    """Paints the picture that the validator knows: ten by ten squares, each 100 px wide; coarser planes are means."""

    def __init__(self) -> None:
        colours = np.array(ValidationInfo().colorInfo, np.uint8)  # [column][row]
        self._whole = np.repeat(np.repeat(colours.transpose(1, 0, 2), 100, axis=0), 100, axis=1)

    def tile(self, tile: TileIndex) -> Pixels:
        return self.paint(tile)

    def paint(self, tile: TileIndex) -> Pixels:
        side = 256 * 2**tile.s
        out = np.zeros((side, side, 3), np.uint8)
        part = self._whole[tile.row * side : (tile.row + 1) * side, tile.col * side : (tile.col + 1) * side]
        out[: part.shape[0], : part.shape[1]] = part
        return np.asarray(Image.fromarray(out).resize((256, 256), Image.Resampling.BOX))


@pytest.fixture(scope="module")
def iiif_server() -> Iterator[Server]:
    slide = Slide(VALIDATOR_IMAGE, 1, 1000, 1000, model="squares")
    stores = Stores(MemoryStore(10**8), MemoryStore(10**8), MemoryStore(10**8))
    models = {
        "squares": Painters(
            2, lambda _slide, _top, _like: "5", False, NO_CHOICE, lambda _slide, _tiles, _top, _like: SquaresPainter()
        )
    }
    service = TileService(Catalogue((Entry(slide, "squares"),)), models, stores, PaintQueue())
    server = Server(create_app(service, Path()), "127.0.0.1", 0, threads=8)
    server.start()
    yield server
    server.stop(service.close)


def level_2_tests() -> list[str]:
    listed = Suite(ValidationInfo()).list_tests("3.0")
    return sorted(name for name, facts in listed.items() if facts["level"] <= 2)


def test_the_validator_has_tests_of_level_2() -> None:
    assert len(level_2_tests()) >= 25


@pytest.mark.parametrize("name", level_2_tests())
def test_the_validator_is_content(iiif_server: Server, name: str) -> None:
    result = ImageAPI(VALIDATOR_IMAGE, f"127.0.0.1:{iiif_server.port}", "iiif/3", "http", "", "3.0", debug=False)
    Suite(ValidationInfo()).run_test(name, result)
    error = result.exception
    assert error is None, f"{result.urls}: got {error.got}, expected {error.expected}: {error.message}"


def test_mirrored_images_pass_too(iiif_server: Server) -> None:
    for name in ("rot_mirror", "rot_mirror_180", "size_up", "quality_bitonal"):
        result = ImageAPI(VALIDATOR_IMAGE, f"127.0.0.1:{iiif_server.port}", "iiif/3", "http", "", "3.0", debug=False)
        Suite(ValidationInfo()).run_test(name, result)
        assert result.exception is None, (name, result.urls, result.exception.got)


def test_an_image_of_another_version_of_the_renderer_has_another_entity_tag(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/iiif/3/demo/full/64,/0/default.jpg"
    tag = client.get(path).headers["ETag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
    monkeypatch.setattr("everslide.server.iiif.RENDER_FORMAT", 99)
    again = client.get(path, headers={"If-None-Match": tag})
    assert again.status_code == 200 and again.headers["ETag"] != tag


def test_info(client: FlaskClient) -> None:
    answer = client.get("/iiif/3/demo/info.json")
    info = answer.json
    assert info is not None
    assert info["id"] == "http://localhost/iiif/3/demo"
    assert (info["type"], info["protocol"], info["profile"]) == (
        "ImageService3",
        "http://iiif.io/api/image",
        "level2",
    )
    assert (info["width"], info["height"]) == (131072, 98304)
    assert info["tiles"][0]["scaleFactors"][:3] == [1, 2, 4]
    assert {"width": 1024, "height": 768} in info["sizes"]
    assert info["synthetic"] is True
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    asked = client.get("/iiif/3/demo/info.json", headers={"Accept": "application/ld+json"})
    assert asked.content_type.startswith("application/ld+json")


def test_a_tile_is_the_deep_zoom_tile(client: FlaskClient) -> None:
    answer = client.get("/iiif/3/demo/1024,512,512,512/256,/0/default.png")
    with Image.open(io.BytesIO(answer.data)) as image:
        assert np.array_equal(np.asarray(image), stub_pixels(7, TileIndex(1, 2, 1)))
        assert "SYNTHETIC" in image.info["Comment"]
    assert answer.headers["X-Everslide-State"] == "final"
    assert 'rel="canonical"' in answer.headers["Link"]


def test_not_modified(client: FlaskClient, studio: Studio) -> None:
    path = "/iiif/3/demo/1024,512,512,512/256,/0/default.jpg"
    first = client.get(path)
    count = sum(studio.painted.values())
    again = client.get(path.replace("default", "color"), headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, sum(studio.painted.values())) == (304, count)


def test_a_base_address_leads_to_its_information(client: FlaskClient) -> None:
    answer = client.get("/iiif/3/demo")
    assert (answer.status_code, answer.headers["Location"]) == (303, "demo/info.json")


EXTENT = (1000, 700)


@pytest.mark.parametrize(
    ("region", "size", "rect", "pixels"),
    [
        ("full", "max", (0, 0, 1000, 700), (1000, 700)),
        ("square", "max", (150, 0, 700, 700), (700, 700)),
        ("100,50,200,100", "max", (100, 50, 200, 100), (200, 100)),
        ("900,650,500,500", "max", (900, 650, 100, 50), (100, 50)),
        ("pct:10,10,50,50", "max", (100, 70, 500, 350), (500, 350)),
        ("full", "500,", (0, 0, 1000, 700), (500, 350)),
        ("full", ",350", (0, 0, 1000, 700), (500, 350)),
        ("full", "100,300", (0, 0, 1000, 700), (100, 300)),
        ("full", "!300,300", (0, 0, 1000, 700), (300, 210)),
        ("full", "pct:25", (0, 0, 1000, 700), (250, 175)),
        ("0,0,100,100", "^300,", (0, 0, 100, 100), (300, 300)),
        ("0,0,100,100", "!300,100", (0, 0, 100, 100), (100, 100)),
    ],
)
def test_regions_and_sizes(region: str, size: str, rect: tuple[int, int, int, int], pixels: tuple[int, int]) -> None:
    asked = parse(EXTENT, LIMITS, region, size, "0", "default", "jpg")
    assert asked.region == Rect(*rect)
    assert (asked.width, asked.height) == pixels


@pytest.mark.parametrize(
    ("region", "size", "rotation", "quality", "suffix"),
    [
        ("half", "max", "0", "default", "jpg"),
        ("1,2,3", "max", "0", "default", "jpg"),
        ("0,0,0,10", "max", "0", "default", "jpg"),
        ("1000,0,10,10", "max", "0", "default", "jpg"),
        ("-1,0,10,10", "max", "0", "default", "jpg"),
        ("full", "full", "0", "default", "jpg"),
        ("full", ",", "0", "default", "jpg"),
        ("full", "!300,", "0", "default", "jpg"),
        ("full", "0,", "0", "default", "jpg"),
        ("full", "!0,0", "0", "default", "jpg"),
        ("full", "^!0,300", "0", "default", "jpg"),
        ("full", "1001,", "0", "default", "jpg"),
        ("full", "!2000,3000", "0", "default", "jpg"),
        ("full", "pct:101", "0", "default", "jpg"),
        ("full", "max", "45", "default", "jpg"),
        ("full", "max", "361", "default", "jpg"),
        ("full", "max", "left", "default", "jpg"),
        ("full", "max", "0", "sepia", "jpg"),
        ("full", "max", "0", "default", "exe"),
        ("full", "9" * 400 + ",", "0", "default", "jpg"),
    ],
)
def test_bad_requests_are_refused(region: str, size: str, rotation: str, quality: str, suffix: str) -> None:
    with pytest.raises(MalformedError):
        parse(EXTENT, LIMITS, region, size, rotation, quality, suffix)


def test_too_large_an_image_is_refused_and_max_is_what_may_be() -> None:
    with pytest.raises(TooLargeError):
        parse((131072, 98304), LIMITS, "full", "131072,", "0", "default", "jpg")
    for size in ("max", "^max", "!90000,90000", "^!90000,90000"):
        largest = parse((131072, 98304), LIMITS, "full", size, "0", "default", "jpg")
        assert 3_900_000 < largest.width * largest.height <= 4_000_000
        assert "/max/" in largest.canonical


def test_the_level_that_is_read_is_the_coarsest_that_will_do() -> None:
    zoom = DeepZoom(Slide("demo", 7), 9)
    exact = parse((131072, 98304), LIMITS, "0,0,4096,4096", "256,", "0", "default", "jpg")
    assert source(exact, zoom) == (13, Rect(0, 0, 256, 256))
    more = parse((131072, 98304), LIMITS, "0,0,4096,4096", "257,", "0", "default", "jpg")
    assert source(more, zoom) == (14, Rect(0, 0, 512, 512))


def test_an_endless_slide_as_a_whole_is_refused_unpainted(client: FlaskClient, studio: Studio) -> None:
    answer = client.get("/iiif/3/endless/full/256,/0/default.jpg")
    assert answer.status_code == 404
    assert not studio.painted


@pytest.mark.parametrize("path", ["/iiif/3/nothing/info.json", "/iiif/3/demo/full/max/0", "/iiif/3/demo/full/max/0/a"])
def test_addresses_that_are_none(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code in (400, 404)

"""A slide without an end in viewers that begin with a picture as a whole: a bounded part, or a clear refusal."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray
from PIL import Image

from everslide.model.geometry import Rect
from everslide.server.regions import read_region
from everslide.server.tiles import TileService

X, Y, WIDTH, HEIGHT = 512 * 1000, 512 * 3, 131072, 98304
PART = f"endless@{X},{Y},{WIDTH},{HEIGHT}"


def png(client: FlaskClient, path: str) -> NDArray[np.uint8]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.data)) as image:
        return np.asarray(image.convert("RGB"))


def truth(service: TileService, s: int, rect: Rect) -> NDArray[np.uint8]:
    slide = service.slide("endless")
    return read_region(service, slide, slide.zoom.level(s), rect, lambda: False)


@pytest.mark.parametrize("path", ["/slides/endless.dzi", "/iiif/3/endless", "/iiif/3/endless/info.json"])
def test_the_whole_is_refused_with_the_address_of_a_part(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    error = answer.get_json()["error"]
    assert "a slide without one" in error["found"]
    part = re.search(r"endless@\d+,\d+,131072,98304", error["do"])
    assert part is not None
    assert client.get(path.replace("endless", part[0])).status_code in (200, 303)


@pytest.mark.parametrize("region", ["full", "square", "pct:0,0,10,10"])
def test_iiif_regions_of_the_whole_are_refused_likewise(client: FlaskClient, region: str) -> None:
    answer = client.get(f"/iiif/3/endless/{region}/256,/0/default.jpg")
    assert answer.status_code == 404
    assert "endless@" in answer.text


@pytest.mark.parametrize("extent", [(2**20, 2**19), (2**40, 300)])
def test_a_slide_too_large_to_be_shown_whole_is_offered_in_parts_too(
    client: FlaskClient, extent: tuple[int, int]
) -> None:
    size = dict(zip(("width", "height"), extent, strict=True))
    name = client.post("/api/slides", json={"title": "Huge", "seed": "5", "model": "stub", **size}).get_json()["id"]
    error = client.get(f"/slides/{name}.dzi").get_json()["error"]
    assert "too large to be shown whole" in error["found"] and f"such as {name}@" in error["do"]
    facts = client.get(f"/api/slides/{name}").get_json()
    sides = dict(ElementTree.fromstring(client.get(facts["dzi"]).text)[0].attrib)
    assert sides == {"Width": "131072", "Height": str(min(98304, extent[1]))}
    folder = facts["dzi"].replace(".dzi", "_files")
    levels = (131072 - 1).bit_length()
    for level in range(levels + 1):
        assert client.get(f"{folder}/{level}/0_0.jpeg").status_code == 200
    whole = client.get(f"{facts['iiif']}/info.json").get_json()
    assert (whole["width"], whole["height"]) == extent, "IIIF names the levels that there are"


def test_the_slide_itself_offers_the_part(client: FlaskClient) -> None:
    facts = client.get("/api/slides/endless").get_json()
    assert facts["tiles"].startswith("/slides/endless_files/"), "the viewer's own, in coordinates of the whole"
    assert client.get(facts["dzi"]).status_code == 200
    info = client.get(f"{facts['iiif']}/info.json").get_json()
    assert (info["width"], info["height"]) == (131072, 98304)
    assert info["id"] == f"http://localhost{facts['iiif']}"


def test_a_viewer_finds_every_tile_that_the_descriptor_promises(client: FlaskClient) -> None:
    root = ElementTree.fromstring(client.get(f"/slides/{PART}.dzi").data)
    size = root[0].attrib
    width, height = int(size["Width"]), int(size["Height"])
    assert (width, height) == (WIDTH, HEIGHT)
    finest = (max(width, height) - 1).bit_length()
    for level in range(finest + 1):
        z_width, z_height = -(-width // 2 ** (finest - level)), -(-height // 2 ** (finest - level))
        col, row = (z_width - 1) // 256, (z_height - 1) // 256
        last = png(client, f"/slides/{PART}_files/{level}/{col}_{row}.png")
        assert last.shape[:2] == (z_height - 256 * row, z_width - 256 * col)
        assert client.get(f"/slides/{PART}_files/{level}/{col + 1}_{row}.png").status_code == 404
    assert client.get(f"/slides/{PART}_files/{finest + 1}/0_0.png").status_code == 404


@pytest.mark.parametrize("s", [0, 3, 9])
def test_its_pixels_are_the_slides(client: FlaskClient, service: TileService, s: int) -> None:
    tile = png(client, f"/slides/{PART}_files/{17 - s}/0_0.png")
    rect = Rect(X >> s, Y >> s, tile.shape[1], tile.shape[0])
    np.testing.assert_array_equal(tile, truth(service, s, rect))


def test_above_the_painted_levels_pixels_are_means(client: FlaskClient, service: TileService) -> None:
    top = truth(service, 9, Rect(X >> 9, Y >> 9, 256, 192)).astype(int)
    mean = (top[0::2, 0::2] + top[1::2, 0::2] + top[0::2, 1::2] + top[1::2, 1::2] + 2) >> 2
    np.testing.assert_array_equal(png(client, f"/slides/{PART}_files/7/0_0.png"), mean)
    assert png(client, f"/slides/{PART}_files/0/0_0.png").shape == (1, 1, 3)


def test_iiif_of_a_part(client: FlaskClient, service: TileService) -> None:
    info = client.get(f"/iiif/3/{PART}/info.json").get_json()
    assert info["sizes"], "a viewer begins with one of them"
    for size in info["sizes"]:
        image = png(client, f"/iiif/3/{PART}/full/{size['width']},{size['height']}/0/default.png")
        assert image.shape == (size["height"], size["width"], 3)
    assert client.get(f"/iiif/3/{PART}/full/!512,512/0/default.jpg").status_code == 200
    field = png(client, f"/iiif/3/{PART}/1024,512,300,200/max/0/default.png")
    np.testing.assert_array_equal(field, truth(service, 0, Rect(X + 1024, Y + 512, 300, 200)))
    link = client.get(f"/iiif/3/{PART}/full/64,/0/default.jpg").headers["Link"]
    assert f"<http://localhost/iiif/3/{PART}/full/64,48/0/default.jpg>" in link


def test_the_same_place_of_two_parts_are_two_pictures_to_caches(client: FlaskClient) -> None:
    other = f"endless@{X + 512},{Y},{WIDTH},{HEIGHT}"
    for path in ("/slides/{}_files/9/0_0.png", "/iiif/3/{}/0,0,256,256/max/0/default.png"):
        tags = {client.get(path.format(part)).headers["ETag"] for part in (PART, other)}
        assert len(tags) == 2
        tag = client.get(path.format(PART)).headers["ETag"]
        assert client.get(path.format(PART), headers={"If-None-Match": tag}).status_code == 304
        assert client.get(path.format(other), headers={"If-None-Match": tag}).status_code == 200


def test_regions_in_20x_pixels_are_answered_anywhere_as_before(client: FlaskClient, service: TileService) -> None:
    field = png(client, "/iiif/3/endless/2000000000,5,300,200/max/0/default.png")
    np.testing.assert_array_equal(field, truth(service, 0, Rect(2_000_000_000, 5, 300, 200)))


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("", "X,Y,WIDTH,HEIGHT"),
        ("1,2,3", "X,Y,WIDTH,HEIGHT"),
        ("-512,0,1024,1024", "X,Y,WIDTH,HEIGHT"),
        ("1,0,1024,1024", "in steps of 512"),
        ("0,0,100,1024", "sides of 256 to 524288"),
        ("0,0,2147483648,2147483648", "sides of 256 to 524288"),
        ("2147483136,0,1024,1024", "within 2147483648 x 2147483648"),
    ],
)
def test_parts_that_cannot_be_are_refused(client: FlaskClient, part: str, words: str) -> None:
    for path in ("/slides/endless@{}.dzi", "/slides/endless@{}_files/3/0_0.jpeg", "/iiif/3/endless@{}/info.json"):
        answer = client.get(path.format(part))
        assert answer.status_code == 400
        assert words in answer.text


def test_a_slide_that_has_an_end_has_no_parts(client: FlaskClient) -> None:
    assert client.get("/slides/demo@0,0,1024,1024.dzi").status_code == 404

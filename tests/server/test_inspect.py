"""Facts about tiles, and painting a tile once more."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from everslide.model.geometry import TileIndex
from everslide.model.slide import Slide
from everslide.server.app import create_app
from everslide.server.painters import load_painters
from everslide.server.queue import PaintQueue
from everslide.server.slides import Catalogue, Entry
from everslide.server.tiles import TileService
from tests.server.stub import Studio, memory_stores


@pytest.fixture(scope="module")
def speckle(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A real painter without weights."""
    catalogue = Catalogue((Entry(Slide("demo", 7, 8192, 8192, model="speckle"), "Demo"),))
    service = TileService(catalogue, {"speckle": load_painters("speckle")}, memory_stores(), PaintQueue())
    return create_app(service, tmp_path_factory.mktemp("static")).test_client()


def test_facts_never_paint(client: FlaskClient, studio: Studio) -> None:
    facts = client.get("/api/slides/demo/tiles/17/12/9").json
    assert facts is not None
    assert (facts["cached"], facts["sha256"], facts["difference"]) == (False, None, None)
    assert (facts["scale"], facts["magnification"], facts["um_per_px"]) == (0, 20.0, 0.5)
    assert (facts["seed"], facts["model"]) == ("7", "stub")
    assert not studio.painted


def test_seeds_are_text(client: FlaskClient) -> None:
    facts = client.get("/api/slides/endless/tiles/31/12/9").json
    assert facts is not None
    assert facts["seed"] == str(2**63 + 1)


def test_children_agree_with_their_parent(speckle: FlaskClient) -> None:
    differences = []
    for level in (11, 12):
        for col in (0, 1):
            for row in (0, 1):
                assert speckle.get(f"/slides/demo_files/{level}/{col}_{row}.png").status_code == 200
        states = speckle.get(f"/api/slides/demo/tiles/{level}?cols=0-1&rows=0-1").json
        assert states is not None
        assert [(one["col"], one["row"]) for one in states["tiles"]] == [(0, 0), (1, 0), (0, 1), (1, 1)]
        differences = [one["difference"] for one in states["tiles"]]
    assert differences == [0, 0, 0, 0]


def test_a_difference_from_the_parent_is_seen(client: FlaskClient) -> None:
    """The stub's tiles do not agree with each other at all."""
    client.get("/slides/demo_files/16/0_0.png")
    client.get("/slides/demo_files/17/1_0.png")
    facts = client.get("/api/slides/demo/tiles/17/1/0").json
    assert facts is not None
    assert facts["cached"]
    assert facts["difference"] > 0


def test_painted_again_the_bytes_are_equal(speckle: FlaskClient) -> None:
    answer = speckle.post("/api/slides/demo/tiles/13/5/6").json
    assert answer is not None
    assert answer["equal"] is True
    assert answer["sha256"][0] == answer["sha256"][1]
    assert answer["largest_difference"] == 0
    assert answer["windows"] >= 4
    assert answer["denoiser_calls"] == answer["windows"]
    assert answer["steps"] == 1
    assert answer["milliseconds"] > 0
    assert len(answer["work"]) == answer["windows"]
    for window in answer["work"]:
        assert window["milliseconds"] > 0
        assert window["agreement_db"] > 30


def test_the_film_of_a_window(speckle: FlaskClient) -> None:
    answer = speckle.post("/api/slides/demo/tiles/13/2/3").json
    assert answer is not None
    assert [frame["title"] for frame in answer["film"]] == ["Parent", "Noise", "Detail", "Window", "Tile"]
    sizes = []
    for frame in answer["film"]:
        head, _, data = frame["image"].partition(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert b"SYNTHETIC" in image.info["comment"]
            sizes.append(image.size)
    assert sizes == [(320, 320)] * 4 + [(256, 256)]


def test_painted_again_in_earnest(client: FlaskClient, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tile is not taken from the cache, and where it comes out otherwise that is reported."""
    client.get("/slides/demo_files/17/3_4.png")
    assert studio.painted[TileIndex(0, 3, 4)] == 1
    monkeypatch.setattr("tests.server.stub.stub_pixels", lambda seed, tile: np.full((256, 256, 3), 9, np.uint8))
    answer = client.post("/api/slides/demo/tiles/17/3/4").json
    assert answer is not None
    assert studio.painted[TileIndex(0, 3, 4)] == 2
    assert answer["equal"] is False
    assert answer["largest_difference"] > 0
    assert answer["windows"] is answer["steps"] is None
    assert answer["work"] == answer["film"] == []


def test_what_was_painted_again_is_not_kept(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    before = client.get("/slides/demo_files/17/3_4.png").data
    monkeypatch.setattr("tests.server.stub.stub_pixels", lambda seed, tile: np.full((256, 256, 3), 9, np.uint8))
    client.post("/api/slides/demo/tiles/17/3/4")
    assert client.get("/slides/demo_files/17/3_4.png").data == before


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("17?cols=0-3", 400),
        ("17?cols=3-0&rows=0-0", 400),
        ("17?cols=0-20&rows=0-20", 400),
        ("17?cols=0-999999999999&rows=0-0", 400),
        ("17?cols=0-9999999999999999999&rows=0-0", 400),
        ("17?cols=a-b&rows=0-0", 400),
        ("17?cols=511-512&rows=0-0", 404),
        ("18?cols=0-0&rows=0-0", 404),
        ("17/512/0", 404),
        ("17/-1/0", 400),
        ("x/0/0", 400),
    ],
)
def test_addresses_are_checked(client: FlaskClient, address: str, status: int) -> None:
    assert client.get(f"/api/slides/demo/tiles/{address}").status_code == status

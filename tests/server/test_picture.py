"""A real picture as the parent of a slide."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from everslide.model.pyramid.wavelet import box_mean
from everslide.server.app import create_app
from everslide.server.documents import Documents
from everslide.server.encode import Pixels
from everslide.server.painters import load_painters
from everslide.server.queue import PaintQueue
from everslide.server.slides import Catalogue, demo_entries
from everslide.server.tiles import TileService
from tests.server.stub import memory_stores


def photograph(width: int, height: int) -> Pixels:
    """(height, width, 3): tissue-like colours with some grain."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:height, 0:width]
    waves = 150 + 50 * np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None] * np.array([0.5, 1.0, 0.6])
    pixels: Pixels = np.clip(waves + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)
    return pixels


def wish(pixels: Pixels, um_per_px: float, fmt: str = "PNG", **changes: Any) -> dict[str, Any]:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, fmt)
    picture = {"data": base64.b64encode(out.getvalue()).decode(), "um_per_px": um_per_px}
    return {"title": "From a picture", "seed": "5", "model": "speckle", "picture": picture} | changes


def made(folder: Path) -> tuple[FlaskClient, TileService]:
    service = TileService(
        Catalogue(demo_entries("speckle")), {"speckle": load_painters("speckle")}, memory_stores(), PaintQueue()
    )
    return create_app(service, folder, documents=Documents(folder)).test_client(), service


@pytest.fixture
def speckle(tmp_path: Path) -> FlaskClient:
    return made(tmp_path)[0]


def png(client: FlaskClient, level: int, col: int, row: int) -> Pixels:
    answer = client.get(f"/slides/from-a-picture_files/{level}/{col}_{row}.png")
    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("spelling", ["lines", "data URL"])
def test_a_picture_may_come_in_lines_and_as_a_data_url(speckle: FlaskClient, spelling: str) -> None:
    body = wish(photograph(60, 60), 4.0)
    data = body["picture"]["data"]
    lines = "\r\n".join(data[at : at + 76] for at in range(0, len(data), 76)) + "\n"
    body["picture"]["data"] = lines if spelling == "lines" else f"data:image/png;charset=x;base64,{data}"
    assert speckle.post("/api/slides", json=body).status_code == 201


def test_the_picture_is_the_parent_pixel_for_pixel(speckle: FlaskClient) -> None:
    picture = photograph(300, 280)
    assert speckle.post("/api/slides", json=wish(picture, 4.0)).status_code == 201
    facts = speckle.get("/api/slides/from-a-picture").json
    assert facts is not None
    assert (facts["width"], facts["height"]) == (300 * 8, 280 * 8)
    level = facts["max_level"] - 3  # 4 um per pixel is scale 3
    parent = png(speckle, level, 0, 0)
    assert np.array_equal(parent, picture[:256, :256])
    assert np.array_equal(png(speckle, level, 1, 1), picture[256:, 256:])
    children = np.concatenate(
        [np.concatenate([png(speckle, level + 1, col, row) for col in (0, 1)], axis=1) for row in (0, 1)]
    )
    assert np.array_equal(box_mean(children), parent)
    assert children.std() > parent.std(), "detail was painted"


def test_another_scale_is_resampled_to_the_nearest(speckle: FlaskClient) -> None:
    speckle.post("/api/slides", json=wish(photograph(300, 280), 5.0, "JPEG"))
    facts = speckle.get("/api/slides/from-a-picture").json
    assert facts is not None
    assert (facts["width"], facts["height"]) == (375 * 8, 350 * 8)


def test_the_slide_is_the_same_after_a_restart(tmp_path: Path) -> None:
    client, service = made(tmp_path)
    client.post("/api/slides", json=wish(photograph(300, 280), 4.0))
    before = client.get("/api/slides/from-a-picture").json
    tile = png(client, 12, 3, 4)
    service.close()
    client, service = made(tmp_path)
    assert client.get("/api/slides/from-a-picture").json == before
    assert np.array_equal(png(client, 12, 3, 4), tile)
    service.close()


def test_another_picture_has_another_fingerprint(speckle: FlaskClient) -> None:
    prints = set()
    for shade in (0, 1):
        body = wish(photograph(300, 280) + np.uint8(shade), 4.0, title=f"P{shade}")
        name = speckle.post("/api/slides", json=body).json["id"]  # type: ignore[index]
        prints.add(speckle.get(f"/api/slides/{name}").json["fingerprint"])  # type: ignore[index]
    assert len(prints) == 2


@pytest.mark.parametrize(
    "picture",
    [
        7,
        {},
        {"data": "%%%", "um_per_px": 4},
        {"data": base64.b64encode(b"not a picture").decode(), "um_per_px": 4},
        {"data": None, "um_per_px": 4},
        wish(photograph(300, 280), 0.5)["picture"],
        wish(photograph(300, 280), 500)["picture"],
        wish(photograph(300, 280), 4)["picture"] | {"um_per_px": "4"},
        wish(photograph(20, 20), 1)["picture"],
        wish(photograph(8200, 4), 4)["picture"],
    ],
)
def test_what_is_no_picture_is_refused(speckle: FlaskClient, picture: object) -> None:
    body = wish(photograph(4, 4), 4.0, picture=picture)
    assert speckle.post("/api/slides", json=body).status_code == 400
    assert speckle.get("/api/slides/from-a-picture").status_code == 404

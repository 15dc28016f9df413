"""Slides that people make while the server runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from everslide.server.app import create_app
from everslide.server.documents import Documents
from tests.server.stub import Studio, make_service

WISH = {"title": "My Slide!", "seed": str(2**64 - 1), "model": "stub", "width": 20000, "height": 10000}


def listed(client: FlaskClient) -> dict[str, dict[str, Any]]:
    answer = client.get("/api/slides").json
    assert answer is not None
    return {slide["id"]: slide for slide in answer["slides"]}


def test_a_slide_is_made_and_served(client: FlaskClient) -> None:
    answer = client.post("/api/slides", json=WISH)
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["id"] == "my-slide"
    made = listed(client)["my-slide"]
    assert (made["title"], made["seed"], made["width"], made["height"]) == ("My Slide!", 2**64 - 1, 20000, 10000)
    assert client.get(f"/slides/my-slide_files/{made['max_level']}/3_4.png").status_code == 200


def test_an_unbounded_slide(client: FlaskClient) -> None:
    client.post("/api/slides", json={"title": "Far", "seed": "5", "model": "stub", "unbounded": True})
    assert listed(client)["far"]["unbounded"] is True
    assert listed(client)["far"]["width"] == 2**31


def test_equal_titles_get_names_of_their_own(client: FlaskClient) -> None:
    ids = [client.post("/api/slides", json=WISH).json["id"] for _ in range(3)]  # type: ignore[index]
    assert ids == ["my-slide", "my-slide-2", "my-slide-3"]


@pytest.mark.parametrize(
    "change",
    [
        {"title": " "},
        {"title": 7},
        {"seed": 7},
        {"seed": "-1"},
        {"seed": str(2**64)},
        {"seed": "٣"},
        {"model": "other"},
        {"width": 255},
        {"width": "20000"},
        {"height": 2**41},
        {"unbounded": "yes"},
    ],
)
def test_what_cannot_be_made_is_refused(client: FlaskClient, change: dict[str, Any]) -> None:
    before = listed(client).keys()
    assert client.post("/api/slides", json=WISH | change).status_code == 400
    assert listed(client).keys() == before


def test_slides_survive_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for _ in range(2):
        service = make_service(Studio())
        client = create_app(service, tmp_path, documents=Documents(folder)).test_client()
        if "my-slide" not in listed(client):
            client.post("/api/slides", json=WISH)
        seed = listed(client)["my-slide"]["seed"]
        service.close()
    assert seed == 2**64 - 1


@pytest.mark.parametrize(
    "record", [{"seed": "7"}, {**WISH, "model": "gone", "unbounded": False}, 7, {**WISH, "width": 1}]
)
def test_a_record_that_cannot_be_served_does_not_stop_the_server(
    tmp_path: Path, record: object, caplog: pytest.LogCaptureFixture
) -> None:
    documents = Documents(tmp_path / "data")
    documents.change("slides", "made", lambda kept: kept.update(old=record))
    service = make_service(Studio())
    client = create_app(service, tmp_path, documents=documents).test_client()
    assert "old" not in listed(client)
    assert "old" in caplog.text
    assert documents.get("slides", "made")["old"] == record
    service.close()


def test_only_models_that_are_served_are_offered(client: FlaskClient) -> None:
    answer = client.get("/api/models").json
    assert answer is not None
    assert [model["name"] for model in answer["models"]] == ["stub"]


def test_the_gallery_shows_the_whole_slide(client: FlaskClient) -> None:
    answer = client.get("/api/gallery/stub/12.jpeg")
    assert answer.mimetype == "image/jpeg"
    with Image.open(io.BytesIO(answer.data)) as image:
        assert image.size == (256, 192)
        assert b"SYNTHETIC" in image.info["comment"]
    assert client.get("/api/gallery/stub/13.jpeg").data != answer.data
    assert client.get("/api/gallery/other/12.jpeg").status_code == 404
    assert client.get(f"/api/gallery/stub/{2**64}.jpeg").status_code == 400

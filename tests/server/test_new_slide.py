"""Slides that people make while the server runs."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from everslide.model.geometry import TileIndex
from everslide.model.sampling_config import SamplingCapabilities
from everslide.server.app import create_app
from everslide.server.documents import Documents
from tests.model.pictures import tissue
from tests.server.stub import TOP_SCALE, Studio, make_service

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
    ("title", "name"),
    [
        ("Größe", "grosse"),
        ("Bj\u00f6rn", "bjorn"),
        ("Bjo\u0308rn", "bjorn"),
        ("\u202eabc", "abc"),
        ("\N{MICROSCOPE} \u0410", "slide"),
        ("CON", "con-slide"),
        ("nul", "nul-slide"),
        ("Com1", "com1-slide"),
        ("console", "console"),
        ("x" * 49 + " yz", "x" * 49),
    ],
)
def test_the_name_of_a_slide_is_made_of_its_title_and_good_for_a_file_everywhere(
    client: FlaskClient, title: str, name: str
) -> None:
    assert client.post("/api/slides", json=WISH | {"title": title}).json["id"] == name  # type: ignore[index]


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


def picture(pixels: Any) -> str:
    """As base64 of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_slide_like_a_picture(tmp_path: Path) -> None:
    """It keeps its look over a restart, is painted unlike the plain one, and names another fingerprint."""
    like = {"data": picture(tissue(300, 300, 1)), "um_per_px": 0.5}
    found = []
    for _ in range(2):
        studio = Studio(steerable=True)
        service = make_service(studio)
        client = create_app(service, tmp_path, documents=Documents(tmp_path / "data")).test_client()
        if "my-slide" not in listed(client):
            assert client.post("/api/slides", json=WISH | {"like": like}).status_code == 201
            client.post("/api/slides", json=WISH | {"title": "Plain"})
        reference = service.catalogue["my-slide"].reference
        assert reference is not None and service.catalogue["plain"].reference is None
        slides = listed(client)
        found.append((reference.digest, slides["my-slide"]["fingerprint"]))
        assert slides["my-slide"]["fingerprint"] != slides["plain"]["fingerprint"]
        assert client.get(f"/slides/my-slide_files/{slides['my-slide']['max_level']}/3_4.png").status_code == 200
        assert {one.digest for one in studio.references} == {reference.digest}
        service.close()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        (7, "field 'like' as an object"),
        ({"data": "!", "um_per_px": 0.5}, "as base64"),
        ({"data": picture(tissue(300, 300)), "um_per_px": 9}, "'like.um_per_px' in 0.1 .. 1.3"),
        ({"data": picture(tissue(60, 60)), "um_per_px": 0.5}, "at least 128 a side"),
        ({"data": picture(np.full((300, 300, 3), 244, np.uint8)), "um_per_px": 0.5}, "without tissue"),
    ],
)
def test_references_that_are_refused(tmp_path: Path, like: object, expected: str) -> None:
    service = make_service(Studio(steerable=True))
    client = create_app(service, tmp_path).test_client()
    answer = client.post("/api/slides", json=WISH | {"like": like})
    assert answer.status_code == 400 and expected in answer.get_data(as_text=True)
    assert "my-slide" not in listed(client)
    service.close()


def test_a_model_that_heeds_no_reference_is_given_none(client: FlaskClient) -> None:
    answer = client.post("/api/slides", json=WISH | {"like": {"data": picture(tissue(300, 300)), "um_per_px": 0.5}})
    assert answer.status_code == 400 and "no reference picture" in answer.get_data(as_text=True)
    (model,) = client.get("/api/models").json["models"]  # type: ignore[index]
    assert (model["name"], model["top_scale"], model["steerable"]) == ("stub", TOP_SCALE, False)


OFFER = SamplingCapabilities(4, (2, 4, 8), 4.0)


def test_steps_and_guidance_are_offered_where_the_model_has_a_choice(tmp_path: Path, client: FlaskClient) -> None:
    (model,) = client.get("/api/models").json["models"]  # type: ignore[index]
    assert (model["steps"], model["own_steps"], model["guidance"]) == ([], None, 1)
    service = make_service(Studio(capabilities=OFFER))
    (model,) = create_app(service, tmp_path).test_client().get("/api/models").json["models"]  # type: ignore[index]
    assert (model["steps"], model["own_steps"], model["guidance"]) == ([2, 4, 8], 4, 4)
    service.close()


def test_a_slide_of_other_steps_and_guidance(tmp_path: Path) -> None:
    """It keeps them over a restart, says them, and shares no address of a tile with a slide of other ones."""
    found = []
    for _ in range(2):
        service = make_service(Studio(capabilities=OFFER))
        client = create_app(service, tmp_path, documents=Documents(tmp_path / "data")).test_client()
        if "plain" not in listed(client):
            for title, sampling in (("plain", {}), ("two", {"steps": 2}), ("guided", {"steps": 8, "guidance": 2.5})):
                wish: dict[str, object] = {**WISH, "title": title, **sampling}
                assert client.post("/api/slides", json=wish).status_code == 201
        slides = listed(client)
        choices = {name: (slides[name]["steps"], slides[name]["guidance"]) for name in ("plain", "two", "guided")}
        assert choices == {"plain": (None, 1), "two": (2, 1), "guided": (8, 2.5)}
        etags = [client.get(f"/slides/{name}_files/15/3_4.png").headers["ETag"] for name in choices]
        assert len(set(etags)) == len({slides[name]["fingerprint"] for name in choices}) == 3
        keys = {service.slide(name).tiles.key(TileIndex(0, 3, 4)).name for name in choices}
        assert len(keys) == 3
        tile = client.get("/slides/guided_files/15/3_4.png").data
        assert b"stub seed 18446744073709551615, 8 steps, guidance 2.5" in tile
        found.append((etags, keys))
        service.close()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ({"steps": "2"}, "'steps' as a whole number"),
        ({"steps": True}, "'steps' as a whole number"),
        ({"steps": 2.0}, "'steps' as a whole number"),
        ({"steps": 0}, "expected 1 or more"),
        ({"steps": 3}, "expected one of 2, 4, 8"),
        ({"guidance": "2"}, "'guidance' as a number"),
        ({"guidance": 0.5}, "'guidance' in 1 .. 100"),
        ({"guidance": 5}, "expected 1 to 4"),
    ],
)
def test_steps_and_guidance_that_are_refused(tmp_path: Path, sampling: dict[str, Any], expected: str) -> None:
    service = make_service(Studio(capabilities=OFFER))
    client = create_app(service, tmp_path).test_client()
    answer = client.post("/api/slides", json=WISH | sampling)
    assert answer.status_code == 400 and expected in answer.get_data(as_text=True)
    assert "my-slide" not in listed(client)
    service.close()


def test_a_model_without_a_choice_is_left_alone(client: FlaskClient) -> None:
    answer = client.post("/api/slides", json=WISH | {"steps": 2})
    assert answer.status_code == 400
    assert "stub has no choice of steps or guidance" in answer.get_data(as_text=True)
    assert client.post("/api/slides", json=WISH | {"steps": None, "guidance": 1}).status_code == 201

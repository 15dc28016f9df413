"""Slides that people made are renamed, deleted and brought back; those of the command line are not."""

from __future__ import annotations

import base64
import io
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from everslide.server import slide_routes
from everslide.server.app import create_app
from everslide.server.documents import Documents
from everslide.server.errors import StorageError
from everslide.server.made import MAX_DELETED
from everslide.server.settings import Settings
from everslide.server.tiles import TileService
from tests.server.stub import Studio, make_service

WISH = {"title": "By mistake", "seed": "5", "model": "stub", "width": 20000, "height": 10000}
POINT = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}


@contextmanager
def serving(folder: Path) -> Iterator[FlaskClient]:
    """A server on a folder of data: another one each time, as after a restart."""
    service = make_service(Studio())
    yield create_app(service, folder, documents=Documents(folder / "data")).test_client()
    service.close()


def titles(client: FlaskClient) -> dict[str, str]:
    answer = client.get("/api/slides").json
    assert answer is not None
    return {slide["id"]: slide["title"] for slide in answer["slides"] if slide["made"]}


def make(client: FlaskClient, **more: Any) -> str:
    answer = client.post("/api/slides", json=WISH | more)
    assert answer.json is not None
    return str(answer.json["id"])


def test_a_slide_is_renamed_and_keeps_its_id_and_its_tiles(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        name = make(client)
        before = client.get(f"/slides/{name}_files/14/3_4.png")
        assert client.patch(f"/api/slides/{name}", json={"title": " Lymph node "}).status_code == 200
        assert titles(client) == {name: "Lymph node"}
        after = client.get(f"/slides/{name}_files/14/3_4.png")
        assert (after.data, after.headers["ETag"]) == (before.data, before.headers["ETag"])
    with serving(tmp_path) as client:
        assert titles(client) == {name: "Lymph node"}


@pytest.mark.parametrize(
    "body", [{}, {"title": ""}, {"title": 7}, {"title": "x" * 81}, {"title": "\u200b \0"}, {"title": "\ud800"}]
)
def test_what_is_no_title_is_refused(client: FlaskClient, body: dict[str, object]) -> None:
    name = make(client)
    assert client.patch(f"/api/slides/{name}", json=body).status_code == 400
    assert titles(client) == {name: "By mistake"}


def test_a_title_hides_and_turns_nothing(client: FlaskClient) -> None:
    name = make(client, title="\u202elamroN\0\n tissue")
    assert titles(client) == {name: "lamroN tissue"}
    assert client.patch(f"/api/slides/{name}", json={"title": "\u2066Lymph\tnode 😀"}).status_code == 200
    assert titles(client) == {name: "Lymph node 😀"}


def test_a_slide_that_is_deleted_meanwhile_is_exported_to_the_end_and_its_stream_ends(
    service: TileService, studio: Studio, static: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide_routes, "HEARTBEAT_SECONDS", 0.05)
    client = create_app(service, static).test_client()
    name = make(client)
    stream = client.get(f"/slides/{name}/events")
    told = stream.iter_encoded()
    assert b"progress" in next(told)
    studio.gate.clear()
    answers = []
    region = {"level": 15, "x": 0, "y": 0, "width": 300, "height": 300}
    asking = threading.Thread(
        target=lambda: answers.append(client.application.test_client().post(f"/slides/{name}/export", json=region))
    )
    asking.start()
    assert studio.started.wait(30)
    assert client.delete(f"/api/slides/{name}").status_code == 204
    studio.gate.set()
    asking.join(30)
    assert [answer.status_code for answer in answers] == [200]
    assert Image.open(io.BytesIO(answers[0].data)).size == (300, 320)
    assert len(list(told)) < 100, "the stream ends"


def test_a_slide_is_deleted_and_brought_back_with_its_annotations(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        name = make(client)
        client.put(f"/api/slides/{name}/annotations/a", json=POINT)
        assert client.delete(f"/api/slides/{name}").status_code == 204
        assert titles(client) == {}
        for address in (f"/api/slides/{name}", f"/slides/{name}.dzi", f"/slides/{name}_files/14/3_4.png"):
            assert client.get(address).status_code == 404
        assert client.delete(f"/api/slides/{name}").status_code == 404
    with serving(tmp_path) as client:
        assert titles(client) == {}
        assert client.post(f"/api/slides/{name}/restore").status_code == 200
        assert titles(client) == {name: "By mistake"}
        answer = client.get(f"/api/slides/{name}/annotations").json
        assert answer is not None and len(answer["features"]) == 1
        assert client.post(f"/api/slides/{name}/restore").status_code == 404
    with serving(tmp_path) as client:
        assert titles(client) == {name: "By mistake"}


def test_a_deleted_slide_is_gone_however_often_it_was_seen(client: FlaskClient) -> None:
    """Answers that are remembered must not outlive their slide."""
    name = make(client)
    addresses = [f"/slides/{name}_files/14/3_4.png", f"/slides/{name}_files/14/3_4.jpeg"]
    for address in addresses * 2:
        assert client.get(address).status_code == 200
    client.delete(f"/api/slides/{name}")
    assert {client.get(address).status_code for address in addresses} == {404}
    client.post(f"/api/slides/{name}/restore")
    assert {client.get(address).status_code for address in addresses} == {200}


def test_a_new_slide_never_takes_the_place_of_one_that_can_be_brought_back(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        first = make(client, height=5000)
        client.put(f"/api/slides/{first}/annotations/a", json=POINT)
        client.delete(f"/api/slides/{first}")
        second = make(client)
        assert second != first
        assert client.get(f"/api/slides/{second}/annotations").json["features"] == []  # type: ignore[index]
        client.delete(f"/api/slides/{second}")
        for name, height in ((first, 5000), (second, 10000)):
            assert client.post(f"/api/slides/{name}/restore").status_code == 200
            assert client.get(f"/api/slides/{name}").json["height"] == height  # type: ignore[index]


def test_a_deleted_slide_is_not_brought_back_beside_one_of_its_name(tmp_path: Path) -> None:
    Documents(tmp_path / "data").change("slides", "deleted", lambda kept: kept.update({"demo": GOOD}))
    with serving(tmp_path) as client:
        assert client.post("/api/slides/demo/restore").status_code == 409


def test_a_new_slide_never_takes_the_place_of_one_whose_model_is_not_served_now(tmp_path: Path) -> None:
    other = GOOD | {"model": "gone"}
    Documents(tmp_path / "data").change("slides", "made", lambda kept: kept.update({"by-mistake": other}))
    with serving(tmp_path) as client:
        assert make(client) == "by-mistake-2"
    assert Documents(tmp_path / "data").get("slides", "made")["by-mistake"] == other


@pytest.mark.parametrize("full", ["made", "deleted"])
def test_what_could_not_be_kept_is_not_shown(tmp_path: Path, full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk: the page gets an error, so nothing may look as if it had not."""
    with serving(tmp_path) as client:
        name = make(client)
        write = Documents._write

        def no_room(self: Documents, kind: str, document: str, text: bytes) -> None:
            if document == full:
                raise StorageError("room", "none", "free the disk")
            write(self, kind, document, text)

        monkeypatch.setattr(Documents, "_write", no_room)
        answers = [client.delete(f"/api/slides/{name}")]
        if full == "made":
            answers.append(client.patch(f"/api/slides/{name}", json={"title": "Other"}))
            answers.append(client.post("/api/slides", json=WISH))
        assert {answer.status_code for answer in answers} == {507}
        assert titles(client) == {name: "By mistake"}


@pytest.mark.parametrize(
    "record",
    [
        {"s": -1, "png": "SOUND"},
        {"s": 40, "png": "SOUND"},
        {"s": 4, "png": "ENORMOUS"},
        {"s": 4, "png": "no picture"},
        {"s": 4, "png": 7},
        {"s": "4"},
        [],
    ],
)
def test_an_odd_picture_costs_its_slide_and_not_the_server(tmp_path: Path, record: Any) -> None:
    one = io.BytesIO()
    Image.new("RGB", (300, 300)).save(one, "PNG")
    before, after = (struct.pack(">4sIIBBBBB", b"IHDR", side, side, 8, 2, 0, 0, 0) for side in (300, 60_000))
    small, large = (each + zlib.crc32(each).to_bytes(4, "big") for each in (before, after))
    enormous = one.getvalue().replace(small, large)
    data = {"SOUND": one.getvalue(), "ENORMOUS": enormous}
    if isinstance(record, dict) and record.get("png") in data:
        record = record | {"png": base64.b64encode(data[record["png"]]).decode()}
    (tmp_path / "data" / "pictures").mkdir(parents=True)
    (tmp_path / "data" / "pictures" / "odd-1.json").write_text(json.dumps(record))
    records = {"good": GOOD, "odd": GOOD | {"picture": True}}
    Documents(tmp_path / "data").change("slides", "made", lambda kept: kept.update(records))
    with serving(tmp_path) as client:
        assert titles(client).keys() == {"good"}


def test_slides_that_the_server_was_started_with_stay(client: FlaskClient) -> None:
    for answer in (client.delete("/api/slides/demo"), client.patch("/api/slides/demo", json={"title": "mine"})):
        assert answer.status_code == 409
        assert answer.json is not None and "was started with" in answer.json["error"]["found"]
    assert client.delete("/api/slides/never").status_code == 404
    assert client.get("/api/slides/demo").json["title"] == "Demo"  # type: ignore[index]


def test_the_last_deleted_slides_can_be_brought_back(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        names = [make(client) for _ in range(MAX_DELETED + 1)]
        for name in names:
            client.delete(f"/api/slides/{name}")
        assert client.post(f"/api/slides/{names[0]}/restore").status_code == 404
        assert client.post(f"/api/slides/{names[1]}/restore").status_code == 200


GOOD = {"title": "t", "seed": "1", "width": 4096, "height": 4096, "unbounded": False, "model": "stub"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"title": None}, "'title'"),
        ({"title": " "}, "a title"),
        ({"seed": 1}, "'seed' as a text"),
        ({"seed": "-1"}, "a seed"),
        ({"width": "wide"}, "'width'"),
        ({"width": 1e300}, "'width'"),
        ({"height": 1}, "height 1 px"),
        ({"unbounded": "no"}, "'unbounded'"),
        ({"model": ["stub"]}, "'model'"),
        ({"model": "gone"}, "'gone' is not served"),
        ({"steps": "two"}, ""),
        ({"steps": 3}, ""),
        ({"guidance": None}, ""),
        ({"picture": True}, "field 's'"),
        ({"reference": 7}, ""),
    ],
)
def test_a_slip_in_a_record_costs_its_slide_and_is_reported_in_one_line(
    tmp_path: Path, change: dict[str, object], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    records = {"good": GOOD, "bad": GOOD | change, "../odd": GOOD, "last": GOOD}
    Documents(tmp_path / "data").change("slides", "made", lambda kept: kept.update(records))
    with serving(tmp_path) as client:
        assert titles(client).keys() == {"good", "last"}
    logged = [record.getMessage() for record in caplog.records]
    (line,) = [each for each in logged if "'bad'" in each]
    assert "made.json" in line and why in line and "\n" not in line
    assert Documents(tmp_path / "data").get("slides", "made") == records, "nothing of it is lost"


def test_slides_that_cannot_be_offered_are_told_with_their_files(tmp_path: Path) -> None:
    records = {"good": GOOD, "bad": GOOD | {"width": "wide"}, "blind": GOOD | {"picture": True}}
    documents = Documents(tmp_path / "data")
    documents.change("slides", "made", lambda kept: kept.update(records))
    (tmp_path / "data" / "slides" / "deleted.json").write_text("{half")
    with serving(tmp_path) as client:
        answer = client.get("/api/slides").json
        assert answer is not None
        told = {one["id"]: one for one in answer["set_aside"]}
        made = tmp_path / "data" / "slides" / "made.json"
        assert told["bad"]["file"] == told["blind"]["file"] == str(made)
        assert "'width'" in told["bad"]["why"]
        assert str(tmp_path / "data" / "pictures" / "blind-1.json") in told["blind"]["why"]
        torn = [one for one in told.values() if one["file"].endswith("deleted.json")]
        assert torn and all(one["id"].startswith("line 1") for one in torn)
        client.delete("/api/slides/good")
        after = client.get("/api/slides").json
        assert after is not None
        assert {"deleted.set-aside-1.json", "bad"} <= {one["id"] for one in after["set_aside"]}


def test_a_file_of_slides_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    made = tmp_path / "data" / "slides" / "made.json"
    made.mkdir(parents=True)
    with serving(tmp_path) as client:
        answer = client.get("/api/slides").json
        assert answer is not None
        assert [(one["id"], one["file"]) for one in answer["set_aside"]] == [("made.json", str(made))]
        assert client.get("/api/slides/demo").status_code == 200


def test_who_has_no_token_learns_that_something_is_set_aside_and_nothing_of_folders(tmp_path: Path) -> None:
    documents = Documents(tmp_path / "data")
    documents.change("slides", "made", lambda kept: kept.update({"bad": GOOD | {"width": "wide"}}))
    for kind in ("annotations", "tours"):
        documents.change(kind, "demo-7", lambda kept: kept.update({"odd": 7}))
    service = make_service(Studio())
    settings = Settings(cache=None, token="secret")
    client = create_app(service, tmp_path, settings, documents).test_client()
    for address in ("/api/slides", "/api/slides/demo/annotations", "/api/slides/demo/tours"):
        text = client.get(address).text
        assert "set_aside" in text and str(tmp_path) not in text and ".json" in text
        assert str(tmp_path) in client.get(address, headers={"Authorization": "Bearer secret"}).text
    service.close()

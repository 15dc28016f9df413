from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from everslide.server.app import create_app
from everslide.server.documents import Documents
from everslide.server.tiles import TileService

STOP = {"title": "A duct", "text": "Style at the lumen.", "x": 2**33 + 0.5, "y": 700, "magnification": 5}


def tour(**changes: Any) -> dict[str, Any]:
    return {"title": "First look", "stops": [STOP]} | changes


def listed(client: FlaskClient, slide: str = "demo") -> list[dict[str, Any]]:
    answer = client.get(f"/api/slides/{slide}/tours")
    assert answer.status_code == 200
    assert answer.json is not None
    tours: list[dict[str, Any]] = answer.json["tours"]
    return tours


def test_a_tour_is_kept_with_its_slide(client: FlaskClient) -> None:
    assert client.put("/api/slides/demo/tours/t1", json=tour()).status_code == 200
    assert listed(client) == [{"id": "t1", "title": "First look", "stops": [STOP | {"rotation": 0.0}]}]
    assert listed(client, "small") == []


def test_titles_are_one_line_that_turns_nothing_beside_it(client: FlaskClient) -> None:
    odd = tour(title="\u202eFirst\nlook\u2066", stops=[STOP | {"title": "A\tduct\u202e", "text": "One\ntwo"}])
    client.put("/api/slides/demo/tours/t1", json=odd)
    (kept,) = listed(client)
    assert (kept["title"], kept["stops"][0]["title"], kept["stops"][0]["text"]) == ("First look", "A duct", "One\ntwo")


def test_a_tour_is_replaced_and_removed(client: FlaskClient) -> None:
    client.put("/api/slides/demo/tours/t1", json=tour())
    client.put("/api/slides/demo/tours/t1", json=tour(title="Second look", stops=[]))
    assert [(one["title"], one["stops"]) for one in listed(client)] == [("Second look", [])]
    assert client.delete("/api/slides/demo/tours/t1").status_code == 204
    assert client.delete("/api/slides/demo/tours/t1").status_code == 404
    assert listed(client) == []


def test_two_people_who_change_the_same_tour_do_not_overwrite_each_other(client: FlaskClient) -> None:
    address = "/api/slides/demo/tours/t1"
    first = client.put(address, json=tour()).headers["ETag"]
    answer = client.get("/api/slides/demo/tours").json
    assert answer is not None and answer["versions"] == {"t1": first.strip('"')}
    mine = client.put(address, json=tour(title="Mine"), headers={"If-Match": first})
    assert mine.status_code == 200 and mine.headers["ETag"] != first
    theirs = client.put(address, json=tour(title="Theirs"), headers={"If-Match": first})
    assert theirs.status_code == 412
    error = theirs.get_json()["error"]
    assert error["expected"] == "the tour as it was when it was loaded"
    assert error["found"] == "one that somebody changed meanwhile"
    assert client.delete(address, headers={"If-Match": first}).status_code == 412
    assert listed(client)[0]["title"] == "Mine"
    assert client.delete(address, headers={"If-Match": mine.headers["ETag"]}).status_code == 204


def test_fields_nobody_knows_are_not_kept(client: FlaskClient) -> None:
    client.put("/api/slides/demo/tours/t1", json=tour(script="<b>", stops=[STOP | {"extra": 1}]))
    assert listed(client)[0].keys() == {"id", "title", "stops"}
    assert listed(client)[0]["stops"][0].keys() == {*STOP, "rotation"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        tour(title=7),
        tour(title="x" * 201),
        tour(stops="all"),
        tour(stops=[7]),
        tour(stops=[STOP] * 201),
        tour(stops=[STOP | {"x": "left"}]),
        tour(stops=[STOP | {"x": True}]),
        tour(stops=[STOP | {"x": 1e17}]),
        tour(stops=[STOP | {"magnification": 0}]),
        tour(stops=[STOP | {"rotation": 361}]),
        tour(stops=[{"title": "nowhere"}]),
    ],
)
def test_what_is_no_tour_is_refused(client: FlaskClient, body: dict[str, Any]) -> None:
    assert client.put("/api/slides/demo/tours/t1", json=body).status_code == 400
    assert listed(client) == []


def test_what_is_stored_and_odd_does_not_lame_the_tours_of_a_slide(
    service: TileService, static: Path, tmp_path: Path
) -> None:
    documents = Documents(tmp_path / "data")
    stop = {"title": "s", "text": "", "x": 1.0, "y": 2.0, "magnification": 5.0, "rotation": 0.0}
    odd = {
        "no-tour": 7,
        "no-stops": {"title": "t"},
        "no-number": {"title": "t", "stops": [stop | {"x": float("nan")}]},
        "no-place": {"title": "t", "stops": [stop, {"title": "half"}]},
        "ä": {"title": "t", "stops": []},
    }
    documents.change("tours", "demo-7", lambda kept: kept.update(odd | {"a": {"title": "sound", "stops": [stop]}}))
    client = create_app(service, static, documents=documents).test_client()
    answer = client.get("/api/slides/demo/tours").json
    assert answer is not None
    assert [(tour["id"], tour["title"]) for tour in answer["tours"]] == [("a", "sound")]
    assert {one["id"] for one in answer["set_aside"]} == odd.keys()
    assert client.put("/api/slides/demo/tours/b", json={"title": "new", "stops": []}).status_code == 200
    assert documents.get("tours", "demo-7").keys() == odd.keys() | {"a", "b"}, "nothing is lost on the disk"


def test_a_torn_file_of_tours_costs_the_tour_that_it_ends_in(
    service: TileService, static: Path, tmp_path: Path
) -> None:
    documents = Documents(tmp_path / "data")
    tours = {key: {"title": key, "stops": []} for key in "abc"}
    documents.change("tours", "demo-7", lambda kept: kept.update(tours))
    path = tmp_path / "data" / "tours" / "demo-7.json"
    path.write_bytes(torn := path.read_bytes()[:-20])
    client = create_app(service, static, documents=documents).test_client()
    answer = client.get("/api/slides/demo/tours").json
    assert answer is not None
    assert [tour["id"] for tour in answer["tours"]] == ["a", "b"] and answer["set_aside"]
    assert client.put("/api/slides/demo/tours/d", json={"title": "new", "stops": []}).status_code == 200
    assert path.with_name("demo-7.set-aside-1.json").read_bytes() == torn

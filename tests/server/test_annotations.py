"""Annotations over HTTP: GeoJSON as QuPath writes it comes back as it was; everything else is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from everslide.server.app import create_app
from everslide.server.documents import Documents
from everslide.server.tiles import TileService

BOX = [[1000.0, 2000.0], [1500.5, 2000.0], [1500.5, 2600.0], [1000.0, 2600.0], [1000.0, 2000.0]]
QUPATH = {
    "type": "Feature",
    "id": "0b7a3e6a-6d5f-4a53-9d0c-9f2f3f0d3c11",
    "geometry": {"type": "Polygon", "coordinates": [BOX]},
    "properties": {
        "objectType": "annotation",
        "name": "gland",
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "isLocked": True,
        "measurements": {"Area um^2": 75075.0},
    },
}
"""As QuPath 0.5 exports a rectangle."""


def feature(kind: str, coordinates: Any, key: str = "a") -> dict[str, Any]:
    return {"type": "Feature", "id": key, "geometry": {"type": kind, "coordinates": coordinates}, "properties": {}}


def listed(client: FlaskClient, slide: str = "demo") -> list[dict[str, Any]]:
    answer = client.get(f"/api/slides/{slide}/annotations")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json is not None
    assert answer.json["type"] == "FeatureCollection"
    features: list[dict[str, Any]] = answer.json["features"]
    return features


def test_a_feature_of_qupath_comes_back_as_it_was(client: FlaskClient) -> None:
    collection = {"type": "FeatureCollection", "features": [QUPATH]}
    assert client.post("/api/slides/demo/annotations", json=collection).status_code == 200
    assert listed(client) == [QUPATH]
    assert listed(client, "small") == []


def versions(client: FlaskClient) -> dict[str, str]:
    answer = client.get("/api/slides/demo/annotations?versions=1").json
    assert answer is not None
    found: dict[str, str] = answer["versions"]
    return found


def test_two_people_who_change_the_same_annotation_do_not_overwrite_each_other(client: FlaskClient) -> None:
    address = "/api/slides/demo/annotations/a"
    first = client.put(address, json=feature("Point", [5, 6])).headers["ETag"]
    assert first == f'"{versions(client)["a"]}"'
    mine = client.put(address, json=feature("Point", [7, 8]), headers={"If-Match": first})
    assert mine.status_code == 200 and mine.headers["ETag"] != first
    theirs = client.put(address, json=feature("Point", [9, 9]), headers={"If-Match": first})
    assert theirs.status_code == 412
    assert theirs.get_json()["error"]["found"] == "one that somebody changed meanwhile"
    assert client.delete(address, headers={"If-Match": first}).status_code == 412
    assert listed(client)[0]["geometry"]["coordinates"] == [7, 8]
    again = client.put(address, json=feature("Point", [7, 8]), headers={"If-Match": first})
    assert again.status_code == 200, "it is there already: only the answer was lost"
    assert client.delete(address, headers={"If-Match": mine.headers["ETag"]}).status_code == 204
    gone = client.put(address, json=feature("Point", [5, 5]), headers={"If-Match": first})
    assert gone.status_code == 412 and "deleted" in gone.get_json()["error"]["found"]
    assert client.put(address, json=feature("Point", [5, 5])).status_code == 200, "whoever does not say, overwrites"


def test_of_many_changes_those_to_what_somebody_changed_are_refused(client: FlaskClient) -> None:
    address = "/api/slides/demo/annotations"
    client.post(address, json={"features": [feature("Point", [n, n], f"k{n}") for n in range(4)]})
    seen = versions(client)
    client.put(f"{address}/k1", json=feature("Point", [10, 10], "k1"))
    client.put(f"{address}/k3", json=feature("Point", [30, 30], "k3"))
    puts = [feature("Point", [n + 100, 0], f"k{n}") for n in (0, 1)]
    answer = client.patch(address, json={"put": puts, "delete": ["k2", "k3"], "was": seen}).json
    assert answer is not None
    assert {one["id"]: "changed meanwhile" in one["why"] for one in answer["refused"]} == {"k1": True, "k3": True}
    kept = {one["id"]: one["geometry"]["coordinates"] for one in listed(client)}
    assert kept == {"k0": [100, 0], "k1": [10, 10], "k3": [30, 30]}
    assert answer["versions"] == {"k0": versions(client)["k0"]}
    assert client.patch(address, json={"put": puts, "was": 7}).status_code == 400


def test_versions_are_the_same_after_a_restart(tmp_path: Path, service: TileService) -> None:
    odd = QUPATH | {"properties": {"a": 1e-7, "b": 2**60, "c": "\u00e9\ud83d\ude00", "d": [None, True, {}], "e": 0.1}}
    found = []
    for start in range(2):
        client = create_app(service, tmp_path, documents=Documents(tmp_path / "data")).test_client()
        if start == 0:
            client.post("/api/slides/demo/annotations", json={"features": [odd, feature("Point", [1.0, 2])]})
        found.append(versions(client))
    assert found[0] == found[1] and len(found[0]) == 2


def test_put_replaces_and_delete_removes(client: FlaskClient) -> None:
    address = "/api/slides/demo/annotations/a"
    assert client.put(address, json=feature("Point", [5, 6])).status_code == 200
    assert client.put(address, json=feature("LineString", [[5, 6], [7, 8]])).status_code == 200
    assert [one["geometry"]["type"] for one in listed(client)] == ["LineString"]
    assert client.delete(address).status_code == 204
    assert listed(client) == []
    assert client.delete(address).status_code == 404


def test_the_address_names_the_feature(client: FlaskClient) -> None:
    client.put("/api/slides/demo/annotations/b", json=feature("Point", [5, 6], "a"))
    assert [one["id"] for one in listed(client)] == ["b"]


def test_places_far_beyond_32_bits_are_exact(client: FlaskClient) -> None:
    client.put("/api/slides/endless/annotations/a", json=feature("Point", [2**40 + 0.25, 2**31 + 1]))
    assert listed(client, "endless")[0]["geometry"]["coordinates"] == [2**40 + 0.25, 2**31 + 1]


@pytest.mark.parametrize(
    "body",
    [
        feature("Circle", [1, 2]),
        feature("Point", [1]),
        feature("Point", ["one", 2]),
        feature("Point", [True, 2]),
        feature("Point", [1e300, 2]),
        feature("LineString", [[1, 2]]),
        feature("Polygon", [[[0, 0], [1, 1], [0, 0]]]),
        feature("GeometryCollection", []),
        feature("Polygon", []),
        feature("Polygon", [[1, 2], [3, 4]]),
        feature("Point", [1, 2]) | {"properties": "text"},
        feature("Point", [10**400, 2]),
        feature("Polygon", [[[0, 0], [9, 0]]]),
        feature("Point", [1, 2]) | {"geometry": None},
        {"type": "Feature"},
        {},
    ],
)
def test_what_is_not_an_annotation_is_refused_and_not_kept(client: FlaskClient, body: dict[str, Any]) -> None:
    answer = client.put("/api/slides/demo/annotations/a", json=body)
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"].keys() == {"status", "expected", "found", "do"}
    assert listed(client) == []


@pytest.mark.parametrize("body", [b"", b"[1]", b"{half", b'{"type": NaN}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_a_json_object_is_refused(client: FlaskClient, body: bytes) -> None:
    assert client.put("/api/slides/demo/annotations/a", data=body).status_code == 400


def imported(client: FlaskClient, content: object, query: str = "", slide: str = "demo") -> dict[str, Any]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = client.post(f"/api/slides/{slide}/annotations{query}", data=data, content_type="application/json")
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return dict(answer.json)


def test_one_bad_feature_is_left_out_and_reported_and_the_rest_is_kept(client: FlaskClient) -> None:
    answer = imported(client, [QUPATH, feature("Point", [1]), feature("Point", [1, 2], "b"), {"type": "Feature"}])
    assert answer["imported"] == 2
    assert [one["place"] for one in answer["left_out"]] == ["feature 2", "feature 4"]
    assert "found [1]" in answer["left_out"][0]["why"] and "found none" in answer["left_out"][1]["why"]
    assert listed(client) == answer["features"] == [QUPATH, feature("Point", [1, 2], "b")]


def test_what_is_beyond_the_most_that_a_slide_keeps_is_left_out_and_reported(client: FlaskClient) -> None:
    answer = imported(client, [feature("Point", [n, n], f"p{n}") for n in range(20_001)])
    assert (answer["imported"], len(answer["left_out"])) == (20_000, 1)
    assert "at most 20000 annotations" in answer["left_out"][0]["why"]
    again = imported(client, [feature("Point", [1, 1], "p1"), feature("Point", [1, 1], "new")])
    assert (again["imported"], len(again["left_out"])) == (1, 1), "what is there already still has its place"


def test_an_import_sent_again_adds_nothing_twice(client: FlaskClient) -> None:
    """The answer may be lost on its way: the page asks again."""
    plain = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
    rows = [plain, plain, plain | {"id": "0"}, plain | {"id": 7}]
    query = "?import=0b7a3e6a-6d5f-4a53-9d0c-9f2f3f0d3c11"
    first, second = (imported(client, rows, query) for _ in range(2))
    assert first == second
    assert len(listed(client)) == 4
    imported(client, rows, "?import=0b7a3e6a-6d5f-4a53-9d0c-9f2f3f0d3c12")
    assert len(listed(client)) == 7, "the row 0, which is as it was, is not there twice"


def test_ids_of_rows_replace_nothing_and_uuids_do(client: FlaskClient) -> None:
    imported(client, [feature("Point", [1, 2], "0"), QUPATH])
    changed = QUPATH | {"properties": {"name": "changed"}}
    imported(client, [feature("Point", [3, 4], "0"), changed])
    assert [one["geometry"]["coordinates"] for one in listed(client) if one["geometry"]["type"] == "Point"] == [
        [1, 2],
        [3, 4],
    ]
    assert [one["properties"] for one in listed(client) if one["id"] == QUPATH["id"]] == [{"name": "changed"}]


def test_many_are_changed_in_one_step_and_what_is_refused_is_reported_by_id(client: FlaskClient) -> None:
    imported(client, [feature("Point", [1, 2], key) for key in "abc"])
    body = {"put": [feature("Point", [5, 6], "a"), feature("Point", [5], "b"), 7], "delete": ["c", "never there"]}
    answer = client.patch("/api/slides/demo/annotations", json=body)
    assert answer.status_code == 200 and answer.json is not None
    assert [one["id"] for one in answer.json["refused"]] == ["b", ""]
    assert [one["geometry"]["coordinates"] for one in listed(client)] == [[5, 6], [1, 2]]
    assert client.patch("/api/slides/demo/annotations", json={"put": {}}).status_code == 400


@pytest.mark.parametrize("key", [None, 7, "a" * 65, "a/b", ""])
def test_a_change_without_a_usable_id_is_refused_and_stored_under_no_other(client: FlaskClient, key: object) -> None:
    put = feature("Point", [5, 6], "a") | {"id": key}
    answer = client.patch("/api/slides/demo/annotations", json={"put": [put, feature("Point", [5, 6], "b")]})
    assert answer.json is not None
    assert [one["id"] for one in answer.json["refused"]] == ["" if key is None else str(key)[:64]]
    assert [one["id"] for one in listed(client)] == ["b"]


def test_each_change_that_is_refused_is_told(client: FlaskClient) -> None:
    answer = client.patch("/api/slides/demo/annotations", json={"put": [1, None, "text"]})
    assert answer.json is not None and len(answer.json["refused"]) == 3


def test_an_empty_file_is_told_as_empty(client: FlaskClient) -> None:
    answer = client.post("/api/slides/demo/annotations", data=b"", content_type="application/json")
    assert answer.status_code == 400 and answer.json is not None
    assert answer.json["error"]["found"] == "an empty one"


def test_a_table_has_one_line_a_row_whatever_names_are(client: FlaskClient) -> None:
    names = ["a\0b", "\u202e=1", "\t=1", " @x", "a\nb"]
    imported(client, [feature("Point", [1, 2]) | {"properties": {"name": name}} for name in names])
    rows = client.get("/api/slides/demo/annotations.csv").text.splitlines()[1:]
    assert [row.split(",")[2] for row in rows] == ["a b", "'=1", "'=1", "'@x", "a b"]


def test_all_are_deleted_or_those_of_a_class(client: FlaskClient) -> None:
    classes: list[object] = [{"name": "Tumor"}, "Tumor", {"names": ["Tumor", "Positive"]}, None]
    rows = [feature("Point", [1, 2], f"{n}") | {"properties": {"classification": c}} for n, c in enumerate(classes)]
    imported(client, rows)
    answer = client.delete("/api/slides/demo/annotations?class=Tumor")
    assert (answer.status_code, answer.headers.get("Content-Type")) == (204, None)
    assert [one["id"] for one in listed(client)] == ["2", "3"]
    assert client.delete("/api/slides/demo/annotations").status_code == 204
    assert listed(client) == []


def test_what_is_stored_and_odd_does_not_lame_its_slide(service: TileService, static: Path, tmp_path: Path) -> None:
    documents = Documents(tmp_path / "data")
    odd = {
        "no-feature": 7,
        "no-place": {"type": "Feature", "geometry": None},
        "no-number": feature("Point", [float("nan"), 1]),
        "ä": feature("Point", [1, 2]),
    }
    rest = {"a": feature("Point", [1, 2]), "b": feature("Polygon", [[[0, 0], [9, 0], [9, 9]]], "other")}
    documents.change("annotations", "demo-7", lambda kept: kept.update(odd | rest))
    client = create_app(service, static, documents=documents).test_client()
    answer = client.get("/api/slides/demo/annotations").json
    assert answer is not None
    assert [one["id"] for one in answer["features"]] == ["a", "b"]
    assert answer["features"][1]["geometry"]["coordinates"] == [[[0, 0], [9, 0], [9, 9], [0, 0]]]
    assert {one["id"] for one in answer["set_aside"]} == odd.keys()
    assert client.put("/api/slides/demo/annotations/c", json=feature("Point", [1, 2])).status_code == 200
    assert documents.get("annotations", "demo-7").keys() == odd.keys() | {"a", "b", "c"}


def test_a_file_that_cannot_be_opened_is_told_without_its_folder(
    service: TileService, static: Path, tmp_path: Path
) -> None:
    (tmp_path / "data" / "annotations" / "demo-7.json").mkdir(parents=True)
    client = create_app(service, static, documents=Documents(tmp_path / "data")).test_client()
    for answer in (
        client.get("/api/slides/demo/annotations"),
        client.put("/api/slides/demo/annotations/a", json=feature("Point", [1, 2])),
    ):
        assert answer.status_code == 507 and answer.json is not None
        assert "annotations/demo-7.json" in answer.json["error"]["expected"] and str(tmp_path) not in answer.text
    assert client.get("/api/slides/small/annotations").status_code == 200


def test_a_torn_file_is_imported_as_far_as_it_goes(client: FlaskClient) -> None:
    rows = [feature("Point", [n, n]) for n in range(3)]
    text = json.dumps({"type": "FeatureCollection", "features": rows})[:-30]
    response = client.post("/api/slides/demo/annotations", data=text, content_type="application/json")
    assert response.status_code == 200 and response.json is not None
    assert response.json["imported"] == 2
    assert [one["why"] for one in response.json["left_out"]] == ["damaged, or cut off here"]
    assert len(listed(client)) == 2


def test_whole_numbers_beyond_2_53_come_back_digit_for_digit(client: FlaskClient) -> None:
    text = json.dumps(feature("Point", [1, 2]) | {"properties": {"cell": 12345678901234567890}})
    client.post("/api/slides/demo/annotations", data=text, content_type="application/json")
    assert b'"cell": 12345678901234567890' in client.get("/api/slides/demo/annotations").data
    assert b'"cell": 12345678901234567890' in client.get("/api/slides/demo/annotations?measures=1").data


def test_a_table_of_lengths_areas_and_counts(client: FlaskClient) -> None:
    ring, hole = [[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]], [[10, 10], [30, 10], [30, 30], [10, 30], [10, 10]]
    imported(
        client,
        [
            feature("LineString", [[0, 0], [300, 400]], "line") | {"properties": {"name": "=HYPERLINK(1)"}},
            feature("Polygon", [ring, hole], "area") | {"properties": {"classification": "Tumor"}},
            feature("MultiPoint", [[1, 2], [3, 4, 5]], "dots")
            | {"properties": {"classification": {"names": ["A", "B"]}}},
        ],
    )
    answer = client.get("/api/slides/demo/annotations.csv")
    assert answer.mimetype == "text/csv"
    assert answer.text.splitlines() == [
        "id,class,name,type,points,length_um,area_um2,perimeter_um,x_px,y_px,notice",
        "line,,'=HYPERLINK(1),LineString,,250.0,,,150.0,200.0,SYNTHETIC - not for diagnosis",
        "area,Tumor,,Polygon,,,4900.0,300.0,50.0,100.0,SYNTHETIC - not for diagnosis",
        "dots,A: B,,MultiPoint,2,,,,2.0,3.0,SYNTHETIC - not for diagnosis",
    ]
    assert client.get("/api/slides/demo/annotations.csv?by=class").text.splitlines() == [
        "class,annotations,points,length_um,area_um2,notice",
        "'=HYPERLINK(1),1,,250.0,,SYNTHETIC - not for diagnosis",
        "Tumor,1,,,4900.0,SYNTHETIC - not for diagnosis",
        "A: B,1,2,,,SYNTHETIC - not for diagnosis",
    ]


def test_measures_among_the_measurements_of_qupath(client: FlaskClient) -> None:
    imported(client, [QUPATH, feature("Point", [1, 2]) | {"properties": {"measurements": [{"name": "x", "value": 1}]}}])
    answer = client.get("/api/slides/demo/annotations?measures=1").json
    assert answer is not None
    first, second = (one["properties"]["measurements"] for one in answer["features"])
    assert first == {"Area µm^2": 75075.0, "Perimeter µm": 1100.5, "Area um^2": 75075.0}
    assert second == [{"name": "x", "value": 1}, {"name": "Num points", "value": 1}]
    assert listed(client)[0] == QUPATH, "what is kept is as it was"


@pytest.mark.parametrize("key", ["a b", "%2e%2e", "ä", "x" * 65])
def test_odd_ids_are_refused(client: FlaskClient, key: str) -> None:
    assert client.put(f"/api/slides/demo/annotations/{key}", json=feature("Point", [1, 2])).status_code == 400


def test_an_unknown_slide(client: FlaskClient) -> None:
    assert client.get("/api/slides/nowhere/annotations").status_code == 404

"""Annotations over HTTP: GeoJSON as QuPath writes it comes back as it was; everything else is refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

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
        feature("Point", ["1", 2]),
        feature("Point", [True, 2]),
        feature("Point", [1e300, 2]),
        feature("LineString", [[1, 2]]),
        feature("Polygon", [[[0, 0], [1, 1], [0, 0]]]),
        feature("Polygon", []),
        feature("Polygon", [[1, 2], [3, 4]]),
        feature("Point", [1, 2]) | {"properties": []},
        feature("Point", [1, 2]) | {"properties": {"name": "x" * 201}},
        feature("Point", [1, 2]) | {"properties": {"classification": {"name": 7}}},
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


def test_one_bad_feature_spoils_the_import(client: FlaskClient) -> None:
    collection = {"type": "FeatureCollection", "features": [QUPATH, feature("Point", [1])]}
    assert client.post("/api/slides/demo/annotations", json=collection).status_code == 400
    assert listed(client) == []


def test_too_much_is_refused(client: FlaskClient) -> None:
    many = [feature("Point", [n, n], f"p{n}") for n in range(20_001)]
    answer = client.post("/api/slides/demo/annotations", json={"type": "FeatureCollection", "features": many})
    assert answer.status_code == 400
    assert listed(client) == []


@pytest.mark.parametrize("key", ["a b", "%2e%2e", "ä", "x" * 65])
def test_odd_ids_are_refused(client: FlaskClient, key: str) -> None:
    assert client.put(f"/api/slides/demo/annotations/{key}", json=feature("Point", [1, 2])).status_code == 400


def test_an_unknown_slide(client: FlaskClient) -> None:
    assert client.get("/api/slides/nowhere/annotations").status_code == 404

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

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


def test_a_tour_is_replaced_and_removed(client: FlaskClient) -> None:
    client.put("/api/slides/demo/tours/t1", json=tour())
    client.put("/api/slides/demo/tours/t1", json=tour(title="Second look", stops=[]))
    assert [(one["title"], one["stops"]) for one in listed(client)] == [("Second look", [])]
    assert client.delete("/api/slides/demo/tours/t1").status_code == 204
    assert client.delete("/api/slides/demo/tours/t1").status_code == 404
    assert listed(client) == []


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

"""Bodies of requests: every route that takes one describes it, and takes what it describes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from flask.testing import FlaskClient

from everslide.server.app import create_app
from tests.server.stub import Studio, make_service

PLACES = {
    "slide": "demo",
    "name": "demo",
    "key": "a-1",
    "level": "14",
    "col": "37",
    "row": "25",
    "model": "stub",
    "seed": "5",
}
OF_MADE_SLIDES = ("/api/slides/<name>", "/api/slides/<name>/restore")
EXAMPLES = {"model": "stub", "viewer": "anna", "level": 14, "x": 512, "y": 512, "width": 512, "height": 512}
"""For fields whose schema has none, or one that the stub does not know."""


def routes() -> list[tuple[str, str]]:
    """(method, rule) of every route that changes or computes something, from the application itself."""
    service = make_service(Studio())
    rules = list(create_app(service, None).url_map.iter_rules())  # type: ignore[arg-type]  # no page is asked for
    service.close()
    return sorted(
        (method, rule.rule) for rule in rules for method in (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}
    )


ROUTES = routes()


def address(rule: str) -> str:
    rule = rule.replace("/api/slides/<name>", "/api/slides/my-slide") if rule in OF_MADE_SLIDES else rule
    for name, value in PLACES.items():
        rule = rule.replace(f"<{name}>", value)
    assert "<" not in rule, "a place that the test does not know"
    return rule


def spec_of(client: FlaskClient) -> dict[str, Any]:
    spec = client.get("/api/openapi.json").json
    assert isinstance(spec, dict)
    return spec


def shape_of(spec: dict[str, Any], method: str, rule: str) -> dict[str, Any] | None:
    operation = spec["paths"][rule.replace("<", "{").replace(">", "}")][method.lower()]
    if "requestBody" not in operation:
        return None
    assert operation["requestBody"]["required"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return resolved(spec, schema)


def resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        schema = schema | schema["anyOf"][0]
    if "$ref" in schema:
        named: dict[str, Any] = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return named
    return schema


def example(spec: dict[str, Any], schema: dict[str, Any], name: str = "") -> Any:
    """A value with every field, made of the examples in the schema."""
    schema = resolved(spec, schema)
    if (name in EXAMPLES and "example" not in schema) or name == "model":
        return EXAMPLES[name]
    if "example" in schema:
        return schema["example"]
    if schema.get("type") == "array":
        return [example(spec, schema["items"])]
    if "properties" in schema:
        return {name: example(spec, each, name) for name, each in schema["properties"].items()}
    assert "default" in schema, schema
    return schema["default"]


@pytest.fixture(autouse=True)
def _made(client: FlaskClient) -> None:
    """A slide that was made."""
    client.post("/api/slides", json={"title": "My slide", "seed": "1", "model": "stub", "width": 4096, "height": 4096})


@pytest.fixture
def fresh(client: FlaskClient) -> FlaskClient:
    """A client that a DELETE finds something for."""
    client.put(
        "/api/slides/demo/annotations/a-1",
        json={"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}},
    )
    client.put("/api/slides/demo/tours/a-1", json={"title": "", "stops": []})
    return client


def send(client: FlaskClient, method: str, rule: str, data: bytes) -> int:
    return client.open(address(rule), method=method, data=data, content_type="application/json").status_code


@pytest.mark.parametrize(("method", "rule"), ROUTES)
def test_a_route_that_takes_a_body_describes_it(fresh: FlaskClient, method: str, rule: str) -> None:
    """A broken body is refused by those that read one, and by no other."""
    refused = send(fresh, method, rule, b"{") in (400, 415)
    assert refused == (shape_of(spec_of(fresh), method, rule) is not None)


@pytest.mark.parametrize(("method", "rule"), ROUTES)
def test_a_body_is_as_it_is_described(client: FlaskClient, method: str, rule: str) -> None:
    """The example with every field is taken, and without any one that may be missing; not without one that may not."""
    spec = spec_of(client)
    shape = shape_of(spec, method, rule)
    if shape is None:
        assert (method, rule) in UNBODIED
        return
    whole = example(spec, shape)
    whole.pop("like", None)  # the stub heeds no reference: test_new_slide holds that field
    whole.pop("regions", None)  # and knows no organs: test_organs holds that one
    assert client.open(address(rule), method=method, json=whole).status_code in (200, 201)
    for path, needed in fields(spec, shape):
        if path[0] in ("like", "regions"):
            continue
        status = client.open(address(rule), method=method, json=without(whole, path)).status_code
        assert status == 400 if needed else status in (200, 201), path


UNBODIED = {
    ("DELETE", "/api/slides/<name>"),
    ("DELETE", "/api/slides/<slide>/annotations"),
    ("POST", "/api/slides/<name>/restore"),
    ("DELETE", "/api/slides/<slide>/annotations/<key>"),
    ("DELETE", "/api/slides/<slide>/tours/<key>"),
    ("POST", "/api/slides/<name>/tiles/<level>/<col>/<row>"),
}
Way = tuple[str | int, ...]


def fields(spec: dict[str, Any], schema: dict[str, Any], above: Way = ()) -> list[tuple[Way, bool]]:
    """Paths to all fields, and whether each must be given."""
    schema = resolved(spec, schema)
    if schema.get("type") == "array":
        return fields(spec, schema["items"], (*above, 0)) if schema.get("items") else []
    found: list[tuple[Way, bool]] = []
    for name, each in schema.get("properties", {}).items():
        found.append(((*above, name), name in schema.get("required", [])))
        found += fields(spec, each, (*above, name))
    return found


def without(value: Any, path: Way) -> Any:
    value = inner = copy.deepcopy(value)
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return value


def test_the_page_shows_the_fields_of_bodies(client: FlaskClient) -> None:
    page = client.get("/api/docs").text
    assert "<td><code>stops</code></td><td>body</td><td>array of StopBody</td><td>In their order.</td>" in page
    assert "<td><code>picture</code></td><td>body</td><td>PictureBody or null</td>" in page


@pytest.mark.parametrize("kind", ["annotations", "tours"])
def test_a_change_of_what_somebody_else_changed_is_described(client: FlaskClient, kind: str) -> None:
    answer = client.get("/api/openapi.json").json
    assert answer is not None
    for method in ("put", "delete"):
        assert "412" in answer["paths"][f"/api/slides/{{slide}}/{kind}/{{key}}"][method]["responses"]


ASKED = {
    ("get", "/api/gallery/{model}/{seed}.jpeg"): {"organ"},
    ("get", "/api/slides/{name}/tiles/{level}"): {"cols", "rows"},
    ("get", "/api/slides/{slide}/annotations"): {"measures", "versions"},
    ("get", "/api/slides/{slide}/annotations.csv"): {"by"},
    ("post", "/api/slides/{slide}/annotations"): {"import"},
    ("delete", "/api/slides/{slide}/annotations"): {"class"},
    ("get", "/api/slides/{name}/tissue"): {"count"},
    ("get", "/slides/{name}_files/{level}/{tile_name}"): {"preview", "v"},
}


def test_parameters_of_a_query_are_described(client: FlaskClient) -> None:
    described = {
        (method, path): names
        for path, item in spec_of(client)["paths"].items()
        for method, operation in item.items()
        if (names := {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"})
    }
    assert described == ASKED
    row = "<td><code>organ</code></td><td>query</td><td>string</td><td>One of the model&#x27;s in /api/models;"
    assert row in client.get("/api/docs").text

"""Documentation of the HTTP interface: the complete OpenAPI document, and a plain HTML page made from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

from pydantic import BaseModel
from werkzeug.routing import Map, Rule

from everslide.server.fields import asked_by, taken_by
from everslide.server.shapes import ErrorAnswer

_REFERENCE = "#/components/schemas/"


def described(spec: dict[str, Any], routes: Map, views: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """The OpenAPI document `spec` with the routes of blueprints added, which flask-openapi3 leaves out.

    Summaries are the docstrings of the views; request bodies and parameters of a query are those given to `takes`
    and `asks` of `everslide.server.fields`.
    """
    paths: dict[str, Any] = {path: dict(item) for path, item in spec["paths"].items()}
    schemas: dict[str, Any] = dict(spec["components"]["schemas"])
    for rule in routes.iter_rules():
        if "." not in rule.endpoint:
            continue  # a route of the application itself: described where it is written
        path = rule.rule.replace("<", "{").replace(">", "}")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(rule, method, views[rule.endpoint], schemas)
    return {**spec, "paths": paths, "components": {**spec["components"], "schemas": schemas}}


def _operation(rule: Rule, method: str, view: Callable[..., Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """schemas: those of shapes that are named here are added."""
    takes = taken_by(view)
    summary = inspect.getdoc(view) or ""
    statuses = ["400", *([] if method == "GET" else ["401", "429"]), *(["412"] if "`If-Match`" in summary else [])]
    refusals: dict[str, Any] = {
        status: {"description": "What was expected instead.", "content": _json(ErrorAnswer, schemas)}
        for status in statuses
    }
    done = "204" if method == "DELETE" else str(takes.status if takes else 200)
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in sorted(rule.arguments)
        ]
        + [
            {"name": name, "in": "query", "required": required, "description": words, "schema": {"type": "string"}}
            for name, words, required in asked_by(view)
        ],
        "responses": {done: {"description": "Done."}, **refusals},
    }
    if method != "GET":
        operation["security"] = [{"token": []}]
    if takes is not None:
        operation["requestBody"] = {"required": True, "content": _json(takes.shape, schemas)}
    return operation


def _json(shape: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    """JSON of a shape, which is added to `schemas` with the shapes that it is made of."""
    schema = shape.model_json_schema(ref_template=_REFERENCE + "{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[shape.__name__] = schema
    return {"application/json": {"schema": {"$ref": _REFERENCE + shape.__name__}}}


def docs_page(spec: dict[str, Any]) -> str:
    """An OpenAPI 3.1 document -> an HTML page without scripts."""
    info = spec["info"]
    body = "".join(_operations(spec))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])} interface</title>'
        f'<meta name="viewport" content="width=device-width"><h1>{escape(info["title"])} {escape(info["version"])}</h1>'
        f'<p>{escape(info.get("description", ""))} For programs: <a href="openapi.json">OpenAPI 3.1</a>.</p>{body}'
        "</html>"
    )


def _operations(spec: dict[str, Any]) -> Iterator[str]:
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}</p>"
            rows = list(_parameters(spec, operation))
            if rows:
                yield f"<table><tr><th>name<th>in<th>type<th>meaning</tr>{''.join(rows)}</table>"
            yield "<ul>" + "".join(
                f"<li><b>{escape(status)}</b> {escape(answer.get('description', ''))} "
                f"<code>{escape(', '.join(answer.get('content', {})))}</code></li>"
                for status, answer in operation.get("responses", {}).items()
            )
            yield "</ul>"


def _parameters(spec: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", []):
        yield _row(parameter["name"], parameter["in"], parameter.get("schema", {}), parameter.get("description", ""))
    for media in operation.get("requestBody", {}).get("content", {}).values():
        name = media["schema"].get("$ref", "").rpartition("/")[2]
        shape = spec["components"]["schemas"].get(name, media["schema"])
        for field, schema in shape.get("properties", {}).items():
            yield _row(field, "body", schema, schema.get("description", ""))


def _row(name: str, place: str, schema: dict[str, Any], words: str) -> str:
    cells = [f"<code>{escape(name)}</code>", escape(place), escape(_kind(schema)), escape(words)]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _kind(schema: dict[str, Any]) -> str:
    """What a field is, in words: "integer or null", "array of StopBody"."""
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REFERENCE)
    kind = str(schema.get("type", ""))
    return f"array of {_kind(schema['items'])}" if schema.get("items") else kind

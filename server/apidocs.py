"""The interface described whole, and as a page for people, made from that description. No scripts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

from werkzeug.routing import Map


def described(spec: dict[str, Any], routes: Map, views: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """The OpenAPI document `spec` with the routes of blueprints, which it lacks: summaries are their docstrings."""
    paths: dict[str, Any] = {path: dict(item) for path, item in spec["paths"].items()}
    for rule in routes.iter_rules():
        if "." not in rule.endpoint:
            continue  # a route of the application itself: described where it is written
        path = rule.rule.replace("<", "{").replace(">", "}")
        words = inspect.getdoc(views[rule.endpoint])
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = {
                "summary": words or "",
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                    for name in sorted(rule.arguments)
                ],
                "responses": {"200": {"description": "Done."}, "400": {"description": "What was expected instead."}},
            }
    return {**spec, "paths": paths}


def docs_page(spec: dict[str, Any]) -> str:
    """spec: an OpenAPI 3.1 document."""
    info = spec["info"]
    body = "".join(_operations(spec))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])} interface</title>'
        f'<meta name="viewport" content="width=device-width"><h1>{escape(info["title"])} {escape(info["version"])}</h1>'
        f'<p>{escape(info.get("description", ""))} For programs: <a href="/api/openapi.json">OpenAPI 3.1</a>.</p>{body}'
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
    kind = schema.get("type") or " or ".join(str(each.get("type", "")) for each in schema.get("anyOf", []))
    cells = [f"<code>{escape(name)}</code>", escape(place), escape(str(kind)), escape(words)]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"

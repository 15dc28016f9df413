"""Request bodies: JSON, checked against the shapes that document it, with errors that name the field; JSON answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, get_args

from flask import Request, Response, jsonify
from pydantic import BaseModel, ValidationError

from everslide.server.errors import MalformedError

MAX_BODY_BYTES = 16 * 2**20
MAX_FILE_BYTES = 128 * 2**20
"""Of a file of annotations: over 10,000 cells of QuPath with nuclei and measurements, each number in its own line."""
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_TAKES, _ASKS = "_everslide_takes", "_everslide_asks"
View = TypeVar("View", bound=Callable[..., Any])
Shape = TypeVar("Shape", bound=BaseModel)
_WORDS = {
    "missing": "to be there",
    "string_type": "as a text",
    "string_too_long": "as a text of at most {max_length} characters",
    "int_type": "as a whole number",
    "float_type": "as a number",
    "finite_number": "as a finite number",
    "bool_type": "as true or false",
    "list_type": "as a list",
    "too_long": "as a list of at most {max_length} entries",
    "dict_type": "as an object",
    "model_type": "as an object",
    "greater_than_equal": "in {low:g} .. {high:g}",
    "less_than_equal": "in {low:g} .. {high:g}",
}
"""pydantic's type of an error -> what was expected of the field."""


@dataclass(frozen=True)
class Takes:
    """The documented body of a view. shape: its pydantic model. status: HTTP status of the answer."""

    shape: type[BaseModel]
    status: int


def takes(shape: type[BaseModel], status: int = 200) -> Callable[[View], View]:
    """A decorator of views that documents the body that they read by `json_body`; see `checked` for checking it."""

    def mark(view: View) -> View:
        setattr(view, _TAKES, Takes(shape, status))
        return view

    return mark


def asks(words: Mapping[str, str], required: bool = False) -> Callable[[View], View]:
    """A decorator of views that documents the parameters that they read of an address's query: name -> meaning."""

    def mark(view: View) -> View:
        setattr(view, _ASKS, [(name, meaning, required) for name, meaning in words.items()])
        return view

    return mark


def asked_by(view: Callable[..., Any]) -> list[tuple[str, str, bool]]:
    """(name, meaning, whether it must be given) of each parameter that `asks` attached to a view."""
    asked: list[tuple[str, str, bool]] = getattr(view, _ASKS, [])
    return asked


def taken_by(view: Callable[..., Any]) -> Takes | None:
    """The documentation that `takes` attached to a view, or None."""
    taken: Takes | None = getattr(view, _TAKES, None)
    return taken


def json_body(request: Request, most: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The JSON object in a request. Raises MalformedError for anything else, and for more than `most` bytes."""
    try:
        body = json.loads(sent(request, most), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedError("a JSON object", str(error)[:80] or type(error).__name__, "send valid JSON") from error
    if not isinstance(body, dict):
        raise MalformedError("a JSON object", type(body).__name__, "send a JSON object")
    return body


def sent(request: Request, most: int) -> bytes:
    """The body of a request. Raises MalformedError for more than `most` bytes."""
    request.max_content_length = most  # more than other requests may send
    size = request.content_length or 0
    if size > most:
        raise MalformedError(f"a body of at most {most} bytes", f"{size} bytes", "send less at a time")
    return request.get_data()


def fresh_json(content: dict[str, Any]) -> Response:
    """A JSON answer that no cache may keep."""
    response = jsonify(content)
    response.headers["Cache-Control"] = "no-store"
    return response


def identifier(value: object) -> str:
    """`value`, an identifier such as a UUID. Raises MalformedError where it is none."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise MalformedError("an id of 1 to 64 letters, digits and '-'", _short(value), "send a UUID")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def checked(shape: type[Shape], fields: object) -> Shape:
    """`fields`, decoded JSON, as a `shape`; fields that it does not have are dropped.

    Raises MalformedError, which names the first field that is wrong.
    """
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        words = f"where {first['msg'].lower()}"
        if first["type"] in _WORDS:
            words = _WORDS[first["type"]].format(**first.get("ctx", {}), **_limits(shape, first["loc"]))
        found = "none" if first["type"] == "missing" else _short(first["input"])
        what = f"field {name!r} {words}" if name else f"a value {words}"
        raise MalformedError(what, found, f"correct {name!r}" if name else "correct it") from error


def _limits(shape: type[BaseModel], place: tuple[int | str, ...]) -> dict[str, float]:
    """The range `low` .. `high` of the number at a place of a shape."""
    limits = {"low": -math.inf, "high": math.inf}
    for name in place:
        if isinstance(name, int):
            continue  # an entry of the list before
        field = shape.model_fields.get(name)
        if field is None:
            break
        for limit in field.metadata:
            limits |= {
                end: getattr(limit, side) for end, side in (("low", "ge"), ("high", "le")) if hasattr(limit, side)
            }
        kinds = (field.annotation, *get_args(field.annotation))
        shape = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), shape)
    return limits


def _short(value: object) -> str:
    return repr(value)[:60]

"""JSON that somebody sent, every field checked, errors that name it; and answers that no cache may keep."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from flask import Request, Response, jsonify
from pydantic import BaseModel

from everslide.server.errors import MalformedError

MAX_BODY_BYTES = 16 * 2**20
MAX_FILE_BYTES = 128 * 2**20
"""Of a file of annotations: over 10,000 cells of QuPath with nuclei and measurements, each number in its own line."""
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_TAKES = "_everslide_takes"
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Takes:
    """What the documentation of the interface says of a view that reads a body. status: of its answer."""

    shape: type[BaseModel]
    status: int


def takes(shape: type[BaseModel], status: int = 200) -> Callable[[View], View]:
    """Describes the body that a view reads by `json_body`; the view itself checks it, field by field."""

    def mark(view: View) -> View:
        setattr(view, _TAKES, Takes(shape, status))
        return view

    return mark


def taken_by(view: Callable[..., Any]) -> Takes | None:
    """What `takes` was told of the view."""
    told: Takes | None = getattr(view, _TAKES, None)
    return told


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
    """An answer that is true only now."""
    response = jsonify(content)
    response.headers["Cache-Control"] = "no-store"
    return response


def identifier(value: object) -> str:
    """An identifier such as a UUID."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise MalformedError("an id of 1 to 64 letters, digits and '-'", _short(value), "send a UUID")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def text(fields: dict[str, Any], name: str, most: int, default: str | None = None) -> str:
    """A text of at most `most` characters."""
    value = fields.get(name, default)
    if not isinstance(value, str) or len(value) > most:
        raise MalformedError(f"field {name!r} as a text of at most {most} characters", _short(value), f"send {name!r}")
    return value


def number(fields: dict[str, Any], name: str, low: float, high: float, default: float | None = None) -> float:
    """A finite number in low .. high."""
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise MalformedError(f"field {name!r} as a number", _short(value), f"send {name!r}")
    if not low <= value <= high:
        raise MalformedError(f"field {name!r} in {low:g} .. {high:g}", _short(value), f"correct {name!r}")
    return float(value)


def items(fields: dict[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    """A list of at most `most` objects."""
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > most or not all(isinstance(item, dict) for item in value):
        raise MalformedError(f"field {name!r} as a list of at most {most} objects", _short(value), f"send {name!r}")
    return value


def _short(value: object) -> str:
    return repr(value)[:60]

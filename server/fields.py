"""Request bodies: JSON whose fields are checked one by one, with errors that name the field; answers as fresh JSON."""

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
    """The documented body of a view. shape: its pydantic model. status: HTTP status of the answer."""

    shape: type[BaseModel]
    status: int


def takes(shape: type[BaseModel], status: int = 200) -> Callable[[View], View]:
    """A decorator of views that documents the body that they read by `json_body`. It does not check it."""

    def mark(view: View) -> View:
        setattr(view, _TAKES, Takes(shape, status))
        return view

    return mark


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
    size = request.content_length
    if size is None or size > most:
        found = "no length" if size is None else f"{size} bytes"
        raise MalformedError(f"a body of at most {most} bytes", found, "send less at a time")
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


def text(fields: dict[str, Any], name: str, most: int, default: str | None = None) -> str:
    """The field `name`, a text of at most `most` characters. Raises MalformedError."""
    value = fields.get(name, default)
    if not isinstance(value, str) or len(value) > most:
        raise MalformedError(f"field {name!r} as a text of at most {most} characters", _short(value), f"send {name!r}")
    return value


def number(fields: dict[str, Any], name: str, low: float, high: float, default: float | None = None) -> float:
    """The field `name`, a finite number in low .. high. Raises MalformedError."""
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise MalformedError(f"field {name!r} as a number", _short(value), f"send {name!r}")
    if not low <= value <= high:
        raise MalformedError(f"field {name!r} in {low:g} .. {high:g}", _short(value), f"correct {name!r}")
    return float(value)


def items(fields: dict[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    """The field `name`, a list of at most `most` objects. Raises MalformedError."""
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > most or not all(isinstance(item, dict) for item in value):
        raise MalformedError(f"field {name!r} as a list of at most {most} objects", _short(value), f"send {name!r}")
    return value


def _short(value: object) -> str:
    return repr(value)[:60]

"""The table from errors to HTTP."""

from __future__ import annotations

from everslide.model.errors import EverslideError
from everslide.server.errors import HTTP_STATUS, GoneError, NotFoundError, RequestError, error_json


def test_every_error_has_its_status() -> None:
    assert set(HTTP_STATUS) == set(RequestError.__subclasses__())
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())


def test_errors_speak_to_people() -> None:
    error = NotFoundError("a level in 0 .. 17", "level 18", "see the slide's metadata")
    assert str(error) == "expected a level in 0 .. 17; found level 18; see the slide's metadata"
    assert isinstance(error, EverslideError)
    assert not isinstance(error, GoneError)


def test_errors_as_json() -> None:
    assert error_json(404, "a", "b", "c") == {"error": {"status": 404, "expected": "a", "found": "b", "do": "c"}}

"""Errors of the service, and the HTTP status of each.

EverslideError
 +- SettingsError     the server is started with settings that cannot be
 +- RequestError      a request cannot be answered; base of those below
     +- MalformedError  a part of the address cannot be read at all
     +- TooLargeError   more is asked for than one request may cost
     +- DeniedError     a token is needed, and is missing or wrong
     +- RateError       one client asks for too much in a short time
     +- ForeignError    a page of another origin asks
     +- HostError       the client names a host that is not this server
     +- MediaTypeError  a body that is not JSON
     +- NotFoundError   nothing of that name or number is served here
     +- ConflictError   it cannot be kept beside what is there already
     +- ChangedError    somebody else changed it since it was read
     +- StorageError    the folder of people's own work cannot be read or written
     +- PaintError      the painter failed; nothing was cached
     +- BusyError       too many requests wait for the painter
     +- ClosingError    the server is stopping
     +- GoneError       the client went away before its tile was painted
     +- DroppedError    the viewer looked elsewhere before its tile was painted
"""

from __future__ import annotations

from everslide.model.errors import EverslideError


class SettingsError(EverslideError):
    """The server is started with settings that cannot be."""


class RequestError(EverslideError):
    """A request that cannot be answered.

    expected: what would have been answered. found: what was asked for, or what happened. do: what to do about it.
    """

    def __init__(self, expected: str, found: str, do: str) -> None:
        super().__init__(f"expected {expected}; found {found}; {do}")
        self.expected = expected
        self.found = found
        self.do = do


class MalformedError(RequestError):
    """A part of the address cannot be read at all."""


class NotFoundError(RequestError):
    """Nothing of that name or number is served here."""


class ConflictError(RequestError):
    """It cannot be kept beside what is there already."""


class ChangedError(RequestError):
    """Somebody else changed it since the client read it."""


class StorageError(RequestError):
    """The folder of people's own work cannot be read or written."""


class PaintError(RequestError):
    """The painter failed; nothing was cached."""


class BusyError(RequestError):
    """Too many requests wait for the painter."""


class ClosingError(RequestError):
    """The server is stopping."""


class GoneError(RequestError):
    """The client went away before its tile was painted; nobody reads the answer."""


class DroppedError(RequestError):
    """The viewer looked elsewhere before its tile was painted."""


class TooLargeError(RequestError):
    """More is asked for than one request may cost."""


class DeniedError(RequestError):
    """A token is needed, and is missing or wrong."""


class RateError(RequestError):
    """One client asks for too much in a short time."""


class ForeignError(RequestError):
    """A page of another origin asks."""


class HostError(RequestError):
    """The client names a host that is not this server."""


class MediaTypeError(RequestError):
    """A body that is not JSON."""


HTTP_STATUS: dict[type[RequestError], int] = {
    MalformedError: 400,
    DeniedError: 401,
    ForeignError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    ChangedError: 412,
    TooLargeError: 413,
    MediaTypeError: 415,
    HostError: 421,
    RateError: 429,
    StorageError: 507,
    PaintError: 500,
    BusyError: 503,
    ClosingError: 503,
    GoneError: 503,
    DroppedError: 503,
}


def error_json(status: int, expected: str, found: str, do: str) -> dict[str, object]:
    """The body of every answer that is not a success."""
    return {"error": {"status": status, "expected": expected, "found": found, "do": do}}

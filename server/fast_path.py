"""Answers for cached tiles without Flask. The answers are the same.

Browsing is mostly cached tiles, and Flask's routing, validation and response cost several times as much as finding the
bytes. Everything but a plain GET or HEAD of a stored tile is passed on to Flask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from everslide.server.deepzoom import TileAddress
from everslide.server.encode import FORMATS, Format
from everslide.server.errors import NotFoundError
from everslide.server.tiles import ServedSlide, TileService, is_stored

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PATH = re.compile(
    r"/slides/([a-z0-9][a-z0-9_-]{0,63})_files/(0|[1-9]\d?)/(0|[1-9]\d{0,11})_(0|[1-9]\d{0,11})\.(jpeg|jpg|webp|png)"
)
_QUERY = re.compile(r"(?:v=([0-9a-f]*))?")
_LONG_WAY = ("HTTP_IF_NONE_MATCH", "HTTP_ORIGIN", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_MATCH", "HTTP_RANGE")
"""Requests with one of these headers need Flask's answer."""


LOOKED = "everslide.looked"
"""Key in the WSGI environment: slide, address and format of a tile that was not found in the store here."""
_REMEMBERED = 4096
"""Number of addresses whose headers are kept, about a kilobyte each."""


@dataclass(frozen=True)
class Asked:
    """What an address asks for, and the headers of its answer. head: `headers` as bytes. count: call it for every
    answer that is sent."""

    slide: ServedSlide
    address: TileAddress
    fmt: Format
    headers: list[tuple[str, str]]
    head: bytes
    count: Callable[[], None]


class FastPath:
    """WSGI middleware. common: headers of every answer. hour, forever: values of Cache-Control for addresses without
    and with the slide's fingerprint."""

    def __init__(
        self,
        app: WSGIApplication,
        service: TileService,
        common: list[tuple[str, str]],
        hour: str,
        forever: str,
    ) -> None:
        self._app, self._service, self._common = app, service, common
        self._hour, self._forever = hour, forever
        self._asked: dict[tuple[str, str], Asked] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._cached(environ, start_response) or self._app(environ, start_response)

    def in_memory(self, path: str, query: str) -> tuple[bytes, bytes] | None:
        """Answer to GET of a tile in memory: headers without Content-Length, and body. None where it is not in
        memory."""
        asked = self._asked_for(path, query)
        if asked is None or (data := self._service.encoded_in_memory(asked.slide, asked.address, asked.fmt)) is None:
            return None
        asked.count()
        return asked.head, data

    def _cached(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD") or any(map(environ.__contains__, _LONG_WAY)):
            return None
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        asked = self._asked_for(path, query)
        if asked is None:
            return None
        missed = getattr(getattr(environ.get("waitress.client_disconnected"), "__self__", None), "missed", None)
        data = None
        if missed != (path, query) or is_stored(asked.slide, asked.address, asked.fmt):
            data = self._service.encoded(asked.slide, asked.address, asked.fmt)
        if data is None:
            environ[LOOKED] = asked.slide, asked.address, asked.fmt
            return None
        asked.count()
        start_response("200 OK", [("Content-Length", str(len(data))), *asked.headers])
        return [data if method == "GET" else b""]

    def _asked_for(self, path: str, query: str) -> Asked | None:
        asked = self._asked.get((path, query))
        return asked if asked is not None and self._service.serves(asked.slide) else self._read(path, query)

    def _read(self, path: str, query: str) -> Asked | None:
        """What an address asks for; remembered where there is such a tile."""
        where, version = _PATH.fullmatch(path), _QUERY.fullmatch(query)
        if where is None or version is None:
            return None
        try:
            slide = self._service.slide(where[1])
        except NotFoundError:
            return None
        address = TileAddress(int(where[2]), int(where[3]), int(where[4]))
        fmt = FORMATS[where[5]]
        if not slide.zoom.holds(address):
            return None
        headers = [
            ("Content-Type", fmt.mimetype),
            ("ETag", f'"{slide.etag(address, fmt)}"'),
            ("Cache-Control", self._forever if version[1] == slide.fingerprint else self._hour),
            ("X-Everslide-State", "final"),
            *slide.origin,
            *self._common,
        ]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
        count = self._service.metrics.serves(where[1], address.level, "final")
        if len(self._asked) >= _REMEMBERED:
            self._asked.clear()
        self._asked[path, query] = asked = Asked(slide, address, fmt, headers, head, count)
        return asked

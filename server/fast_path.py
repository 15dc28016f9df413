"""The short way to a cached tile: past Flask, with the same answer.

Browsing is mostly cached tiles; routing, validating and building a response cost several times what finding the bytes
does. Whatever is not a plain GET or HEAD of a tile that lies in the store goes the long way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from everslide.server.deepzoom import TileAddress
from everslide.server.encode import FORMATS, Format
from everslide.server.tiles import ServedSlide, TileService

Find = Callable[[ServedSlide, TileAddress, Format], bytes | None]

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PATH = re.compile(
    r"/slides/([a-z0-9][a-z0-9_-]{0,63})_files/(0|[1-9]\d?)/(0|[1-9]\d{0,11})_(0|[1-9]\d{0,11})\.(jpeg|jpg|webp|png)"
)
_QUERY = re.compile(r"(?:v=([0-9a-f]*))?")
_LONG_WAY = ("HTTP_IF_NONE_MATCH", "HTTP_ORIGIN", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_MATCH", "HTTP_RANGE")
"""Requests with one of these headers need Flask's answer."""


@dataclass(frozen=True)
class Answer:
    """A final tile as it is sent."""

    headers: list[tuple[str, str]]
    data: bytes


class FastPath:
    """WSGI middleware. common: headers of every answer. hour, forever: Cache-Control without and with the version."""

    def __init__(
        self,
        app: WSGIApplication,
        service: TileService,
        common: list[tuple[str, str]],
        hour: str,
        forever: str,
    ) -> None:
        self._app, self._service = app, service
        self._forever = forever
        self._slides: dict[str, tuple[ServedSlide, list[tuple[str, str]]]] = {}
        for entry in service.catalogue:
            is_slide = entry.slide
            headers = [
                ("X-Everslide-State", "final"),
                ("X-Everslide-Model", is_slide.model),
                ("X-Everslide-Seed", str(is_slide.seed)),
                *common,
            ]
            self._slides[is_slide.name] = service.slide(is_slide.name), headers
        self._hour = hour

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._cached(environ, start_response) or self._app(environ, start_response)

    def in_memory(self, path: str, query: str) -> Answer | None:
        """The answer to GET, where it takes neither disk nor network."""
        return self._answer(path, query, self._service.encoded_in_memory)

    def _cached(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD") or any(map(environ.__contains__, _LONG_WAY)):
            return None
        answer = self._answer(environ["PATH_INFO"], environ.get("QUERY_STRING", ""), self._service.encoded)
        if answer is None:
            return None
        start_response("200 OK", answer.headers)
        return [answer.data if method == "GET" else b""]

    def _answer(self, path: str, query: str, find: Find) -> Answer | None:
        where, version = _PATH.fullmatch(path), _QUERY.fullmatch(query)
        known = self._slides.get(where[1]) if where is not None else None
        if where is None or version is None or known is None:
            return None
        slide, headers = known
        address = TileAddress(int(where[2]), int(where[3]), int(where[4]))
        fmt = FORMATS[where[5]]
        if not slide.zoom.holds(address) or (data := find(slide, address, fmt)) is None:
            return None
        self._service.metrics.served(where[1], address.level, "final")
        own = [
            ("Content-Type", fmt.mimetype),
            ("Content-Length", str(len(data))),
            ("ETag", f'"{slide.etag(address, fmt)}"'),
            ("Cache-Control", self._forever if version[1] == slide.fingerprint else self._hour),
        ]
        return Answer(own + headers, data)

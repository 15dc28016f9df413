"""The Flask application: its routes, headers, access checks, and errors as JSON.

Routes of tiles are in `tile_routes`, of slides in `slide_routes`, of IIIF in `iiif_routes`, of exports in
`export_routes`, of the page and of the running server in `operation_routes`.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request
from flask.json.provider import DefaultJSONProvider
from flask_cors import CORS
from flask_openapi3 import Info, OpenAPI
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from everslide import version
from everslide.server import export_routes, iiif_routes, operation_routes, slide_routes, tile_routes
from everslide.server.access import VIEWER_HEADER, Access
from everslide.server.annotations import annotation_routes
from everslide.server.documents import Documents
from everslide.server.encode import NOTICE
from everslide.server.entrance import Entrance
from everslide.server.errors import HTTP_STATUS, RequestError, error_json
from everslide.server.fast_path import FastPath
from everslide.server.hosts import Hosts
from everslide.server.inspect import inspection_routes
from everslide.server.made import made_slides_routes
from everslide.server.new_slide import made_slide_routes
from everslide.server.origins import Origins, parse_frames, parse_origins
from everslide.server.proxies import TrustedProxies
from everslide.server.settings import Settings
from everslide.server.shapes import ErrorAnswer
from everslide.server.tile_routes import FOREVER, HOUR
from everslide.server.tiles import TileService
from everslide.server.tours import tour_routes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Completed by the origins whose pages may show the viewer in a frame."""
MAX_BODY = 1 << 20
"""Bytes of a request's body; larger ones are refused unread."""
_GZIP_MIN = 1000
_GZIP_QUICKLY = 2**20
"""Longer answers are compressed at the fastest level: a person would wait for a better one."""
_GZIP_TYPES = ("text/", "application/json", "application/xml", "application/javascript", "application/ld+json")
_READABLE = [
    "ETag",
    "Link",
    "Retry-After",
    "X-Everslide-Ancestor",
    "X-Everslide-Model",
    "X-Everslide-Organ",
    "X-Everslide-Region-Organs",
    "X-Everslide-Seed",
    "X-Everslide-State",
    "X-Everslide-Synthetic",
    "X-Everslide-Version",
]


def create_app(
    service: TileService, static: Path, settings: Settings | None = None, documents: Documents | None = None
) -> Flask:
    """The application that serves `service`, and the viewer's page from the folder `static`.

    settings: the defaults, without a cache folder, unless given. documents: where annotations, tours and new slides are
    stored; in memory only unless given.
    """
    settings = settings or Settings(cache=None)
    info = Info(title="Everslide", version=version(), description=f"Tiles painted when they are asked for. {NOTICE}.")
    app = OpenAPI(
        "everslide",
        info=info,
        static_folder=None,
        doc_ui=False,
        validation_error_status=400,
        validation_error_model=ErrorAnswer,
        validation_error_callback=_invalid,
        security_schemes={"token": {"type": "http", "scheme": "bearer"}},
    )
    app.json = _Json(app)
    app.url_map.merge_slashes = False  # an address has one spelling
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    origins, frames = parse_origins(settings.cors_origins), parse_frames(settings.frame_ancestors)
    access = Access(settings.token, settings.rate, Origins(origins), framed=bool(frames))
    app.before_request(access.check_change)
    documents = documents or Documents(None)
    operation_routes.add(app, service, static, access)
    slide_routes.add(app, service, documents, access)
    tile_routes.add(app, service, access)
    iiif_routes.add(app, service, access, settings.max_pixels)
    export_routes.add(app, service, access, settings.max_pixels)
    for routes in (annotation_routes, tour_routes, made_slide_routes, made_slides_routes):
        app.register_blueprint(routes(service, documents, access))
    app.register_blueprint(inspection_routes(service, access))
    _add_errors(app, service)
    common = _common_headers(frames)
    named = origins not in ((), ("*",))
    _add_headers(app, common, named)
    if origins:
        CORS(
            app,
            origins=list(origins),
            send_wildcard=origins == ("*",),
            expose_headers=_READABLE,
            allow_headers=["Authorization", "Content-Type", VIEWER_HEADER],
        )
    inner: WSGIApplication = app.wsgi_app
    if not named:  # else every answer varies by its origin
        inner = FastPath(inner, service, common, HOUR, FOREVER)
    hosts = Hosts(settings.hosts, settings.host)
    app.wsgi_app = Entrance(inner, TrustedProxies(settings.trusted_proxies), hosts, common)  # type: ignore[method-assign]
    return app


class _Json(DefaultJSONProvider):
    """Fields in their order; a body that is nested too deeply is no JSON, as any other that cannot be read."""

    sort_keys = False

    def loads(self, s: str | bytes, **options: Any) -> Any:
        """Raises ValueError."""
        try:
            return super().loads(s, **options)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _common_headers(frames: tuple[str, ...]) -> list[tuple[str, str]]:
    """Headers of every answer. frames: origins whose pages may show the viewer in a frame."""
    return [
        ("X-Everslide-Synthetic", "true"),
        ("X-Everslide-Version", version()),
        ("Content-Security-Policy", " ".join((SECURITY_POLICY, *frames))),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ]


def _add_headers(app: Flask, headers: list[tuple[str, str]], by_origin: bool) -> None:
    """by_origin: who asks decides who may read, also in the caches of proxies and browsers."""

    @app.after_request
    def mark(response: Response) -> Response:
        response.headers.update(headers)
        if by_origin:
            response.vary.add("Origin")
        if response.status_code == 204:
            del response.headers["Content-Type"]  # of nothing
        return _compressed(response)


def _compressed(response: Response) -> Response:
    """Text of some length as gzip, where the client takes it. Images are compressed already, streams must not wait."""
    if not (response.mimetype or "").startswith(_GZIP_TYPES) or (
        response.is_streamed and not response.direct_passthrough
    ):
        return response
    response.vary.add("Accept-Encoding")
    if not request.accept_encodings["gzip"] or response.status_code != 200 or response.mimetype == "text/event-stream":
        return response
    response.direct_passthrough = False
    data = response.get_data()
    if len(data) >= _GZIP_MIN:
        level = 6 if len(data) < _GZIP_QUICKLY else 1
        response.set_data(gzip.compress(data, compresslevel=level, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
        tag, _ = response.get_etag()
        if tag is not None:
            response.set_etag(tag, weak=True)  # the same content in other bytes
    return response


def _invalid(error: ValidationError) -> Response:
    """A body or a query that is not as documented."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "the body"
    return _error(400, "the fields of /api/docs", f"{field}: {first['msg']}", "correct the request")


def _add_errors(app: Flask, service: TileService) -> None:
    @app.errorhandler(RequestError)
    def known(error: RequestError) -> Response:
        response = _error(HTTP_STATUS[type(error)], error.expected, error.found, error.do)
        service.metrics.refused(response.status_code)
        return response

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        expected = "one of the addresses of Everslide" if error.code == 404 else error.name
        found = f"{request.method} {request.path[:200]}"
        response = _error(error.code or 500, expected, found, error.description or "")
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        service.metrics.refused(response.status_code)
        return response

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        app.logger.error("%s %s failed", request.method, request.path, exc_info=error)
        service.metrics.refused(500)
        return _error(500, "an answer", type(error).__name__, "see the server's log")


def _error(status: int, expected: str, found: str, do: str) -> Response:
    response = jsonify(error_json(status, expected, found, do))
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    if status in (429, 503):
        response.headers["Retry-After"] = "1"
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="everslide"'
    return response

"""Routes of the page, of the interface's documentation, and of the running server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response, jsonify, redirect, request, send_from_directory
from flask_openapi3 import OpenAPI, Tag
from werkzeug.wrappers import Response as BaseResponse

from everslide.server.access import Access, revalidated
from everslide.server.apidocs import described, docs_page
from everslide.server.errors import NotFoundError
from everslide.server.shapes import HealthAnswer, ReadyAnswer, content
from everslide.server.tiles import TileService

_TAG = [Tag(name="operation", description="The running server.")]


def add(app: OpenAPI, service: TileService, static: Path, access: Access) -> None:
    """static: folder of the page."""
    _add_page(app, static, access)
    _add_docs(app)
    _add_health(app, service)


def _add_page(app: OpenAPI, static: Path, access: Access) -> None:
    @app.get("/", tags=_TAG, responses={200: content("text/html", "The viewer.")})
    def page() -> BaseResponse:
        """The viewer. With ?token=TOKEN the browser remembers the token, and the address loses it."""
        if "token" in request.args:
            response = redirect("./", 303)
            access.sign_in(request.args["token"], response)
            response.headers["Cache-Control"] = "no-store"
            return response
        if not (static / "index.html").is_file():
            raise NotFoundError("the viewer's page", "none", "build the viewer with `make serve` or `npm run build`")
        return revalidated(send_from_directory(static, "index.html"))

    @app.route("/static/<path:name>")
    def asset(name: str) -> Response:
        return revalidated(send_from_directory(static, name))


def _add_docs(app: OpenAPI) -> None:
    @app.get("/api/openapi.json", tags=_TAG, responses={200: content("application/json", "OpenAPI 3.1.")})
    def openapi() -> Response:
        """This interface, for programs."""
        return revalidated(jsonify(_described(app)))

    @app.get("/api/docs", tags=_TAG, responses={200: content("text/html", "A page.")})
    def docs() -> Response:
        """This interface, for people."""
        return revalidated(Response(docs_page(_described(app)), mimetype="text/html"))


def _described(app: OpenAPI) -> dict[str, Any]:
    spec = described(app.api_doc, app.url_map, app.view_functions)
    return spec | {"servers": [{"url": request.script_root or "/"}]}


def _add_health(app: OpenAPI, service: TileService) -> None:
    @app.get("/healthz", tags=_TAG, responses={200: HealthAnswer})
    def healthz() -> Response:
        """Whether the process answers."""
        return jsonify({"status": "ok"})

    @app.get("/readyz", tags=_TAG, responses={200: ReadyAnswer, 503: ReadyAnswer})
    def readyz() -> Response:
        """Whether the service can paint: 503 while it stops, or while nobody paints for it."""
        checks = {check.name: check.passes() for check in service.checks}
        ready = not service.queue.closing and all(checks[check.name] for check in service.checks if check.needed)
        response = jsonify({"status": "ready" if ready else "not ready", "checks": checks})
        response.status_code = 200 if ready else 503
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/metrics", tags=_TAG, responses={200: content("text/plain", "Prometheus' text format.")})
    def metrics() -> Response:
        """Counters and gauges of this process."""
        response = Response(service.metrics.text(), mimetype="text/plain; version=0.0.4")
        response.headers["Cache-Control"] = "no-store"
        return response

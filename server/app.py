"""The Flask application: routes, headers, and errors as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from flask import Flask, Response, jsonify, request, send_from_directory
from werkzeug.exceptions import HTTPException

from everslide import version
from everslide.model.geometry import BASE_MAGNIFICATION, BASE_MPP, TILE_PX
from everslide.server.deepzoom import TileAddress, natural, parse_tile_name
from everslide.server.encode import JPEG, NOTICE, Format, format_of
from everslide.server.errors import HTTP_STATUS, MalformedError, NotFoundError, RequestError, error_json
from everslide.server.tiles import ServedSlide, Tile, TileService

SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HOUR = "public, max-age=3600"
FOREVER = "public, max-age=31536000, immutable"


def create_app(service: TileService, static: Path) -> Flask:
    """The application that serves `service`, and the page in the folder `static`."""
    app = Flask("everslide", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the provider of Flask has it, its base class has not
    app.url_map.merge_slashes = False  # an address has one spelling
    _add_page(app, static)
    _add_metadata(app, service)
    _add_tiles(app, service)
    _add_errors(app)
    everslide_version = version()

    @app.after_request
    def mark(response: Response) -> Response:
        response.headers["X-Everslide-Synthetic"] = "true"
        response.headers["X-Everslide-Version"] = everslide_version
        response.headers["Content-Security-Policy"] = SECURITY_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return app


def _add_page(app: Flask, static: Path) -> None:
    @app.get("/")
    def page() -> Response:
        if not (static / "index.html").is_file():
            raise NotFoundError("the viewer's page", "none", "build the viewer with `make serve` or `npm run build`")
        return _revalidated(send_from_directory(static, "index.html"))

    @app.get("/static/<path:name>")
    def asset(name: str) -> Response:
        return _revalidated(send_from_directory(static, name))

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})


def _revalidated(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-cache"
    return response


def _add_metadata(app: Flask, service: TileService) -> None:
    @app.get("/api/slides")
    def slides() -> Response:
        listed = [_metadata(service.slide(entry.slide.name)) for entry in service.catalogue]
        return _revalidated(jsonify({"slides": listed}))

    @app.get("/api/slides/<name>")
    def slide(name: str) -> Response:
        return _revalidated(jsonify(_metadata(service.slide(name))))

    @app.get("/api/slides/<name>/progress")
    def progress(name: str) -> Response:
        state = service.queue.progress(service.slide(name).entry.slide.name)
        response = jsonify(asdict(state))
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/slides/<name>.dzi")
    def descriptor(name: str) -> Response:
        xml = service.slide(name).zoom.descriptor(JPEG.suffix)
        return _revalidated(Response(xml, mimetype="application/xml"))


def _metadata(slide: ServedSlide) -> dict[str, object]:
    is_slide = slide.entry.slide
    return {
        "id": is_slide.name,
        "title": slide.entry.title,
        "seed": is_slide.seed,
        "model": is_slide.model,
        "width": is_slide.width_px,
        "height": is_slide.height_px,
        "mpp": BASE_MPP,
        "magnification": BASE_MAGNIFICATION,
        "tile_size": TILE_PX,
        "overlap": 0,
        "min_level": slide.zoom.min_level,
        "max_level": slide.zoom.max_level,
        "root_level": slide.zoom.root_level,
        "unbounded": is_slide.unbounded,
        "format": JPEG.suffix,
        "fingerprint": slide.fingerprint,
        "version": version(),
        "synthetic": True,
        "notice": NOTICE,
        "dzi": f"/slides/{is_slide.name}.dzi",
        "tiles": f"/slides/{is_slide.name}_files/{{level}}/{{col}}_{{row}}.{JPEG.suffix}",
    }


def _add_tiles(app: Flask, service: TileService) -> None:
    @app.get("/slides/<name>_files/<level>/<tile_name>")
    def tile(name: str, level: str, tile_name: str) -> Response:
        slide = service.slide(name)
        t_col, t_row, suffix = parse_tile_name(tile_name)
        fmt = format_of(suffix)
        address = TileAddress(natural(level, "the level"), t_col, t_row)
        slide.zoom.check(address)
        if _wants_preview():
            return _tile_response(slide, address, service.preview(slide, address, fmt))
        if request.if_none_match.contains_weak(slide.etag(address, fmt)):  # deterministic: no need to paint it
            return _with_headers(Response(status=304), slide, address, fmt)
        return _tile_response(slide, address, service.final(slide, address, fmt, _client_gone()))


def _wants_preview() -> bool:
    flag = request.args.get("preview", "0")
    if flag not in ("0", "1"):
        raise MalformedError("preview=1 or preview=0", f"preview={flag[:40]!r}", "correct the address")
    return flag == "1"


def _client_gone() -> Callable[[], bool]:
    """How to find out whether the client went away; waitress can tell, other servers never do."""
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    return gone


def _tile_response(slide: ServedSlide, address: TileAddress, tile: Tile) -> Response:
    response = Response(tile.data, mimetype=tile.fmt.mimetype)
    if tile.state == "final":
        return _with_headers(response, slide, address, tile.fmt)
    response.headers["Cache-Control"] = "no-store"
    return _say_synthetic(response, slide, "preview")


def _with_headers(response: Response, slide: ServedSlide, address: TileAddress, fmt: Format) -> Response:
    """The headers of a final tile. The address alone may be another tile tomorrow (another version, other weights);
    with `?v=<fingerprint>` it is this tile for ever."""
    response.set_etag(slide.etag(address, fmt))
    response.headers["Cache-Control"] = FOREVER if request.args.get("v") == slide.fingerprint else HOUR
    return _say_synthetic(response, slide, "final")


def _say_synthetic(response: Response, slide: ServedSlide, state: str) -> Response:
    response.headers["X-Everslide-State"] = state
    response.headers["X-Everslide-Model"] = slide.entry.slide.model
    response.headers["X-Everslide-Seed"] = str(slide.entry.slide.seed)
    return response


def _add_errors(app: Flask) -> None:
    @app.errorhandler(RequestError)
    def known(error: RequestError) -> Response:
        return _error(HTTP_STATUS[type(error)], error.expected, error.found, error.do)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        expected = "one of the addresses of Everslide" if error.code == 404 else error.name
        found = f"{request.method} {request.path[:200]}"
        response = _error(error.code or 500, expected, found, error.description or "")
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        app.logger.error("%s %s failed", request.method, request.path, exc_info=error)
        return _error(500, "an answer", type(error).__name__, "see the server's log")


def _error(status: int, expected: str, found: str, do: str) -> Response:
    response = jsonify(error_json(status, expected, found, do))
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response

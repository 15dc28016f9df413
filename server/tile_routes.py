"""Routes of tiles."""

from __future__ import annotations

from flask import Response, request
from flask_openapi3 import OpenAPI, Tag

from everslide.model.geometry import TILE_PX, Rect
from everslide.server.access import Access, client_gone, viewer_name
from everslide.server.deepzoom import TileAddress, natural, parse_tile_name
from everslide.server.encode import Format, encode, format_of
from everslide.server.errors import BusyError, MalformedError
from everslide.server.fast_path import LOOKED
from everslide.server.shapes import ErrorAnswer, TilePath, TileQuery
from everslide.server.slide_window import view_of
from everslide.server.tiles import ServedSlide, Tile, TileService

HOUR = "public, max-age=3600"
FOREVER = "public, max-age=31536000, immutable"
_IMAGE = {
    "description": "The tile. X-Everslide-State says whether it is `final` or a `preview`, X-Everslide-Ancestor from "
    "which level/col_row a preview was enlarged.",
    "content": {kind: {"schema": {"type": "string"}} for kind in ("image/jpeg", "image/webp", "image/png")},
}


def add(app: OpenAPI, service: TileService, access: Access) -> None:
    @app.get(
        "/slides/<name>_files/<level>/<tile_name>",
        tags=[Tag(name="tiles", description="Deep Zoom tiles.")],
        responses={
            200: _IMAGE,
            304: {"description": "The client has it."},
            **dict.fromkeys((400, 401, 404, 429, 500, 503), ErrorAnswer),
        },
    )
    def tile(path: TilePath, query: TileQuery) -> Response:
        """A tile, painted if needed. If the client disconnects or its viewport moves away, it is not painted for it."""
        if "@" in path.name:
            return _part_of_endless(service, access, path)
        slide = service.slide(path.name)
        t_col, t_row, suffix = parse_tile_name(path.tile_name)
        fmt = format_of(suffix)
        address = TileAddress(natural(path.level, "the level"), t_col, t_row)
        slide.zoom.check(address)
        if access.allowed():
            service.foresight.asked(viewer_name(), path.name, address)
        if _wants_preview(query):
            return _response(service, slide, address, service.preview(slide, address, fmt), query)
        if request.if_none_match.contains_weak(slide.etag(address, fmt)):  # deterministic: no need to paint it
            return _final_headers(Response(status=304), slide, address, fmt, query)
        cached = service.cached(slide, address, fmt, looked=request.environ.get(LOOKED) == (slide, address, fmt))
        if cached is None:
            access.admit()
            cached = _painted(service, slide, address, fmt, exact=query.v is not None)
        return _response(service, slide, address, cached, query)


def _painted(service: TileService, slide: ServedSlide, address: TileAddress, fmt: Format, exact: bool) -> Tile:
    """The painted tile; while too many wait, its enlarged ancestor, unless the exact bytes were asked for."""
    try:
        return service.painted(slide, address, fmt, client_gone(), viewer_name())
    except BusyError:
        if exact:
            raise
        return service.preview(slide, address, fmt)


def _part_of_endless(service: TileService, access: Access, path: TilePath) -> Response:
    """A tile of a bounded part of a slide without an end, which is no tile of that slide."""
    view = view_of(service, path.name)
    t_col, t_row, suffix = parse_tile_name(path.tile_name)
    fmt, address = format_of(suffix), TileAddress(natural(path.level, "the level"), t_col, t_row)
    view.zoom.check(address)
    tag = f"{view.slide.fingerprint}-{view.l0_x}-{view.l0_y}-{address.level}-{t_col}-{t_row}-{fmt.suffix}"
    response = Response(status=304)
    if not request.if_none_match.contains_weak(tag):
        access.admit()
        z_rect = Rect(t_col * TILE_PX, t_row * TILE_PX, *view.zoom.tile_size(address))
        pixels = view.read(service, address.level, z_rect, client_gone(), viewer_name())
        response = Response(encode(pixels, fmt, view.slide.mark), mimetype=fmt.mimetype)
    response.set_etag(tag)
    response.headers["Cache-Control"] = HOUR
    return say_synthetic(response, view.slide, "final")


def _wants_preview(query: TileQuery) -> bool:
    if query.preview not in ("0", "1"):
        raise MalformedError("preview=1 or preview=0", f"preview={query.preview[:40]!r}", "correct the address")
    return query.preview == "1"


def _response(service: TileService, slide: ServedSlide, address: TileAddress, tile: Tile, query: TileQuery) -> Response:
    service.metrics.served(slide.entry.slide.name, address.level, tile.state)
    response = Response(tile.data, mimetype=tile.fmt.mimetype)
    if tile.state == "final":
        return _final_headers(response, slide, address, tile.fmt, query)
    response.headers["Cache-Control"] = "no-store"
    above = tile.ancestor
    response.headers["X-Everslide-Ancestor"] = "none" if above is None else f"{above.level}/{above.col}_{above.row}"
    return say_synthetic(response, slide, "preview")


def _final_headers(
    response: Response, slide: ServedSlide, address: TileAddress, fmt: Format, query: TileQuery
) -> Response:
    """The headers of a final tile. The address alone may be another tile tomorrow (another version, other weights);
    with `?v=<fingerprint>` it is this tile for ever."""
    response.set_etag(slide.etag(address, fmt))
    response.headers["Cache-Control"] = FOREVER if query.v == slide.fingerprint else HOUR
    return say_synthetic(response, slide, "final")


def say_synthetic(response: Response, slide: ServedSlide, state: str) -> Response:
    """The headers of every image."""
    response.headers["X-Everslide-State"] = state
    response.headers.update(slide.origin)
    return response

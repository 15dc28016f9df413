"""The route of exports."""

from __future__ import annotations

import tempfile
from pathlib import Path

from flask import Response, send_file
from flask_openapi3 import OpenAPI, Tag

from everslide.model.geometry import Rect
from everslide.server.access import Access, client_gone
from everslide.server.encode import JPEG, PNG
from everslide.server.regions import check_size
from everslide.server.shapes import ErrorAnswer, ExportPost, SlidePath
from everslide.server.tile_routes import say_synthetic
from everslide.server.tiles import TileService

_FILE = {
    "description": "The file.",
    "content": {kind: {"schema": {"type": "string"}} for kind in ("image/png", "image/jpeg", "image/tiff")},
}
_MIMETYPES = {"png": "image/png", "jpeg": "image/jpeg", "ome.tiff": "image/tiff"}


def add(app: OpenAPI, service: TileService, access: Access, max_pixels: int) -> None:
    """max_pixels: of a region; larger ones are for `everslide export`."""

    @app.post(
        "/slides/<name>/export",
        tags=[Tag(name="export", description="Regions as files.")],
        security=[{"token": []}],
        responses={200: _FILE, **dict.fromkeys((400, 401, 404, 413, 429, 503), ErrorAnswer)},
    )
    def export(path: SlidePath, body: ExportPost) -> Response:
        """A region as a file, painted if need be; answered when it is whole."""
        from everslide.server import export as exports  # tifffile takes a moment

        access.admit()
        slide = service.slide(path.name)
        region = exports.region_of(slide, body.level, Rect(body.x, body.y, body.width, body.height))
        if body.format == "ome.tiff":
            check_size(body.width, body.height, max_pixels)
        else:
            exports.check_field(body.width, body.height, JPEG if body.format == "jpeg" else PNG, max_pixels)
        pyramid = exports.Pyramid(service, region, client_gone(), single=body.format != "ome.tiff")
        folder = tempfile.TemporaryDirectory(prefix="everslide-")
        out = Path(folder.name) / f"{slide.entry.slide.name}-{body.level}-{body.x}-{body.y}.{body.format}"
        try:
            if body.format == "ome.tiff":
                exports.export_tiff(pyramid, out, body.lossless)
            else:
                exports.export_field(pyramid, out, JPEG if body.format == "jpeg" else PNG, max_pixels)
        except BaseException:
            folder.cleanup()
            raise
        response = send_file(out, mimetype=_MIMETYPES[body.format], as_attachment=True, download_name=out.name)
        response.call_on_close(folder.cleanup)
        response.headers["Cache-Control"] = "no-store"
        return say_synthetic(response, slide, "final")

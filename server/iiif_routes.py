"""Routes of the IIIF Image API 3."""

from __future__ import annotations

from typing import TypeVar

from flask import Response, jsonify, redirect, request
from flask_openapi3 import OpenAPI, Tag
from werkzeug.wrappers import Response as BaseResponse

from everslide.model.geometry import TILE_PX
from everslide.server import iiif
from everslide.server.access import Access, client_gone, viewer_name
from everslide.server.encode import NOTICE
from everslide.server.errors import MalformedError
from everslide.server.regions import read_region
from everslide.server.shapes import ErrorAnswer, IIIFImagePath, IIIFInfoPath, content
from everslide.server.tile_routes import HOUR, say_synthetic
from everslide.server.tiles import ServedSlide, TileService

MAX_AREA = 16_000_000
"""Pixels of an image that is answered."""
_TAG = [Tag(name="iiif", description="IIIF Image API 3.0, level 2.")]
_PROFILE_LINK = '<http://iiif.io/api/image/3/level2.json>;rel="profile"'
R = TypeVar("R", bound=BaseResponse)
_LD_JSON = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'


def add(app: OpenAPI, service: TileService, access: Access, max_pixels: int) -> None:
    """max_pixels: pixels that may be read for one image."""
    limits = iiif.Limits(min(MAX_AREA, max_pixels))

    @app.get("/iiif/3/<name>", tags=_TAG, responses={303: {"description": "To info.json."}})
    def base(path: IIIFInfoPath) -> BaseResponse:
        """The image's base address."""
        service.slide(path.name)
        return _open(redirect(f"{path.name}/info.json", 303))

    @app.get(
        "/iiif/3/<name>/info.json", tags=_TAG, responses={200: content("application/ld+json", "Image information.")}
    )
    def info(path: IIIFInfoPath) -> Response:
        """Image information."""
        slide = service.slide(path.name)
        response = jsonify(iiif.info(_base(path.name), slide.zoom, limits, TILE_PX, NOTICE))
        if "application/ld+json" in request.headers.get("Accept", ""):
            response.headers["Content-Type"] = _LD_JSON
        response.headers["Link"] = _PROFILE_LINK
        response.headers["Cache-Control"] = HOUR
        response.vary.add("Accept")
        response.add_etag()
        response.make_conditional(request)
        return _open(response)

    @app.get(
        "/iiif/3/<name>/<region>/<size>/<rotation>/<file>",
        tags=_TAG,
        responses={200: content("image/jpeg", "The image."), **dict.fromkeys((400, 401, 404, 413, 503), ErrorAnswer)},
    )
    def image(path: IIIFImagePath) -> Response:
        """A region of a slide, scaled, mirrored, turned; painted if need be."""
        slide = service.slide(path.name)
        quality, dot, suffix = path.file.rpartition(".")
        if not dot:
            raise MalformedError("quality.format, such as default.jpg", repr(path.file[:40]), "correct the address")
        extent = (slide.zoom.slide.width_px, slide.zoom.slide.height_px)
        asked = iiif.parse(extent, limits, path.region, path.size, path.rotation, quality, suffix)
        tag = f"{slide.fingerprint}-iiif-{asked.canonical}"
        if request.if_none_match.contains_weak(tag):
            return _headers(Response(status=304), slide, asked, tag)
        access.admit()
        gone, viewer = client_gone(), viewer_name()
        data = iiif.render(
            asked,
            slide.zoom,
            lambda level, z_rect: read_region(service, slide, level, z_rect, gone, viewer),
            slide.mark,
            max_pixels,
        )
        return _headers(Response(data, mimetype=asked.fmt.mimetype), slide, asked, tag)


def _headers(response: Response, slide: ServedSlide, asked: iiif.ImageRequest, tag: str) -> Response:
    base = _base(slide.entry.slide.name)
    response.headers["Link"] = f'{_PROFILE_LINK}, <{base}/{asked.canonical}>;rel="canonical"'
    response.headers["Cache-Control"] = HOUR
    response.set_etag(tag)
    return _open(say_synthetic(response, slide, "final"))


def _base(name: str) -> str:
    return f"{request.url_root}iiif/3/{name}"


def _open(response: R) -> R:
    """IIIF is for pages of other origins: any may read, none sends what identifies its user."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response

"""Routes of the IIIF Image API 3."""

from __future__ import annotations

import re
from typing import TypeVar

from flask import Response, jsonify, redirect, request
from flask_openapi3 import OpenAPI, Tag
from werkzeug.wrappers import Response as BaseResponse

from everslide.model.geometry import TILE_PX
from everslide.server import iiif
from everslide.server.access import Access, client_gone, viewer_name
from everslide.server.encode import NOTICE
from everslide.server.errors import MalformedError
from everslide.server.shapes import ErrorAnswer, IIIFImagePath, IIIFInfoPath, content
from everslide.server.slide_window import View, view_of
from everslide.server.tile_routes import HOUR, say_synthetic
from everslide.server.tiles import TileService

MAX_AREA = 16_000_000
"""Pixels of an image that is answered."""
_TAG = [Tag(name="iiif", description="IIIF Image API 3.0, level 2.")]
_PROFILE_LINK = '<http://iiif.io/api/image/3/level2.json>;rel="profile"'
_PIXELS = re.compile(r"\d+,\d+,\d+,\d+")
R = TypeVar("R", bound=BaseResponse)
_LD_JSON = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'


def add(app: OpenAPI, service: TileService, access: Access, max_pixels: int) -> None:
    """max_pixels: pixels that may be read for one image."""
    limits = iiif.Limits(min(MAX_AREA, max_pixels))

    @app.get("/iiif/3/<name>", tags=_TAG, responses={303: {"description": "To info.json."}})
    def base(path: IIIFInfoPath) -> BaseResponse:
        """The image's base address."""
        view = view_of(service, path.name)
        return _open(redirect(f"{view.name}/info.json", 303))

    @app.get(
        "/iiif/3/<name>/info.json", tags=_TAG, responses={200: content("application/ld+json", "Image information.")}
    )
    def info(path: IIIFInfoPath) -> Response:
        """Image information."""
        view = view_of(service, path.name)
        organs = view.slide.organ, view.slide.region_organs
        response = jsonify(iiif.info(_base(view.name), view.zoom, limits, TILE_PX, NOTICE, *organs))
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
        view = _view(service, path)
        slide = view.slide
        quality, dot, suffix = path.file.rpartition(".")
        if not dot:
            raise MalformedError("quality.format, such as default.jpg", repr(path.file[:40]), "correct the address")
        extent = (view.zoom.slide.width_px, view.zoom.slide.height_px)
        asked = iiif.parse(extent, limits, path.region, path.size, path.rotation, quality, suffix)
        tag = iiif.entity_tag(asked, slide.fingerprint, (view.l0_x, view.l0_y))
        if request.if_none_match.contains_weak(tag):
            return _headers(Response(status=304), view, asked, tag)
        access.admit()
        gone, viewer = client_gone(), viewer_name()
        data = iiif.render(
            asked,
            view.zoom,
            lambda level, z_rect: view.read(service, level, z_rect, gone, viewer),
            slide.mark,
            max_pixels,
        )
        return _headers(Response(data, mimetype=asked.fmt.mimetype), view, asked, tag)


def _view(service: TileService, path: IIIFImagePath) -> View:
    """What an image is taken from; a region in 20x pixels may lie anywhere on a slide without an end."""
    if "@" not in path.name and _PIXELS.fullmatch(path.region):
        slide = service.slide(path.name)
        return View(slide, path.name, slide.zoom)
    return view_of(service, path.name)


def _headers(response: Response, view: View, asked: iiif.ImageRequest, tag: str) -> Response:
    base = _base(view.name)
    response.headers["Link"] = f'{_PROFILE_LINK}, <{base}/{asked.canonical}>;rel="canonical"'
    response.headers["Cache-Control"] = HOUR
    response.set_etag(tag)
    return _open(say_synthetic(response, view.slide, "final"))


def _base(name: str) -> str:
    return f"{request.url_root}iiif/3/{name}"


def _open(response: R) -> R:
    """IIIF is for pages of other origins: any may read, none sends what identifies its user."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response

"""Routes of slides: facts, state of painting, events, viewports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict

from flask import Response, jsonify, request
from flask_openapi3 import OpenAPI, Tag

from everslide import version
from everslide.model.geometry import BASE_MAGNIFICATION, BASE_MPP, TILE_PX
from everslide.server.access import Access, client_gone, revalidated, viewer_name
from everslide.server.documents import Documents
from everslide.server.encode import JPEG, NOTICE
from everslide.server.errors import NotFoundError
from everslide.server.events import Listener
from everslide.server.made import slides_set_aside
from everslide.server.set_aside import set_aside_json
from everslide.server.shapes import (
    ErrorAnswer,
    PlacesAnswer,
    ProgressAnswer,
    SlideAnswer,
    SlidePath,
    SlidesAnswer,
    TissueQuery,
    ViewportAnswer,
    ViewportPost,
    content,
)
from everslide.server.slide_window import default_part, pyramid_of
from everslide.server.tiles import ServedSlide, TileService
from everslide.server.tissue_places import tissue_places
from everslide.server.viewports import Viewport

_TAG = [Tag(name="slides", description="Facts of slides, and what happens to them.")]
HEARTBEAT_SECONDS = 5.0
"""A stream without events sends a comment so often; otherwise a client that has gone would not be noticed."""


def add(app: OpenAPI, service: TileService, documents: Documents, access: Access) -> None:
    """documents: people's own work, of which is told what of the slides in it cannot be offered."""
    _add_facts(app, service, documents, access)
    _add_live(app, service, access)


def _add_facts(app: OpenAPI, service: TileService, documents: Documents, access: Access) -> None:
    @app.get("/api/slides", tags=_TAG, responses={200: SlidesAnswer})
    def slides() -> Response:
        """All slides. set_aside: what is stored of further ones and cannot be read, why, and where."""
        listed = [metadata(slide) for slide in service.served()]
        odd = set_aside_json(slides_set_aside(service, documents), access.allowed())
        return revalidated(jsonify({"slides": listed, "set_aside": odd}))

    @app.get("/api/slides/<name>", tags=_TAG, responses={200: SlideAnswer, 404: ErrorAnswer})
    def slide(path: SlidePath) -> Response:
        """One slide."""
        return revalidated(jsonify(metadata(service.slide(path.name))))

    @app.get("/api/slides/<name>/progress", tags=_TAG, responses={200: ProgressAnswer, 404: ErrorAnswer})
    def progress(path: SlidePath) -> Response:
        """The state of painting."""
        response = jsonify(_progress(service, path.name))
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get(
        "/api/slides/<name>/tissue",
        tags=_TAG,
        responses={200: PlacesAnswer, **dict.fromkeys((400, 401, 404, 429, 503), ErrorAnswer)},
    )
    def tissue(path: SlidePath, query: TissueQuery) -> Response:
        """Places inside tissue, with the organ that is there; those with most tissue around first, always the same."""
        access.admit()
        slide = service.slide(path.name)
        places = tissue_places(service, slide, query.count, client_gone(), viewer_name())
        return revalidated(jsonify({"places": [asdict(place) for place in places]}))

    @app.get(
        "/slides/<name>.dzi",
        tags=_TAG,
        responses={200: content("application/xml", "Deep Zoom descriptor."), 400: ErrorAnswer, 404: ErrorAnswer},
    )
    def descriptor(path: SlidePath) -> Response:
        """The slide as a Deep Zoom image; of a slide without an end, or too large to be shown whole, a part,
        `NAME@X,Y,WIDTH,HEIGHT`."""
        xml = pyramid_of(service, path.name).zoom.descriptor(JPEG.suffix)
        return revalidated(Response(xml, mimetype="application/xml"))


def _add_live(app: OpenAPI, service: TileService, access: Access) -> None:
    @app.post(
        "/slides/<name>/viewport",
        tags=_TAG,
        security=[{"token": []}],
        responses={200: ViewportAnswer, 401: ErrorAnswer, 404: ErrorAnswer, 429: ErrorAnswer},
    )
    def viewport(path: SlidePath, body: ViewportPost) -> Response:
        """Post what a viewer shows: its tiles are painted first, those nearest to its centre before others."""
        access.admit()
        slide, viewport = service.slide(path.name), Viewport(body.level, body.x, body.y, body.width, body.height)
        name = slide.entry.slide.name
        service.queue.viewports.post(body.viewer, name, viewport)
        service.foresight.looked(body.viewer, name, slide.zoom, viewport)
        response = jsonify({"dropped": service.queue.cancel_out_of_view(body.viewer, name)})
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get(
        "/slides/<name>/events",
        tags=_TAG,
        responses={
            200: content("text/event-stream", "Events `progress` and `tile`, each with JSON data, while it is open."),
            404: ErrorAnswer,
            503: ErrorAnswer,
        },
    )
    def events(path: SlidePath) -> Response:
        """States of tiles as they change in this process: waiting, painting, final, failed, dropped."""
        name = service.slide(path.name).entry.slide.name
        listener = service.queue.broker.listen(name)
        gone = client_gone()

        def stream() -> Iterator[str]:
            yield _event("progress", _progress(service, name))
            with suppress(NotFoundError):  # the slide was deleted
                while not service.queue.broker.closed and not gone() and service.slide(name):
                    yield _next(listener, service, name)

        response = Response(stream(), mimetype="text/event-stream")
        response.call_on_close(lambda: service.queue.broker.leave(listener))
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"
        return response


def _next(listener: Listener, service: TileService, name: str) -> str:
    event = listener.next(HEARTBEAT_SECONDS)
    if listener.lost:
        listener.lost = 0
        return _event("progress", _progress(service, name))
    return ": nothing new\n\n" if event is None else _event("tile", asdict(event.address) | {"state": event.state})


def _event(kind: str, data: dict[str, object]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def _progress(service: TileService, name: str) -> dict[str, object]:
    return asdict(service.queue.progress(service.slide(name).entry.slide.name))


def metadata(slide: ServedSlide) -> dict[str, object]:
    """Facts of a slide, for JSON; see `SlideAnswer`."""
    is_slide, root = slide.entry.slide, request.script_root
    pyramid = is_slide.name if slide.zoom.ends else default_part(slide)
    image = pyramid if is_slide.unbounded else is_slide.name
    return {
        "id": is_slide.name,
        "title": slide.entry.title,
        "seed": is_slide.seed,
        "made": slide.entry.made,
        "model": is_slide.model,
        "steps": is_slide.sampling.steps,
        "guidance": is_slide.sampling.guidance,
        **organ_facts(slide),
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
        "dzi": f"{root}/slides/{pyramid}.dzi",
        "tiles": f"{root}/slides/{is_slide.name}_files/{{level}}/{{col}}_{{row}}.{JPEG.suffix}",
        "iiif": f"{root}/iiif/3/{image}",
    }


def organ_facts(slide: ServedSlide) -> dict[str, object]:
    """The organs of a slide and of its regions, for JSON; null where its model knows none, or a picture says what it is
    like."""
    organ, of_regions = slide.organ, {one.name: one for one in slide.region_organs}
    return {
        "organ": organ.name if organ else None,
        "organ_cases": organ.cases if organ else None,
        "organ_sections": organ.sections if organ else None,
        "organ_drawn": organ.drawn if organ else None,
        "regions": [
            {
                "x_um": region.x_um,
                "y_um": region.y_um,
                "width_um": region.width_um,
                "height_um": region.height_um,
                "organ": one.name if one else None,
                "organ_cases": one.cases if one else None,
                "organ_sections": one.sections if one else None,
            }
            for region in (slide.like.regions if slide.like else ())
            for one in (of_regions.get(region.style.organ),)
        ],
    }

"""Routes of tours: ordered stops on a slide, each with a text. Stored with the slide."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from everslide.server.access import Access
from everslide.server.documents import Document, Documents, document_name, json_line
from everslide.server.errors import MalformedError, NotFoundError
from everslide.server.fields import checked, fresh_json, identifier, json_body, takes
from everslide.server.one_line import one_line
from everslide.server.set_aside import set_aside_json
from everslide.server.shapes import TourPut
from everslide.server.tiles import TileService
from everslide.server.versions import check_version, seen_by, version_of, versions_of

KIND, WHAT = "tours", "tour"
MAX_TOURS = 200


def tour_routes(service: TileService, documents: Documents, access: Access) -> Blueprint:
    """GET `/api/slides/<name>/tours`; PUT and DELETE one of them."""
    routes = Blueprint(KIND, __name__)

    def name_of(slide: str) -> str:
        return document_name(service.slide(slide).entry.slide)

    @routes.get("/api/slides/<slide>/tours")
    def every(slide: str) -> Response:
        """The tours of a slide. versions: of each, for If-Match. set_aside: stored entries that cannot be read, each
        with the reason and the file."""
        name = name_of(slide)
        odd = set_aside_json(documents.set_aside(KIND, name, stored_tour), access.allowed())
        tours = documents.get(KIND, name, stored_tour)
        versions = versions_of({key: json_line(tour) for key, tour in tours.items()})
        answer = {"tours": list(tours.values()), "versions": versions}
        return fresh_json({**answer, **({"set_aside": odd} if odd else {})})

    @routes.put("/api/slides/<slide>/tours/<key>")
    @takes(TourPut)
    def put(slide: str, key: str) -> Response:
        """Keep a tour, new or changed. With `If-Match`, its ETag or version as it was seen before: only where nobody
        changed it meanwhile."""
        access.admit()
        tour = checked_tour(json_body(request), key)

        def keep(kept: Document) -> None:
            check_version(kept.get(key), tour, seen_by(request), WHAT)
            kept[key] = tour
            if len(kept) > MAX_TOURS:
                raise MalformedError(f"at most {MAX_TOURS} tours a slide", str(len(kept)), "delete some")

        documents.change(KIND, name_of(slide), keep, stored_tour)
        response = fresh_json(tour)
        response.set_etag(version_of(json_line(tour)))
        return response

    @routes.delete("/api/slides/<slide>/tours/<key>")
    def delete(slide: str, key: str) -> Response:
        """Delete a tour; `If-Match` as for PUT."""
        access.admit()

        def drop(kept: Document) -> None:
            if key in kept:
                check_version(kept[key], None, seen_by(request), WHAT)
            if kept.pop(key, None) is None:
                raise NotFoundError("a tour of this slide", repr(key[:64]), "load the list anew")

        documents.change(KIND, name_of(slide), drop, stored_tour)
        return Response(status=204)

    return routes


def stored_tour(key: str, entry: Any) -> dict[str, Any]:
    """A tour as it is stored -> checked, as it is served. Raises MalformedError."""
    return checked_tour(entry, key)


def checked_tour(fields: object, key: str) -> dict[str, Any]:
    """A tour with exactly the known fields: id, title, stops (title, text, x and y in 20x pixels, magnification,
    rotation in degrees). Titles are one line. Raises MalformedError."""
    tour = {"id": identifier(key), **checked(TourPut, fields).model_dump()}
    for titled in (tour, *tour["stops"]):
        titled["title"] = one_line(titled["title"])
    return tour

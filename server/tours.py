"""Routes of tours: ordered stops on a slide, each with a text. Stored with the slide."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from everslide.server.access import Access
from everslide.server.documents import Document, Documents, document_name
from everslide.server.errors import MalformedError, NotFoundError
from everslide.server.fields import checked, fresh_json, identifier, json_body, takes
from everslide.server.one_line import one_line
from everslide.server.set_aside import set_aside_json
from everslide.server.shapes import TourPut
from everslide.server.tiles import TileService

KIND = "tours"
MAX_TOURS = 200


def tour_routes(service: TileService, documents: Documents, access: Access) -> Blueprint:
    """GET `/api/slides/<name>/tours`; PUT and DELETE one of them."""
    routes = Blueprint(KIND, __name__)

    def name_of(slide: str) -> str:
        return document_name(service.slide(slide).entry.slide)

    @routes.get("/api/slides/<slide>/tours")
    def every(slide: str) -> Response:
        """The tours of a slide. set_aside: stored entries that cannot be read, each with the reason and the file."""
        name = name_of(slide)
        odd = set_aside_json(documents.set_aside(KIND, name, stored_tour), access.allowed())
        tours = list(documents.get(KIND, name, stored_tour).values())
        return fresh_json({"tours": tours, **({"set_aside": odd} if odd else {})})

    @routes.put("/api/slides/<slide>/tours/<key>")
    @takes(TourPut)
    def put(slide: str, key: str) -> Response:
        """Keep a tour, new or changed."""
        access.admit()
        tour = checked_tour(json_body(request), key)

        def keep(kept: Document) -> None:
            kept[key] = tour
            if len(kept) > MAX_TOURS:
                raise MalformedError(f"at most {MAX_TOURS} tours a slide", str(len(kept)), "delete some")

        documents.change(KIND, name_of(slide), keep, stored_tour)
        return fresh_json(tour)

    @routes.delete("/api/slides/<slide>/tours/<key>")
    def delete(slide: str, key: str) -> Response:
        """Delete a tour."""
        access.admit()

        def drop(kept: Document) -> None:
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

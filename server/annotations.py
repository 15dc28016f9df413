"""Annotations of a slide: GeoJSON features as QuPath reads and writes them, in 20x pixels, one address each."""

from __future__ import annotations

import math
from typing import Any

from flask import Blueprint, Response, request

from everslide.server.access import Access
from everslide.server.documents import Document, Documents, document_name
from everslide.server.encode import NOTICE
from everslide.server.errors import MalformedError, NotFoundError
from everslide.server.fields import fresh_json, identifier, json_body, takes, text
from everslide.server.shapes import AnnotationPut, AnnotationsPost
from everslide.server.tiles import TileService

KIND = "annotations"
MAX_FEATURES = 20_000
MAX_LABEL = 200
_DEPTH = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
"""How deep positions are nested in the coordinates of a geometry (RFC 7946, section 3.1)."""
_FEWEST = {"LineString": 2, "Polygon": 4}
_MAX_COORDINATE = float(2**53)


def annotation_routes(service: TileService, documents: Documents, access: Access) -> Blueprint:
    """GET and POST (add many) `/api/slides/<name>/annotations`; PUT and DELETE one of them."""
    routes = Blueprint(KIND, __name__)

    def name_of(slide: str) -> str:
        return document_name(service.slide(slide).entry.slide)

    @routes.get("/api/slides/<slide>/annotations")
    def every(slide: str) -> Response:
        """The annotations of a slide, as GeoJSON."""
        return _collection(documents.get(KIND, name_of(slide)))

    @routes.post("/api/slides/<slide>/annotations")
    @takes(AnnotationsPost)
    def add(slide: str) -> Response:
        """Keep the annotations of a GeoJSON collection with a slide."""
        access.admit()
        body = json_body(request)
        features = body.get("features")
        if body.get("type") != "FeatureCollection" or not isinstance(features, list):
            raise MalformedError("a GeoJSON FeatureCollection", repr(body.get("type"))[:40], "send one")
        found = [checked_feature(feature) for feature in features]
        return _collection(documents.change(KIND, name_of(slide), lambda kept: _keep(kept, found)))

    @routes.put("/api/slides/<slide>/annotations/<key>")
    @takes(AnnotationPut)
    def put(slide: str, key: str) -> Response:
        """Keep one annotation, new or changed."""
        access.admit()
        feature = checked_feature(json_body(request) | {"id": key})
        documents.change(KIND, name_of(slide), lambda kept: _keep(kept, [feature]))
        return fresh_json(feature)

    @routes.delete("/api/slides/<slide>/annotations/<key>")
    def delete(slide: str, key: str) -> Response:
        """Delete an annotation."""
        access.admit()

        def drop(kept: Document) -> None:
            if kept.pop(key, None) is None:
                raise NotFoundError("an annotation of this slide", repr(key[:64]), "load the list anew")

        documents.change(KIND, name_of(slide), drop)
        return Response(status=204)

    return routes


def checked_feature(feature: object) -> dict[str, Any]:
    """A feature whose geometry, identifier and label can be relied upon. Raises MalformedError, which says what is
    wrong. Properties that Everslide does not know are kept: QuPath's measurements, for example."""
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise MalformedError("a GeoJSON Feature", repr(feature)[:60], "send an object of type Feature")
    name = identifier(feature.get("id"))
    properties = feature.get("properties")
    properties = {} if properties is None else properties
    if not isinstance(properties, dict):
        raise MalformedError("field 'properties' as an object", repr(properties)[:60], "correct it")
    text(properties, "name", MAX_LABEL, "")
    classification = properties.get("classification")
    if isinstance(classification, dict):
        text(classification, "name", MAX_LABEL, "")
    return {"type": "Feature", "id": name, "geometry": _geometry(feature.get("geometry")), "properties": properties}


def _geometry(geometry: object) -> dict[str, Any]:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or kind not in _DEPTH:
        raise MalformedError(f"a geometry, one of {', '.join(_DEPTH)}", repr(kind)[:40], "send one of these")
    coordinates = geometry.get("coordinates")
    _check_positions(coordinates, _DEPTH[kind], _FEWEST.get(kind, 1))
    return {"type": kind, "coordinates": coordinates}


def _check_positions(value: object, depth: int, fewest: int) -> None:
    if not isinstance(value, list):
        raise MalformedError("coordinates as lists", repr(value)[:60], "send GeoJSON coordinates")
    if depth > 0:
        if len(value) < (fewest if depth == 1 else 1):
            raise MalformedError(f"at least {fewest} positions", str(len(value)), "send a whole shape")
        for part in value:
            _check_positions(part, depth - 1, fewest)
        return
    numbers = all(isinstance(n, int | float) and not isinstance(n, bool) for n in value)
    if len(value) not in (2, 3) or not numbers or not all(math.isfinite(n) and abs(n) < _MAX_COORDINATE for n in value):
        raise MalformedError("a position [x, y] in 20x pixels", repr(value)[:60], "send finite numbers below 2^53")


def _keep(kept: Document, features: list[dict[str, Any]]) -> None:
    kept.update({feature["id"]: feature for feature in features})
    if len(kept) > MAX_FEATURES:
        raise MalformedError(f"at most {MAX_FEATURES} annotations a slide", str(len(kept)), "delete some")


def _collection(kept: Document) -> Response:
    return fresh_json({"type": "FeatureCollection", "notice": NOTICE, "features": list(kept.values())})

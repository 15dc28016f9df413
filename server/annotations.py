"""Annotations of a slide: GeoJSON features as QuPath reads and writes them, in 20x pixels, one address each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, request

from everslide.server import geojson
from everslide.server.access import Access
from everslide.server.annotation_table import class_table, label_of, table, with_measures
from everslide.server.documents import Document, Documents, document_name, json_line
from everslide.server.encode import NOTICE
from everslide.server.errors import ChangedError, MalformedError, NotFoundError
from everslide.server.fields import MAX_FILE_BYTES, asks, checked, fresh_json, identifier, json_body, sent, takes
from everslide.server.geojson import Feature
from everslide.server.geojson_geometry import LeftOut, reason
from everslide.server.set_aside import set_aside_json
from everslide.server.shapes import AnnotationPut, AnnotationsPatch, AnnotationsPost
from everslide.server.tiles import TileService
from everslide.server.versions import check_version, seen_by, version_of, versions_of

KIND, WHAT = "annotations", "annotation"
MAX_FEATURES = 20_000


def annotation_routes(service: TileService, documents: Documents, access: Access) -> Blueprint:
    """GET, POST (import many), PATCH (change many) and DELETE `/api/slides/<name>/annotations`; PUT and DELETE one of
    them; GET them as a table."""
    routes = Blueprint(KIND, __name__)

    def name_of(slide: str) -> str:
        return document_name(service.slide(slide).entry.slide)

    @routes.get("/api/slides/<slide>/annotations")
    @asks({"measures": "1: with lengths and areas.", "versions": "1: with the version of each."})
    def every(slide: str) -> Response:
        """The annotations of a slide, as GeoJSON; `?measures=1`: with lengths and areas among QuPath's measurements;
        `?versions=1`: with the version of each, for If-Match and `was`. set_aside: stored entries that cannot be read,
        each with the reason and the file."""
        name = name_of(slide)
        odd = set_aside_json(documents.set_aside(KIND, name, stored_feature), access.allowed())
        kept = documents.texts(KIND, name, stored_feature)
        more: dict[str, Any] = {"set_aside": odd} if odd else {}
        if request.args.get("versions") == "1":
            more["versions"] = versions_of(kept)
        if request.args.get("measures") == "1":
            features = documents.get(KIND, name, stored_feature).values()
            return _collection((json.dumps(with_measures(feature)).encode() for feature in features), more)
        return _collection(kept.values(), more)

    @routes.get("/api/slides/<slide>/annotations.csv")
    @asks({"by": "class: summed up, one class a row."})
    def as_table(slide: str) -> Response:
        """Lengths, areas and counts, one annotation a row; `?by=class`: summed up, one class a row."""
        features = list(documents.get(KIND, name_of(slide), stored_feature).values())
        text = class_table(features) if request.args.get("by") == "class" else table(features)
        response = Response(text, mimetype="text/csv")
        response.headers["Cache-Control"] = "no-store"
        response.headers["Content-Disposition"] = f'attachment; filename="{service.slide(slide).entry.slide.name}.csv"'
        return response

    @routes.post("/api/slides/<slide>/annotations")
    @takes(AnnotationsPost)
    @asks({"import": "A UUID: the same import sent again adds nothing twice."})
    def add(slide: str) -> Response:
        """Import GeoJSON. The answer has the features that were kept, with their ids, and in `left_out` the place and
        reason of each that was not. `?import=UUID`: the same import sent again adds nothing twice."""
        access.admit()
        name = name_of(slide)
        reading = geojson.read_file(sent(request, MAX_FILE_BYTES))
        imported: list[Feature] = []

        def keep(kept: Document) -> None:
            fresh = geojson.fresh_ids(request.args.get("import"))
            for feature in geojson.with_ids(reading.features, kept, fresh):
                if feature["id"] not in kept and len(kept) >= MAX_FEATURES:
                    why = f"expected at most {MAX_FEATURES} annotations a slide, found more"
                    reading.left_out.append(LeftOut(f"annotation {feature['id']}", why))
                    continue
                kept[feature["id"]] = feature
                imported.append(feature)

        if reading.features:
            documents.change(KIND, name, keep, stored_feature)
        left_out = [{"place": one.place, "why": one.why} for one in reading.left_out]
        texts = documents.texts(KIND, name, stored_feature) if imported else {}
        as_kept = {feature["id"]: texts.get(feature["id"]) or json_line(feature) for feature in imported}
        more = {"imported": len(imported), "left_out": left_out, "versions": versions_of(as_kept)}
        return _collection(as_kept.values(), more)

    @routes.patch("/api/slides/<slide>/annotations")
    @takes(AnnotationsPatch)
    def change(slide: str) -> Response:
        """Keep and delete many annotations in one step. refused: those that are not changed, each with the reason.
        versions: of those that are kept."""
        access.admit()
        body = json_body(request, MAX_FILE_BYTES)
        puts, deletes = (_listed(body, name) for name in ("put", "delete"))
        was = checked(AnnotationsPatch, {"put": [], "was": body.get("was", {})}).was
        found: dict[str, Feature] = {}
        refused: list[tuple[str, str]] = []
        for put in puts:
            given = put.get("id") if isinstance(put, dict) else None
            try:
                key = identifier(given)
                found[key] = geojson.checked_feature(put, key)
            except MalformedError as error:
                refused.append(("" if given is None else str(given)[:64], reason(error)))

        def edit(kept: Document) -> None:
            for key, wanted in [*((str(key), None) for key in deletes), *found.items()]:
                try:
                    check_version(kept.get(key), wanted, was[key].__eq__ if key in was else None, WHAT)
                except ChangedError as error:
                    refused.append((key, reason(error)))
                    continue
                if wanted is None:
                    kept.pop(key, None)
                elif key not in kept and len(kept) >= MAX_FEATURES:
                    refused.append((key, f"expected at most {MAX_FEATURES} annotations a slide, found more"))
                else:
                    kept[key] = wanted

        document = documents.change(KIND, name_of(slide), edit, stored_feature)
        kept = found.keys() - {key for key, _ in refused}
        versions = versions_of({key: json_line(document[key]) for key in kept})
        return fresh_json({"refused": [{"id": key, "why": why} for key, why in refused], "versions": versions})

    @routes.delete("/api/slides/<slide>/annotations")
    @asks({"class": "Of this class only; all by default."})
    def delete_all(slide: str) -> Response:
        """Delete all annotations of a slide; `?class=Tumor`: those of a class."""
        access.admit()
        label = request.args.get("class")

        def drop(kept: Document) -> None:
            for key in [key for key, feature in kept.items() if label is None or label_of(feature) == label]:
                del kept[key]

        documents.change(KIND, name_of(slide), drop, stored_feature)
        return Response(status=204)

    @routes.put("/api/slides/<slide>/annotations/<key>")
    @takes(AnnotationPut)
    def put(slide: str, key: str) -> Response:
        """Keep one annotation, new or changed. With `If-Match`, its ETag or version as it was seen before: only where
        nobody changed it meanwhile."""
        access.admit()
        body = json_body(request)
        if body.get("type") != "Feature":
            raise MalformedError("a GeoJSON Feature", repr(body.get("type"))[:60], "send an object of type Feature")
        feature = geojson.checked_feature(body, identifier(key))

        def keep(kept: Document) -> None:
            check_version(kept.get(key), feature, seen_by(request), WHAT)
            kept[key] = feature
            if len(kept) > MAX_FEATURES:
                raise MalformedError(f"at most {MAX_FEATURES} annotations a slide", str(len(kept)), "delete some")

        documents.change(KIND, name_of(slide), keep, stored_feature)
        response = fresh_json(feature)
        response.set_etag(version_of(json_line(feature)))
        return response

    @routes.delete("/api/slides/<slide>/annotations/<key>")
    def delete(slide: str, key: str) -> Response:
        """Delete an annotation; `If-Match` as for PUT."""
        access.admit()

        def drop(kept: Document) -> None:
            if key in kept:
                check_version(kept[key], None, seen_by(request), WHAT)
            if kept.pop(key, None) is None:
                raise NotFoundError("an annotation of this slide", repr(key[:64]), "load the list anew")

        documents.change(KIND, name_of(slide), drop, stored_feature)
        return Response(status=204)

    return routes


def stored_feature(key: str, entry: Any) -> Feature:
    """A feature as it is stored -> checked, as it is served. Raises MalformedError."""
    return geojson.checked_feature(entry, identifier(key))


def _listed(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name, [])
    if not isinstance(value, list):
        raise MalformedError(f"field {name!r} as a list", repr(value)[:40], "correct it or leave it out")
    return value


def _collection(features: Iterable[bytes], more: dict[str, Any]) -> Response:
    """A collection of features that are JSON already, one a line: a page can read many of them bit by bit."""
    head = json.dumps({"type": "FeatureCollection", "notice": NOTICE, **more, "features": []}).encode()
    response = Response(head[:-2] + b"\n" + b",\n".join(features) + b"\n]}", mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response

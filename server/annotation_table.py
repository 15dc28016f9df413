"""Lengths, areas and counts of annotations, as tables (CSV) and as measurements in GeoJSON.

Two formulas, so shapely (10 MB with GEOS), which gives the same numbers, is not needed.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from everslide.model.geometry import BASE_MPP
from everslide.server.encode import NOTICE
from everslide.server.one_line import one_line

Feature = dict[str, Any]
Position = list[float]
_COLUMNS = ("id", "class", "name", "type", "points", "length_um", "area_um2", "perimeter_um", "x_px", "y_px", "notice")
_CLASS_COLUMNS = ("class", "annotations", "points", "length_um", "area_um2", "notice")
_NUMBERS = ("points", "length_um", "area_um2")


def table(features: Iterable[Feature]) -> str:
    """CSV, one row for each annotation. x_px, y_px: centre of its bounding box, in 20x pixels."""
    return _csv(_COLUMNS, (_row(feature) for feature in features))


def class_table(features: Iterable[Feature]) -> str:
    """CSV, one row for each class, in order of first appearance; annotations without a class have an empty one."""
    rows: dict[str, dict[str, Any]] = {}
    for feature in features:
        label = label_of(feature)
        row = rows.setdefault(label, {"class": label, "annotations": 0, "notice": NOTICE})
        row["annotations"] += 1
        for name, value in measures_of(feature["geometry"]).items():
            if name in _NUMBERS:
                row[name] = row.get(name, 0) + value
    return _csv(_CLASS_COLUMNS, rows.values())


def measures_of(geometry: dict[str, Any]) -> dict[str, float]:
    """Measures of a GeoJSON geometry in 20x pixels: `points` (number), `length_um`, or `area_um2` and
    `perimeter_um`."""
    kind, coordinates = geometry["type"], geometry["coordinates"]
    parts = coordinates if kind.startswith("Multi") else [coordinates]
    if kind.endswith("Point"):
        return {"points": len(parts)}
    if kind.endswith("LineString"):
        return {"length_um": math.fsum(_length_um(line) for line in parts)}
    return {
        "area_um2": math.fsum(_area_um2(rings) for rings in parts),
        "perimeter_um": math.fsum(_length_um(rings[0]) for rings in parts),
    }


def with_measures(feature: Feature) -> Feature:
    """A copy of the feature with its measures added to `measurements`, under QuPath's names. Existing ones are kept."""
    measured = measures_of(feature["geometry"])
    names = {"length_um": "Length µm", "area_um2": "Area µm^2", "perimeter_um": "Perimeter µm", "points": "Num points"}
    found = {names[name]: value for name, value in measured.items()}
    properties = feature["properties"]
    before = properties.get("measurements") or {}
    after: object
    if isinstance(before, list):  # as QuPath 0.2 writes them
        known = {each.get("name") for each in before if isinstance(each, dict)}
        after = [*before, *({"name": name, "value": value} for name, value in found.items() if name not in known)]
    elif isinstance(before, dict):
        after = found | before
    else:
        return feature
    return feature | {"properties": properties | {"measurements": after}}


def label_of(feature: Feature) -> str:
    """The class of an annotation, else its name, as the page shows it; empty where there is none."""
    properties = feature["properties"]
    return class_of(properties.get("classification")) or _words(properties.get("name"))


def class_of(classification: object) -> str:
    """A QuPath classification, as text, list of names or object -> text such as "Tumor: Positive"; "" for none."""
    if isinstance(classification, list):
        return ": ".join(words for each in classification if (words := _words(each)))
    if isinstance(classification, dict):
        return class_of(classification.get("names")) or _words(classification.get("name"))
    return _words(classification)


def _words(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return one_line(str(value))[:200] if isinstance(value, str) or is_number else ""


def _row(feature: Feature) -> dict[str, Any]:
    geometry, properties = feature["geometry"], feature["properties"]
    xs, ys = zip(*((x, y) for x, y, *_ in _positions(geometry["coordinates"])), strict=True)
    return {
        "id": feature["id"],
        "class": class_of(properties.get("classification")),
        "name": _words(properties.get("name")),
        "type": geometry["type"],
        "x_px": (min(xs) + max(xs)) / 2,
        "y_px": (min(ys) + max(ys)) / 2,
        "notice": NOTICE,
        **measures_of(geometry),
    }


def _positions(coordinates: list[Any]) -> Iterable[Position]:
    if not isinstance(coordinates[0], list):
        yield coordinates
        return
    for each in coordinates:
        yield from _positions(each)


def _length_um(line: list[Position]) -> float:
    return BASE_MPP * math.fsum(math.dist(a[:2], b[:2]) for a, b in pairwise(line))


def _area_um2(rings: list[list[Position]]) -> float:
    """Its outer ring less its holes."""
    outer, *holes = (abs(_signed_area(ring)) * BASE_MPP**2 for ring in rings)
    return outer - math.fsum(holes)


def _signed_area(ring: list[Position]) -> float:
    """Shoelace formula, about the first position: far from the origin the products would lose their last digits."""
    x0, y0 = ring[0][:2]
    pairs = pairwise(ring)
    return math.fsum((a[0] - x0) * (b[1] - y0) - (b[0] - x0) * (a[1] - y0) for a, b in pairs) / 2


def _csv(columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue().encode("utf-8", "replace").decode()


def _cell(value: object) -> object:
    """Text as one line; what a spreadsheet would take for a formula is shown as text."""
    if isinstance(value, str):
        line = one_line(value)
        return f"'{line}" if line[:1] in ("=", "+", "-", "@") else line
    return round(value, 6) if isinstance(value, float) else value

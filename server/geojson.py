"""Reading of GeoJSON as QuPath, GeoPandas, QGIS, TIAToolbox and scripts write it -> checked features.

Known deviations are repaired: open rings are closed, collections are split, NaN and Infinity are kept as text. What
cannot be read is left out, with the reason. All other content is kept unchanged, so that an export returns it.

Read by hand, not by geojson-pydantic or shapely. geojson-pydantic refuses a whole feature for an open ring or a
position of four numbers, drops members that RFC 7946 does not name (QuPath's nucleusGeometry, plane), and is some six
times slower; shapely knows geometries only.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from everslide.server.errors import MalformedError
from everslide.server.fields import MAX_FILE_BYTES
from everslide.server.geojson_geometry import (
    KINDS,
    KNOWN,
    MAX_DEPTH,
    LeftOut,
    LeftOuts,
    geometries,
    geometry_of,
    kind_of,
    storable,
)
from everslide.server.geojson_text import parsed, salvaged, text_of
from everslide.server.other_files import kind_of_json

Feature = dict[str, Any]
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LEGACY = {
    "PathAnnotationObject": "annotation",
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "TMACoreObject": "tma_core",
    "PathRootObject": "root",
}
"""QuPath 0.2 wrote the type of an object as its id."""


@dataclass
class Reading(LeftOuts):
    """The features of a text, and the parts left out. Ids of features are as they came, valid or not; None: none."""

    features: list[Feature] = field(default_factory=list)


def read_file(data: bytes, most: int = MAX_FILE_BYTES) -> Reading:
    """The features of a file, which may be packed; of a truncated or damaged file those that are intact.

    Raises MalformedError, with the place of the first error, where there are none; TooLargeError for a packed file of
    more than `most` bytes.
    """
    text, slips = text_of(data, most)
    try:
        reading = read_features(parsed(text))
    except MalformedError:
        whole, damaged = salvaged(text)
        if not whole:
            raise
        reading = read_features(whole)
        slips = slips + damaged
    reading.left_out += [LeftOut(slip.place, slip.what) for slip in slips]
    return reading


def read_features(content: Any) -> Reading:
    """The features of a collection, a list, one feature or a bare geometry. Raises MalformedError where it is none of
    these."""
    listed = _listed(content)
    if listed is None and (kind := kind_of_json(content)) is not None:
        raise MalformedError("a GeoJSON file", kind, "export the annotations as GeoJSON")
    if listed is None:
        found = repr(content.get("type") if isinstance(content, dict) else type(content).__name__)[:40]
        if isinstance(content, dict) and kind_of(content) == "FeatureCollection":
            found = f"one without a list of features, but with {', '.join(map(repr, content))}"[:80]
        raise MalformedError("a GeoJSON FeatureCollection", found, "send one, or a list of features")
    reading = Reading()
    for number, value in enumerate(listed, start=1):
        place = f"feature {number}"
        try:
            _read(value, place, reading)
        except MalformedError as error:
            reading.leave_out(place, error)
    if reading.unlisted:
        reading.left_out.append(LeftOut("further places", f"{reading.unlisted} more could not be read"))
    return reading


def checked_feature(value: object, key: str) -> Feature:
    """One feature, checked, with the id `key`. Raises MalformedError where it cannot be read, or only in part."""
    reading = Reading()
    _read(value, "the feature", reading)
    if reading.left_out or len(reading.features) != 1:
        found = reading.left_out[0].why if reading.left_out else f"{len(reading.features)} kinds of geometry"
        raise MalformedError(f"a geometry, one of {', '.join(KINDS)}", found, "send one of these")
    return reading.features[0] | {"id": key}


def with_ids(features: list[Feature], kept: Mapping[str, Feature], fresh: Callable[[int], str]) -> list[Feature]:
    """The features, each with an id of its own.

    A UUID identifies a feature: it replaces the one of `kept` with that id. Other ids, such as row numbers, are kept
    only if no other feature has them. fresh: n -> a new id for the n-th feature.
    """
    given: set[str] = set()
    settled = []
    for number, feature in enumerate(features):
        key = feature["id"]
        usable = isinstance(key, str) and _ID.fullmatch(key) is not None and key not in _LEGACY and key not in given
        if not usable or not (_UUID.fullmatch(key) or key not in kept or kept[key] == feature):
            key = fresh(number)
        given.add(key)
        settled.append(feature | {"id": key})
    return settled


def fresh_ids(import_key: str | None) -> Callable[[int], str]:
    """n -> an id for the n-th feature: random, or, with `import_key` (a UUID), the same whenever that import is
    sent."""
    if import_key is None or not _UUID.fullmatch(import_key):
        return lambda _: str(uuid.uuid4())
    space = uuid.UUID(import_key)
    return lambda number: str(uuid.uuid5(space, str(number)))


def _listed(content: Any, depth: int = 0) -> list[Any] | None:
    """The features in a collection or a list, and in those within it; None where there is none."""
    if isinstance(content, dict) and isinstance(content.get("features"), list):
        content = content["features"]
    elif isinstance(content, dict) and _is_numbered(content.get("features")):
        content = list(content["features"].values())
    elif isinstance(content, dict) and content.get("features", 0) is None:  # an empty list, as some write it
        content = []
    if isinstance(content, list) and depth <= MAX_DEPTH:
        found: list[Any] = []
        for one in content:
            within = _listed(one, depth + 1) if _holds_features(one) else None
            found += [one] if within is None or one == [] else within
        return found
    if isinstance(content, dict) and ("geometry" in content or kind_of(content) in KNOWN):
        return [content]
    return None


def _is_numbered(features: object) -> bool:
    """Whether it is a list with gaps, as PHP writes it: {"0": ..., "2": ...}."""
    return isinstance(features, dict) and bool(features) and all(name.isdecimal() for name in features)


def _holds_features(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and kind_of(value) == "FeatureCollection")


def _read(value: object, place: str, reading: Reading) -> None:
    """Adds what a feature holds. Raises MalformedError where that is nothing."""
    if not isinstance(value, dict):
        raise MalformedError("a GeoJSON feature", repr(value)[:40], "send an object of type Feature")
    if kind_of(value) in KNOWN[1:]:
        value = {"geometry": value}
    if "type" in value and kind_of(value) != "Feature":
        raise MalformedError("a GeoJSON feature", repr(value["type"])[:40], "send an object of type Feature")
    properties = _properties(value.get("properties"), place, reading)
    others = {name: each for name, each in value.items() if name not in ("type", "id", "geometry", "properties")}
    nucleus = _nucleus(others.pop("nucleusGeometry", None), place, reading)
    key = value.get("id")
    known = {"objectType", "object_type"} & properties.keys()
    if isinstance(key, str) and key in _LEGACY and not known:
        properties = {"objectType": _LEGACY[key]} | properties
    shared = {**storable(others), "properties": storable(properties)}
    shared |= {"nucleusGeometry": nucleus} if nucleus else {}
    for number, geometry in enumerate(geometries(value.get("geometry"), place, reading)):
        reading.features.append({"type": "Feature", "id": key if number == 0 else None, "geometry": geometry, **shared})


def _properties(properties: object, place: str, reading: Reading) -> dict[str, Any]:
    """Some that cannot be read do not cost their feature. PHP writes none as a list."""
    if isinstance(properties, dict):
        return properties
    if properties is not None and properties != []:
        error = MalformedError("properties as an object", repr(properties)[:40], "correct them")
        reading.leave_out(f"{place}, properties", error)
    return {}


def _nucleus(geometry: object, place: str, reading: Reading) -> dict[str, Any] | None:
    """A nucleus that cannot be read does not cost its cell."""
    try:
        return None if geometry is None else geometry_of(geometry, f"{place}, nucleus", reading)
    except MalformedError as error:
        reading.leave_out(f"{place}, nucleus", error)
        return None

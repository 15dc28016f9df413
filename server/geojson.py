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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from everslide.server.errors import MalformedError, RequestError
from everslide.server.fields import MAX_FILE_BYTES
from everslide.server.geojson_text import TooLong, parsed, salvaged, text_of
from everslide.server.other_files import kind_of_json

Feature = dict[str, Any]
KINDS = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
_SINGLE = {"MultiPoint": "Point", "MultiLineString": "LineString", "MultiPolygon": "Polygon"}
MAX_LEFT_OUT = 20_000
"""Parts of a file that are listed: a table of a million numbers in brackets would need gigabytes."""
_MAX_COORDINATE = 2**53
_MAX_DEPTH = 64
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


@dataclass(frozen=True)
class LeftOut:
    """A part of a file that could not be read. place: such as "feature 3, hole 1". why: the reason."""

    place: str
    why: str


@dataclass
class Reading:
    """The features of a text, and the parts left out, the first MAX_LEFT_OUT of them one by one. The ids of features
    are as they came, valid or not; None: none."""

    features: list[Feature] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    unlisted: int = 0

    def leave_out(self, place: str, error: MalformedError) -> None:
        if len(self.left_out) < MAX_LEFT_OUT:
            self.left_out.append(LeftOut(place, reason(error)))
        else:
            self.unlisted += 1


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
        if isinstance(content, dict) and _kind(content) == "FeatureCollection":
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


def reason(error: RequestError) -> str:
    """What was expected and found, as a line for people."""
    return f"expected {error.expected}, found {error.found}"


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
    if isinstance(content, list) and depth <= _MAX_DEPTH:
        found: list[Any] = []
        for one in content:
            within = _listed(one, depth + 1) if _holds_features(one) else None
            found += [one] if within is None or one == [] else within
        return found
    if isinstance(content, dict) and ("geometry" in content or _kind(content) in _KNOWN):
        return [content]
    return None


def _is_numbered(features: object) -> bool:
    """Whether it is a list with gaps, as PHP writes it: {"0": ..., "2": ...}."""
    return isinstance(features, dict) and bool(features) and all(name.isdecimal() for name in features)


_KNOWN = ("Feature", "GeometryCollection", "LinearRing", *KINDS)
_SPELLINGS = {name.lower(): name for name in ("FeatureCollection", *_KNOWN)}


def _kind(value: dict[str, Any]) -> object:
    """The type that is meant: scripts write "polygon" too."""
    kind = value.get("type")
    return _SPELLINGS.get(kind.lower(), kind) if isinstance(kind, str) else kind


def _holds_features(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and _kind(value) == "FeatureCollection")


def _read(value: object, place: str, reading: Reading) -> None:
    """Adds what a feature holds. Raises MalformedError where that is nothing."""
    if not isinstance(value, dict):
        raise MalformedError("a GeoJSON feature", repr(value)[:40], "send an object of type Feature")
    if _kind(value) in _KNOWN[1:]:
        value = {"geometry": value}
    if "type" in value and _kind(value) != "Feature":
        raise MalformedError("a GeoJSON feature", repr(value["type"])[:40], "send an object of type Feature")
    properties = _properties(value.get("properties"), place, reading)
    others = {name: each for name, each in value.items() if name not in ("type", "id", "geometry", "properties")}
    nucleus = _nucleus(others.pop("nucleusGeometry", None), place, reading)
    key = value.get("id")
    known = {"objectType", "object_type"} & properties.keys()
    if isinstance(key, str) and key in _LEGACY and not known:
        properties = {"objectType": _LEGACY[key]} | properties
    shared = {**_storable(others), "properties": _storable(properties)}
    shared |= {"nucleusGeometry": nucleus} if nucleus else {}
    for number, geometry in enumerate(_geometries(value.get("geometry"), place, reading)):
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
        return None if geometry is None else _geometry(geometry, f"{place}, nucleus", reading)
    except MalformedError as error:
        reading.leave_out(f"{place}, nucleus", error)
        return None


def _geometries(geometry: object, place: str, reading: Reading) -> list[dict[str, Any]]:
    """A geometry, or a collection taken apart: one for its points, one for its lines, one for its areas. A database may
    have given it as JSON within JSON."""
    if isinstance(geometry, str) and geometry.lstrip().startswith("{"):
        geometry = parsed(geometry)
    if not (isinstance(geometry, dict) and _kind(geometry) == "GeometryCollection"):
        return [_geometry(geometry, place, reading)]
    parts: dict[str, list[Any]] = {}
    for number, part in enumerate(_members(geometry, 0), start=1):
        try:
            read = _geometry(part, f"{place}, part {number}", reading)
            many = next((kind for kind, single in _SINGLE.items() if single == read["type"]), read["type"])
            coordinates = read["coordinates"]
            parts.setdefault(many, []).extend([coordinates] if many != read["type"] else coordinates)
        except MalformedError as error:
            reading.leave_out(f"{place}, part {number}", error)
    if not parts:
        raise MalformedError("a geometry", "a collection of none", "send one")
    foreign = _storable({name: each for name, each in geometry.items() if name not in ("type", "geometries")})
    return [
        {"type": _SINGLE[many], "coordinates": each[0], **foreign}
        if len(each) == 1
        else {"type": many, "coordinates": each, **foreign}
        for many, each in parts.items()
    ]


def _members(collection: dict[str, Any], depth: int) -> Iterator[Any]:
    """The geometries in a collection, and in those within it."""
    if depth > _MAX_DEPTH:
        raise MalformedError(f"at most {_MAX_DEPTH} levels", "more", "nest it less")
    members = collection.get("geometries")
    for member in members if isinstance(members, list) else []:
        if isinstance(member, dict) and _kind(member) == "GeometryCollection":
            yield from _members(member, depth + 1)
        else:
            yield member


def _geometry(geometry: object, place: str, reading: Reading) -> dict[str, Any]:
    kind = _kind(geometry) if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or not isinstance(kind, str) or kind not in _READERS:
        found = "none" if geometry is None else repr(kind)[:40]
        raise MalformedError(f"a geometry, one of {', '.join(KINDS)}", found, "send one of these")
    coordinates = _READERS[kind](_bracketed(geometry.get("coordinates"), kind), place, reading)
    kind = "LineString" if kind == "LinearRing" else kind
    if len(geometry) == 2:
        return {"type": kind, "coordinates": coordinates}
    foreign = {name: each for name, each in geometry.items() if name not in ("type", "coordinates")}
    return {"type": kind, "coordinates": coordinates, **_storable(foreign)}


_LEVELS = {"Point": 1, "MultiPoint": 2, "LineString": 2, "LinearRing": 2, "MultiLineString": 3, "Polygon": 3}
"""Of brackets; a MultiPolygon has four."""


def _bracketed(value: Any, kind: str) -> Any:
    """Coordinates about which a pair of brackets was forgotten, or put twice, as they are meant: where only one thing
    can be."""
    levels, found, inner = _LEVELS.get(kind, 4), 0, value
    while isinstance(inner, list) and inner and found <= levels:
        found, inner = found + 1, inner[0]
    if found == levels - 1 > 0 and (levels < 4 or len(value) == 1):
        return [value]
    return value[0] if found == levels + 1 and len(value) == 1 else value


def _position(value: Any, *_: Any) -> list[Any]:
    """[x, y] and whatever numbers follow."""
    if type(value) is list and len(value) >= 2:
        x, y = value[0], value[1]
        if type(x) in _NUMBERS and type(y) in _NUMBERS and abs(x) < _MAX_COORDINATE and abs(y) < _MAX_COORDINATE:
            if len(value) == 2 or all(type(n) in _NUMBERS and abs(n) < _MAX_COORDINATE for n in value):
                return value
            return [x, y]
        if any(type(n) is str and _NUMBER.fullmatch(n) for n in value):
            return _position([_number(n) for n in value])
    raise MalformedError("positions [x, y] in 20x pixels, below 2^53", repr(value)[:60], "correct them")


_NUMBER = re.compile(r"\s*[+-]?\d{1,20}(\.\d{0,30})?([eE][+-]?\d{1,3})?\s*", re.ASCII)


def _number(value: Any) -> Any:
    """A number that is written as text, as tables give it; anything else as it is."""
    if type(value) is not str or not _NUMBER.fullmatch(value):
        return value
    return float(value) if set(value) & set(".eE") else int(value)


_NUMBERS = frozenset((int, float))


def _line(value: Any, *_: Any) -> list[Any]:
    positions = _positions(value)
    if len(positions) < 2:
        raise MalformedError("a line of 2 positions or more", str(len(positions)), "send a whole line")
    return positions


def _positions(value: Any, *_: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise MalformedError("coordinates", repr(value)[:40], "send GeoJSON coordinates")
    return [_position(each) for each in value]


def _ring(value: Any, *_: Any) -> list[Any]:
    """Closed."""
    positions = _positions(value)
    if positions[0][:2] != positions[-1][:2]:
        positions.append(positions[0])
    if len(positions) < 4:
        raise MalformedError("an outline of 3 corners or more", str(len(positions) - 1), "send a whole outline")
    return positions


def _polygon(value: Any, place: str, reading: Reading) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise MalformedError("coordinates", repr(value)[:40], "send GeoJSON coordinates")
    rings = [_ring(value[0])]
    for number, hole in enumerate(value[1:], start=1):
        try:
            rings.append(_ring(hole))
        except MalformedError as error:
            reading.leave_out(f"{place}, hole {number}", error)
    return rings


def _several_of(one: Callable[..., list[Any]]) -> Callable[[Any, str, Reading], list[Any]]:
    """Parts that cannot be read do not cost the others."""

    def read(value: Any, place: str, reading: Reading) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise MalformedError("coordinates", repr(value)[:40], "send GeoJSON coordinates")
        parts: list[Any] = []
        listed, unlisted = len(reading.left_out), reading.unlisted
        for number, part in enumerate(value, start=1):
            try:
                parts.append(one(part, f"{place}, part {number}", reading))
            except MalformedError as error:
                reading.leave_out(f"{place}, part {number}", error)
                last = error
        if not parts:  # it is left out as a whole
            del reading.left_out[listed:]
            reading.unlisted = unlisted
            raise last
        return parts

    return read


_READERS: dict[str, Callable[[Any, str, Reading], list[Any]]] = {
    "Point": _position,
    "MultiPoint": _several_of(_position),
    "LineString": _line,
    "LinearRing": _ring,
    "MultiLineString": _several_of(_line),
    "Polygon": _polygon,
    "MultiPolygon": _several_of(_polygon),
}


def _storable(value: Any, depth: int = 0) -> Any:
    """The same in JSON that every reader takes: NaN and Infinity as text."""
    kind = type(value)
    if kind is dict or kind is list:
        if depth > _MAX_DEPTH:
            raise MalformedError(f"at most {_MAX_DEPTH} levels", "more", "nest it less")
        if kind is list:
            return [each if type(each) in _PLAIN else _storable(each, depth + 1) for each in value]
        return {name: each if type(each) in _PLAIN else _storable(each, depth + 1) for name, each in value.items()}
    if kind is TooLong:
        raise MalformedError("whole numbers of at most 4300 digits", f"one of {value.digits}", "shorten it")
    if kind is float and not abs(value) < _INFINITY:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


_PLAIN = frozenset((str, int, bool, type(None)))
_INFINITY = float("inf")

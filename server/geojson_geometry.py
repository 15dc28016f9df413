"""Geometries of GeoJSON: kinds as they are meant, coordinates checked, parts that cannot be read left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from everslide.server.errors import MalformedError, RequestError
from everslide.server.geojson_text import TooLong, parsed

KINDS = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
MAX_DEPTH = 64
MAX_LEFT_OUT = 20_000
"""Parts of a file that are listed: a table of a million numbers in brackets would need gigabytes."""
_SINGLE = {"MultiPoint": "Point", "MultiLineString": "LineString", "MultiPolygon": "Polygon"}
_MAX_COORDINATE = 2**53
KNOWN = ("Feature", "GeometryCollection", "LinearRing", *KINDS)
_SPELLINGS = {name.lower(): name for name in ("FeatureCollection", *KNOWN)}


@dataclass(frozen=True)
class LeftOut:
    """A part of a file that could not be read. place: such as "feature 3, hole 1". why: the reason."""

    place: str
    why: str


@dataclass
class LeftOuts:
    """The parts left out, the first MAX_LEFT_OUT of them one by one; how many are not listed."""

    left_out: list[LeftOut] = field(default_factory=list)
    unlisted: int = 0

    def leave_out(self, place: str, error: MalformedError) -> None:
        if len(self.left_out) < MAX_LEFT_OUT:
            self.left_out.append(LeftOut(place, reason(error)))
        else:
            self.unlisted += 1


def reason(error: RequestError) -> str:
    """What was expected and found, as a line for people."""
    return f"expected {error.expected}, found {error.found}"


def kind_of(value: dict[str, Any]) -> object:
    """The type that is meant: scripts write "polygon" too."""
    kind = value.get("type")
    return _SPELLINGS.get(kind.lower(), kind) if isinstance(kind, str) else kind


def geometries(geometry: object, place: str, left: LeftOuts) -> list[dict[str, Any]]:
    """A geometry, or a collection taken apart: one for its points, one for its lines, one for its areas. A database may
    have given it as JSON within JSON."""
    if isinstance(geometry, str) and geometry.lstrip().startswith("{"):
        geometry = parsed(geometry)
    if not (isinstance(geometry, dict) and kind_of(geometry) == "GeometryCollection"):
        return [geometry_of(geometry, place, left)]
    parts: dict[str, list[Any]] = {}
    for number, part in enumerate(_members(geometry, 0), start=1):
        try:
            read = geometry_of(part, f"{place}, part {number}", left)
            many = next((kind for kind, single in _SINGLE.items() if single == read["type"]), read["type"])
            coordinates = read["coordinates"]
            parts.setdefault(many, []).extend([coordinates] if many != read["type"] else coordinates)
        except MalformedError as error:
            left.leave_out(f"{place}, part {number}", error)
    if not parts:
        raise MalformedError("a geometry", "a collection of none", "send one")
    foreign = storable({name: each for name, each in geometry.items() if name not in ("type", "geometries")})
    return [
        {"type": _SINGLE[many], "coordinates": each[0], **foreign}
        if len(each) == 1
        else {"type": many, "coordinates": each, **foreign}
        for many, each in parts.items()
    ]


def _members(collection: dict[str, Any], depth: int) -> Iterator[Any]:
    """The geometries in a collection, and in those within it."""
    if depth > MAX_DEPTH:
        raise MalformedError(f"at most {MAX_DEPTH} levels", "more", "nest it less")
    members = collection.get("geometries")
    for member in members if isinstance(members, list) else []:
        if isinstance(member, dict) and kind_of(member) == "GeometryCollection":
            yield from _members(member, depth + 1)
        else:
            yield member


def geometry_of(geometry: object, place: str, left: LeftOuts) -> dict[str, Any]:
    kind = kind_of(geometry) if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or not isinstance(kind, str) or kind not in _READERS:
        found = "none" if geometry is None else repr(kind)[:40]
        raise MalformedError(f"a geometry, one of {', '.join(KINDS)}", found, "send one of these")
    coordinates = _READERS[kind](_bracketed(geometry.get("coordinates"), kind), place, left)
    kind = "LineString" if kind == "LinearRing" else kind
    if len(geometry) == 2:
        return {"type": kind, "coordinates": coordinates}
    foreign = {name: each for name, each in geometry.items() if name not in ("type", "coordinates")}
    return {"type": kind, "coordinates": coordinates, **storable(foreign)}


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


def _polygon(value: Any, place: str, left: LeftOuts) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise MalformedError("coordinates", repr(value)[:40], "send GeoJSON coordinates")
    rings = [_ring(value[0])]
    for number, hole in enumerate(value[1:], start=1):
        try:
            rings.append(_ring(hole))
        except MalformedError as error:
            left.leave_out(f"{place}, hole {number}", error)
    return rings


def _several_of(one: Callable[..., list[Any]]) -> Callable[[Any, str, LeftOuts], list[Any]]:
    """Parts that cannot be read do not cost the others."""

    def read(value: Any, place: str, left: LeftOuts) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise MalformedError("coordinates", repr(value)[:40], "send GeoJSON coordinates")
        parts: list[Any] = []
        listed, unlisted = len(left.left_out), left.unlisted
        for number, part in enumerate(value, start=1):
            try:
                parts.append(one(part, f"{place}, part {number}", left))
            except MalformedError as error:
                left.leave_out(f"{place}, part {number}", error)
                last = error
        if not parts:  # it is left out as a whole
            del left.left_out[listed:]
            left.unlisted = unlisted
            raise last
        return parts

    return read


_READERS: dict[str, Callable[[Any, str, LeftOuts], list[Any]]] = {
    "Point": _position,
    "MultiPoint": _several_of(_position),
    "LineString": _line,
    "LinearRing": _ring,
    "MultiLineString": _several_of(_line),
    "Polygon": _polygon,
    "MultiPolygon": _several_of(_polygon),
}


def storable(value: Any, depth: int = 0) -> Any:
    """The same in JSON that every reader takes: NaN and Infinity as text."""
    kind = type(value)
    if kind is dict or kind is list:
        if depth > MAX_DEPTH:
            raise MalformedError(f"at most {MAX_DEPTH} levels", "more", "nest it less")
        if kind is list:
            return [each if type(each) in _PLAIN else storable(each, depth + 1) for each in value]
        return {name: each if type(each) in _PLAIN else storable(each, depth + 1) for name, each in value.items()}
    if kind is TooLong:
        raise MalformedError("whole numbers of at most 4300 digits", f"one of {value.digits}", "shorten it")
    if kind is float and not abs(value) < _INFINITY:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


_PLAIN = frozenset((str, int, bool, type(None)))
_INFINITY = float("inf")

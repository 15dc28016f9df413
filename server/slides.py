"""The slides on offer: the demos, and those that the user names on the command line or in a file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from everslide.model.conditions.reference import Reference, read_reference
from everslide.model.errors import EverslideError, SlideError
from everslide.model.geometry import TILE_PX
from everslide.model.manner import Manner
from everslide.model.slide import Slide
from everslide.model.top import ImageTop, read_top
from everslide.server.errors import NotFoundError

DEMO_SEED = 7
ENDLESS_SEED = 11
ENDLESS_EXTENT_PX = 2**31
_SPEC = re.compile(r"(?P<name>[^:]*):(?P<seed>\d{1,20})(?::(?:(?P<w>\d{1,13})x(?P<h>\d{1,13})|(?P<un>unbounded)))?")
_FIELDS = {one.name: one.type for one in fields(Slide) if one.name != "manner"} | {
    "steps": "int",
    "guidance": "float",
    "title": "str",
    "parent": "str",
    "mpp": "float",
    "reference": "str",
}
_TYPES: dict[object, tuple[type, str]] = {
    "str": (str, "a text"),
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
    "float": (float, "a number with a point, such as 2.0"),
}


@dataclass(frozen=True)
class Entry:
    """A slide and its title for people.

    top: the picture that it is painted from, instead of a sketch. reference: what it shall look like.
    """

    slide: Slide
    title: str
    top: ImageTop | None = field(default=None, compare=False)
    reference: Reference | None = field(default=None, compare=False)


def demo_entries(model: str) -> tuple[Entry, ...]:
    """The slides that are there without asking."""
    demo = Slide("demo", DEMO_SEED, model=model)
    endless = Slide("endless", ENDLESS_SEED, ENDLESS_EXTENT_PX, ENDLESS_EXTENT_PX, unbounded=True, model=model)
    return Entry(demo, "Demo slide"), Entry(endless, "Endless slide")


def parse_spec(spec: str, model: str) -> Entry:
    """ "name:seed", "name:seed:WIDTHxHEIGHT" or "name:seed:unbounded" -> Entry. Raises SlideError."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise SlideError(f"slide {spec!r}: expected name:seed, name:seed:WIDTHxHEIGHT or name:seed:unbounded")
    name, seed = match["name"], int(match["seed"])
    if match["un"]:
        return Entry(Slide(name, seed, ENDLESS_EXTENT_PX, ENDLESS_EXTENT_PX, unbounded=True, model=model), name)
    if match["w"]:
        return Entry(Slide(name, seed, int(match["w"]), int(match["h"]), model=model), name)
    return Entry(Slide(name, seed, model=model), name)


def read_slides(path: Path, model: str) -> list[Entry]:
    """The slides of a TOML file: tables `[[slide]]` with name and seed, and if need be title, width_px, height_px,
    unbounded, model, steps, guidance; or parent, a picture to zoom into, with mpp, its um per pixel, which give the
    size; reference, a file of `everslide new --like`. Raises SlideError, which names the file and the field."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SlideError(f"{path}: cannot be read as TOML: {error}{_about_paths(error)}") from error
    tables = document.pop("slide", None)
    if document:
        raise SlideError(f"{path}: unknown field {min(document)!r}: expected tables [[slide]] only")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise SlideError(f"{path}: missing field 'slide': expected one or more tables [[slide]]")
    return [
        _entry(f"{path}: slide {number}", path.parent, table, model) for number, table in enumerate(tables, start=1)
    ]


def _about_paths(error: Exception) -> str:
    """A hint for the slip that is made with paths of Windows."""
    if "\\" not in str(error) and "hex" not in str(error).lower():
        return ""
    return r"; a path with \ stands in single quotes: parent = 'C:\slides\one.png'"


def _entry(where: str, folder: Path, table: dict[str, object], model: str) -> Entry:
    for name, value in table.items():
        if name not in _FIELDS:
            raise SlideError(f"{where}: unknown field {name!r}: expected {', '.join(_FIELDS)}")
        kind, words = _TYPES[_FIELDS[name]]
        if type(value) is not kind:
            raise SlideError(f"{where}: field {name!r}: expected {words}, found {value!r}")
    for name in ("name", "seed"):
        if name not in table:
            raise SlideError(f"{where}: missing field {name!r}")
    values = {"model": model} | table
    title = str(values.pop("title", table["name"]))
    parent, um_per_px, like = (values.pop(name, None) for name in ("parent", "mpp", "reference"))
    if (parent is None) != (um_per_px is None):
        raise SlideError(f"{where}: expected both of the fields parent and mpp, or none")
    for name, path in (("parent", parent), ("reference", like)):
        if path is not None and not str(path).isprintable():
            raise SlideError(
                f"{where}: field {name!r}: control characters in {path!r}{_about_paths(ValueError('hex'))}"
            )
    chosen = {name: values.pop(name) for name in ("steps", "guidance") if name in values}
    try:
        values["manner"] = Manner(**chosen)  # type: ignore[arg-type]  # names and types were checked above
        reference = read_reference(folder / str(like)) if like is not None else None
        if parent is None:
            return Entry(Slide(**values), title, None, reference)  # type: ignore[arg-type]
        top = read_top(folder / str(parent), float(str(um_per_px)))
        width, height = (max(side * 2**top.s, TILE_PX) for side in top.size)
        sized = values | {"width_px": width, "height_px": height, "unbounded": False}
        return Entry(Slide(**sized), title, top, reference)  # type: ignore[arg-type]
    except EverslideError as error:
        raise SlideError(f"{where}: {error}") from error


class Catalogue:
    """Slides by name, in the order given. Raises SlideError where two have the same name."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries = {entry.slide.name: entry for entry in entries}
        if len(self._entries) < len(entries):
            names = [entry.slide.name for entry in entries]
            double = next(name for name in names if names.count(name) > 1)
            raise SlideError(f"two slides are named {double!r}: give each slide its own name")

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def add(self, entry: Entry) -> None:
        """Raises SlideError where the name is taken."""
        if self._entries.setdefault(entry.slide.name, entry) is not entry:
            raise SlideError(f"two slides are named {entry.slide.name!r}: give each slide its own name")

    def __getitem__(self, name: str) -> Entry:
        """Raises NotFoundError."""
        if name not in self._entries:
            raise NotFoundError(f"one of the slides {', '.join(self._entries)}", repr(name[:80]), "see /api/slides")
        return self._entries[name]

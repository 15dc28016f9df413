"""The catalogue of slides: the demos, and those that the user names on the command line or in a file."""

from __future__ import annotations

import math
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from everslide.model.command_types import with_home
from everslide.model.errors import EverslideError, SlideError, shown
from everslide.model.geometry import BASE_MPP, TILE_PX
from everslide.model.names import MODELS
from everslide.model.pyramid.top import ImageTop, read_top
from everslide.model.sampling_config import SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import LEAST_UM, Reference, lies_on, read_reference
from everslide.server.errors import NotFoundError
from everslide.server.hand_edited import decoded
from everslide.server.one_line import one_line
from everslide.server.set_aside import SetAside

MAX_FILE_BYTES = 16 * 2**20
"""Of a file of slides: over 100,000 of them."""
DEMO_SEED = 7
ENDLESS_SEED = 11
ENDLESS_EXTENT_PX = 2**31
_SPEC = re.compile(
    r"(?P<name>[^:]*):(?P<seed>\d{1,20})(?::(?:(?P<w>\d{1,13})x(?P<h>\d{1,13})|(?P<un>unbounded)))?(?::organ=(?P<organ>[^:]+))?"
)
DEMO_ORGANS = {"colon": 10, "skin": 11, "liver": 6, "brain": 11, "kidney": 10, "placenta": 11}
"""Organs of further demo slides, and seeds whose sections are large; in the order in which they are painted ahead."""
_TABLE = re.compile(r"^[ \t]*\[\[\s*slide\b", re.MULTILINE)
_FIELDS = {one.name: one.type for one in fields(Slide) if one.name not in ("sampling", "organ_drawn")} | {
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
    "float": (float, "a number"),
}


@dataclass(frozen=True)
class Entry:
    """A slide and its title for people.

    top: the picture that it is painted below; None: a sketch. reference: what it shall look like. made: it was made
    while the server ran, and may be renamed and deleted.
    """

    slide: Slide
    title: str
    top: ImageTop | None = field(default=None, compare=False)
    reference: Reference | None = field(default=None, compare=False)
    made: bool = field(default=False, compare=False)


DEMO_NAMES = ("demo", "endless", *(f"demo-{organ}" for organ in DEMO_ORGANS))
"""Slides whose first views are painted while nobody waits, in this order."""


def demo_entries(model: str) -> tuple[Entry, ...]:
    """The demo slides of every model: a bounded one, and one without an end."""
    demo = Slide("demo", DEMO_SEED, model=model)
    endless = Slide("endless", ENDLESS_SEED, ENDLESS_EXTENT_PX, ENDLESS_EXTENT_PX, unbounded=True, model=model)
    return Entry(demo, "Demo slide"), Entry(endless, "Endless slide")


def organ_entries(model: str) -> tuple[Entry, ...]:
    """The demo slides of organs; to be served where the weights know the organ."""
    if model != "mini":
        return ()
    return tuple(
        Entry(Slide(f"demo-{organ}", seed, model=model, organ=organ), organ.capitalize())
        for organ, seed in DEMO_ORGANS.items()
    )


def parse_spec(spec: str, model: str) -> Entry:
    """ "name:seed", "name:seed:WIDTHxHEIGHT" or "name:seed:unbounded", each with ":organ=ORGAN" behind it if need be,
    in which "_" may stand for a space -> Entry. Raises SlideError."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise SlideError(
            f"slide {shown(spec)}: expected name:seed, name:seed:WIDTHxHEIGHT or name:seed:unbounded, "
            "and if need be :organ=ORGAN behind it"
        )
    name, organ = match["name"], match["organ"] or ""
    width, height = Slide.width_px, Slide.height_px
    if match["un"]:
        width = height = ENDLESS_EXTENT_PX
    elif match["w"]:
        width, height = int(match["w"]), int(match["h"])
    slide = Slide(name, int(match["seed"]), width, height, bool(match["un"]), model, organ=organ)
    return Entry(slide, name)


def read_slides(path: Path, model: str) -> tuple[list[Entry], list[str]]:
    """The slides of a TOML file: tables `[[slide]]` with name and seed, and if need be title, width_px, height_px,
    unbounded, model, steps, guidance, organ; or parent, a picture to zoom into, with mpp, its um per pixel, which give
    the size; reference, a file of `everslide new --like`. Second, what is wrong in it: a line for each slide that it
    costs, which names the file and the place. Raises SlideError where the file cannot be opened."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)  # of a device there is no end
    except OSError as error:
        raise SlideError(f"{path}: cannot be read as TOML: {error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise SlideError(f"{path}: expected at most {MAX_FILE_BYTES} bytes of tables [[slide]], found more")
    text, slips = decoded(data)
    wrong = [f"{path}: {slip}" for slip in slips]
    entries: list[Entry] = []
    tables = _tables(path, text.replace("\r\n", "\n").replace("\r", "\n"), wrong)
    for number, table in tables:
        try:
            entry = _entry(f"{path}: slide {number}", path.parent, table, model)
            if entry.slide.name in {each.slide.name for each in entries}:
                raise SlideError(f"{path}: slide {number}: another slide is named {entry.slide.name!r}")
            entries.append(entry)
        except SlideError as error:
            wrong.append(str(error))
    if not tables and not wrong:
        wrong.append(f"{path}: missing field 'slide': expected one or more tables [[slide]]")
    return entries, wrong


def _tables(path: Path, text: str, wrong: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """The tables `[[slide]]` and their numbers. A slip costs the table that it is in."""
    try:
        return list(enumerate(_slides_in(path, tomllib.loads(text), wrong), start=1))
    except (ValueError, RecursionError):  # of numbers without end and of deep nests, beside TOML's own
        pass  # reported below, table by table
    found = []
    starts = [match.start() for match in _TABLE.finditer(text)]
    for number, (begin, end) in enumerate(pairwise([0, *starts, len(text)])):
        before = text.count("\n", 0, begin)
        try:
            document = tomllib.loads("\n" * before + text[begin:end])
        except (ValueError, RecursionError) as error:
            which = f"slide {number}: " if number else ""
            wrong.append(f"{path}: {which}cannot be read as TOML: {str(error)[:200]}{_about_paths(error)}")
        else:
            found += [(number, table) for table in _slides_in(path, document, wrong)]
    return found


def _slides_in(path: Path, document: dict[str, Any], wrong: list[str]) -> list[dict[str, Any]]:
    tables = document.pop("slide", [])
    wrong += [f"{path}: unknown field {name!r}: expected tables [[slide]] only" for name in document]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        wrong.append(f"{path}: missing field 'slide': expected one or more tables [[slide]]")
        return []
    return tables


def _about_paths(error: Exception) -> str:
    """A hint for the slip that is made with paths of Windows."""
    if "\\" not in str(error) and "hex" not in str(error).lower():
        return ""
    return r"; a path with \ stands in single quotes: parent = 'C:\slides\one.png'"


def _entry(where: str, folder: Path, table: dict[str, Any], model: str) -> Entry:
    for name, value in table.items():
        if name not in _FIELDS:
            raise SlideError(f"{where}: unknown field {name!r}: expected {', '.join(_FIELDS)}")
        kind, words = _TYPES[_FIELDS[name]]
        if type(value) is not kind and not (kind is float and type(value) is int and abs(value) < 2**53):
            raise SlideError(f"{where}: field {name!r}: expected {words}, found {value!r}")
    for name in ("name", "seed"):
        if name not in table:
            raise SlideError(f"{where}: missing field {name!r}")
    numbers = {name: float(value) for name, value in table.items() if _FIELDS[name] == "float"}
    values = {"model": model} | table | numbers
    if values["model"] not in MODELS:
        raise SlideError(f"{where}: model {values['model']!r}: expected one of {', '.join(MODELS)}")
    title = one_line(str(values.pop("title", ""))) or str(table["name"])
    parent, um_per_px, like = (values.pop(name, None) for name in ("parent", "mpp", "reference"))
    if (parent is None) != (um_per_px is None):
        raise SlideError(f"{where}: expected both of the fields parent and mpp, or none")
    for name, path in (("parent", parent), ("reference", like)):
        if path is not None and any(unicodedata.category(letter) == "Cc" for letter in str(path)):
            raise SlideError(
                f"{where}: field {name!r}: control characters in {path!r}{_about_paths(ValueError('hex'))}"
            )
    chosen = {name: values.pop(name) for name in ("steps", "guidance") if name in values}
    try:
        values["sampling"] = SamplingConfig(**chosen)
        reference = read_reference(folder / _path("reference", like)) if like is not None else None
        if parent is None:
            return _fitting(Entry(Slide(**values), title, None, reference))
        top = read_top(folder / _path("parent", parent), float(str(um_per_px)))
        width, height = (max(side * 2**top.s, TILE_PX) for side in top.size)
        sized = values | {"width_px": width, "height_px": height, "unbounded": False}
        return _fitting(Entry(Slide(**sized), title, top, reference))
    except EverslideError as error:
        raise SlideError(f"{where}: {error}") from error


def _fitting(entry: Entry) -> Entry:
    """The entry, whose regions lie on its slide. Raises SlideError."""
    slide = entry.slide
    across, down = (math.inf if slide.unbounded else side * BASE_MPP for side in (slide.width_px, slide.height_px))
    for order, region in enumerate(entry.reference.regions if entry.reference else (), 1):
        um = region.x_um, region.y_um, region.width_um, region.height_um
        if not lies_on(um, (across, down)):
            raise SlideError(
                f"region {order} of its reference: expected a part of the slide of {across:g} x {down:g} um, "
                f"{LEAST_UM:g} um or more a side, found {', '.join(f'{side:g}' for side in um)}"
            )
    return entry


def _path(name: str, value: object) -> Path:
    try:
        return with_home(str(value))
    except ValueError as error:
        raise SlideError(f"field {name!r}: {error}") from error


class Catalogue:
    """Slides by name, in the order given. Raises SlideError where two have the same name.

    set_aside: those that should be among them, and why they cannot be.
    """

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.set_aside: list[SetAside] = []
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

    def replace(self, entry: Entry) -> None:
        """Put `entry` in the place of the one with its name."""
        self._entries[entry.slide.name] = entry

    def remove(self, name: str) -> None:
        """Take a slide out. Raises NotFoundError."""
        self._entries.pop(name, None)

    def __getitem__(self, name: str) -> Entry:
        """Raises NotFoundError."""
        if name not in self._entries:
            raise NotFoundError(f"one of the slides {', '.join(self._entries)}", repr(name[:80]), "see /api/slides")
        return self._entries[name]

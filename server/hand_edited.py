"""Tolerant reading of JSON objects that may have been edited by hand: intact entries, and the places of errors."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"\s*")
_DAMAGE = "\ufffd"
"""The Unicode replacement character, which stands for undecodable bytes."""
_MOST_REPORTED = 100


@dataclass(frozen=True)
class Slip:
    """An error in a text, at a line and column counted from 1. key: the entry that is lost by it, where known."""

    line: int
    column: int
    what: str
    key: str | None = None

    @property
    def place(self) -> str:
        """ "line 3 column 7"."""
        return f"line {self.line} column {self.column}"

    def __str__(self) -> str:
        costs = f" of {self.key!r}" if self.key is not None else ""
        return f"{self.place}{costs}: {self.what}"


def decoded(data: bytes) -> tuple[str, list[Slip]]:
    """Text in UTF-8, 16 or 32, with or without a byte order mark, and the errors found in it.

    Undecodable text is read as Windows-1252, in which older editors write; but where other characters show that it is
    UTF-8, as damaged UTF-8. Both are reported as slips.
    """
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding, "surrogatepass").removeprefix("\ufeff"), []
    except UnicodeDecodeError as error:
        mended = data.decode(encoding, "replace").removeprefix("\ufeff")
        if encoding.startswith("utf-8") and not any("\x7f" < letter != _DAMAGE for letter in mended):
            text = data.decode("cp1252", "replace")
            return text, [slip_at(text, error.start, "not UTF-8, read as Windows-1252: save the file as UTF-8")]
        places = islice(re.finditer(f"{_DAMAGE}+", mended), _MOST_REPORTED)
        return mended, [slip_at(mended, place.start(), f"damaged: no {encoding.upper()}") for place in places]


def slip_at(text: str, position: int, what: str, key: str | None = None) -> Slip:
    """The error `what` at a position of a text, counted from 0."""
    return Slip(text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position), what, key)


def read_entries(data: bytes) -> tuple[dict[str, Any], list[Slip]]:
    """The entries of a JSON object, and the errors in it. An error costs only the entry that it is in."""
    text, slips = decoded(data)
    outermost: list[tuple[str, Any]] = []

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal outermost
        outermost = pairs  # objects end after those within them
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=kept) if text.strip() else {}
    except (ValueError, RecursionError):
        found = None
    if found is None or (isinstance(found, dict) and len(found) < len(outermost)):
        found, more = _one_by_one(text)
        return found, slips + more
    if isinstance(found, dict):
        return found, slips
    return {}, [*slips, Slip(1, 1, f"expected an object, found a {type(found).__name__}")]


def _one_by_one(text: str) -> tuple[dict[str, Any], list[Slip]]:
    entries: dict[str, Any] = {}
    slips: list[Slip] = []
    at = _after_space(text, 0)
    if text[at : at + 1] != "{":
        return {}, [slip_at(text, at, "expected an object that begins with '{'")]
    at = first = _after_space(text, at + 1)
    while at < len(text):
        if text[at] == "}":
            alike = _line_alike(text, first, at)
            if alike == len(text):
                break
            slips.append(slip_at(text, at, "expected more entries, found a bracket too much"))
            at = _after_space(text, alike)
        begin, key = at, None
        try:
            key, at = _key(text, at)
            value, end = _DECODER.raw_decode(text, at)
            _check_closed(text, begin, end)
            if key in entries:
                slips.append(slip_at(text, begin, "another entry has this name too; the last one counts", key))
            entries[key], at = value, end
        except (ValueError, RecursionError) as error:
            place = error.pos if isinstance(error, json.JSONDecodeError) else begin
            slips.append(slip_at(text, place, getattr(error, "msg", str(error)[:80]), key))
            at, _ = _after_comma(text, max(begin + 1, _end_of_entry(text, begin)))  # a bracket too much ends nothing
            continue
        at, comma = _after_comma(text, at)
        if at < len(text) and comma != (text[at] != "}"):
            slips.append(slip_at(text, at, "expected one ',' between entries, and none after the last"))
    if at >= len(text):
        slips.append(slip_at(text, len(text), "expected '}' at the end"))
    elif (after := _after_space(text, at + 1)) < len(text):
        slips.append(slip_at(text, after, "expected nothing after the last '}'"))
    return entries, slips


def _key(text: str, at: int) -> tuple[str, int]:
    """The key of an entry, and where its value begins."""
    key, at = _DECODER.raw_decode(text, at)
    at = _after_space(text, at)
    if not isinstance(key, str) or text[at : at + 1] != ":":
        raise json.JSONDecodeError("expected a name in quotes and ':'", text, at)
    return key, _after_space(text, at + 1)


def _after_comma(text: str, at: int) -> tuple[int, bool]:
    """Past one comma with the space around it, and whether it was there; further ones are read over."""
    at = begin = _after_space(text, at)
    while text[at : at + 1] == ",":
        at = _after_space(text, at + 1)
    return at, at > begin


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _end_of_entry(text: str, begin: int) -> int:
    """Where the entry that begins there and cannot be read ends: at its last bracket, or where a line begins as its own
    does, whichever comes first."""
    return min(_last_bracket(text, begin), _line_alike(text, begin))


def _check_closed(text: str, begin: int, end: int) -> None:
    """Raises JSONDecodeError where an entry takes in one that begins as it does: its bracket is missing."""
    alike = _line_alike(text, begin)
    if alike < end:
        raise json.JSONDecodeError("expected a closing bracket", text, alike)


def _line_alike(text: str, begin: int, since: int | None = None) -> int:
    """Where the next line ends, from `since` on, before one that is indented as the entry at `begin` is; the end of
    the text where none is."""
    indent = text[text.rfind("\n", 0, begin) + 1 : begin]
    if not indent or indent.strip():
        return len(text)
    alike = re.compile("\n" + re.escape(indent) + '(?=")').search(text, begin if since is None else since)
    return alike.start() if alike else len(text)


def _last_bracket(text: str, begin: int) -> int:
    depth, quoted, at = 0, False, begin
    while at < len(text):
        letter = text[at]
        if quoted:
            at += letter == "\\"
            quoted = letter not in '"\n'  # no string of JSON goes on in the next line
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth -= 1
            if depth <= 0:
                return at + (depth == 0)
        elif letter == "," and depth == 0:
            return at
        at += 1
    return len(text)

"""Parsing of the text of GeoJSON files: any Unicode encoding, NaN and Infinity, several texts in a row; and recovery of
the intact features of truncated or damaged files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from everslide.server.errors import MalformedError
from everslide.server.hand_edited import Slip, decoded, slip_at
from everslide.server.other_files import check_binary, kind_of_text
from everslide.server.packed import unpacked

_MOST_DIGITS = 4300
"""Of a whole number: Python takes no more."""
_BEGIN = re.compile(r'"features"\s*:\s*\[')
_NEXT = re.compile(r'(?:[\[}\]]\s*,?\s*|\x1e|\n)(?=\{\s*"(?:type|id|geometry|properties|bbox)"\s*:)')
"""Where a feature may begin: not in the middle of one, whatever its keys' order."""
_BETWEEN = re.compile(r"[\s,\x1e]*")
_MOST_SLIPS = 100
"""Places of damage in a file, behind which it is not read."""


@dataclass(frozen=True)
class TooLong:
    """Stands for an integer with more digits than Python parses. digits: their number."""

    digits: int


def text_of(data: bytes, most: int) -> tuple[str, list[Slip]]:
    """A file, packed or not, as text, and what was wrong with its encoding: UTF-8, 16 or 32; anything else is read as
    Windows-1252, damaged text with its damage. Raises MalformedError; TooLargeError for more than `most` bytes."""
    data = unpacked(data, most)
    check_binary(data)
    slips: list[Slip] = []
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
    except UnicodeDecodeError as error:
        cut = error.end == len(data)  # in the middle of a letter: what is torn by that is told
        text, slips = decoded(data[: error.start] if cut else data)
    text = text.lstrip("\ufeff")
    if not text.strip():
        raise MalformedError("a GeoJSON file", "an empty one", "export the annotations again")
    return text, slips


def parsed(text: str) -> Any:
    """JSON -> values. NaN and Infinity become text; several texts in a row (GeoJSONSeq) become a list; integers are
    exact, or `TooLong`. Raises MalformedError, which names the place."""
    try:
        try:
            return json.loads(text, parse_constant=str)
        except json.JSONDecodeError as error:
            several = error.msg == "Extra data" and text[0] in "{["  # a table's first number is JSON too
            if not several and not text.startswith("\x1e"):
                raise
            return list(_several(text))
        except ValueError:  # of a number that is too long
            return json.loads(text, parse_constant=str, parse_int=_whole)
    except json.JSONDecodeError as error:
        kind = kind_of_text(text) if text.lstrip()[:1] not in ("{", "[") else None
        if kind is not None:
            raise MalformedError("a GeoJSON file", kind, "export the annotations as GeoJSON") from error
        begin = f", which begins with {text[:20]!r}" if not text[: error.pos].strip() else ""
        found = f"{error.msg} at line {error.lineno} column {error.colno}{begin}"
        raise MalformedError("JSON", found, "export the annotations as GeoJSON") from error
    except (ValueError, RecursionError) as error:
        raise MalformedError("JSON", str(error)[:80], "export the annotations as GeoJSON") from error


def salvaged(text: str) -> tuple[list[Any], list[Slip]]:
    """The intact features of a truncated or damaged text, and the places of the damage."""
    begun = _BEGIN.search(text)
    decoder = json.JSONDecoder(parse_constant=str, parse_int=_whole)
    whole: list[Any] = []
    slips: list[Slip] = []
    at = _between(text, begun.end() if begun else 0)
    while at < len(text):
        if len(slips) == _MOST_SLIPS:
            slips.append(slip_at(text, at, "damaged in too many places, not read from here on"))
            break
        try:
            value, after = decoder.raw_decode(text, at)
            if not (isinstance(value, dict) and ("geometry" in value or value.get("type") == "Feature")):
                raise json.JSONDecodeError("expected a feature", text, at)
            whole.append(value)
            at = _between(text, after)
        except (ValueError, RecursionError) as error:
            if whole and text[at] in "]}":
                break  # the end of the list
            place = error.pos if isinstance(error, json.JSONDecodeError) else at
            slips.append(slip_at(text, place, "damaged, or cut off here"))
            following = _NEXT.search(text, at + 1)
            at = following.end() if following else len(text)
    return whole, slips


def _several(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(parse_constant=str, parse_int=_whole)
    at = _between(text, 0)
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
        at = _between(text, at)


def _between(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at


def _whole(digits: str) -> int | TooLong:
    return int(digits) if len(digits) <= _MOST_DIGITS else TooLong(len(digits.removeprefix("-")))

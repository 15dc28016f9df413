"""Versions of stored entries: a change of one that somebody else changed meanwhile is refused, and does not win."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from flask import Request

from everslide.server.documents import json_line
from everslide.server.errors import ChangedError

Matches = Callable[[str], bool]
"""Whether a version is the one that was seen before the change."""


def version_of(line: bytes) -> str:
    """The version of an entry. line: its JSON, see `json_line`."""
    return blake2b(line, digest_size=8).hexdigest()


def versions_of(lines: Mapping[str, bytes]) -> dict[str, str]:
    """The versions of entries, by their keys."""
    return {key: version_of(line) for key, line in lines.items()}


def seen_by(request: Request) -> Matches | None:
    """What a request says was seen before, in `If-Match`; None where it does not say."""
    return request.if_match.contains if "If-Match" in request.headers else None


def check_version(kept: Any, wanted: Any, matches: Matches | None, what: str) -> None:
    """Raises ChangedError where what is stored is not what was seen.

    kept, wanted: the entry as it is stored and as it is to be; None: none. matches: None where the client does not say.
    what: what the entry is, for the message.

    A change that is there already is none: its first answer was lost.
    """
    if matches is None or kept == wanted:
        return
    if kept is None or not matches(version_of(json_line(kept))):
        found = "one that somebody deleted meanwhile" if kept is None else "one that somebody changed meanwhile"
        remedy = "save again to overwrite that, or load the page anew to see it"
        raise ChangedError(f"the {what} as it was when it was loaded", found, remedy)

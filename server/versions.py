"""Versions of stored entries: a change of one that somebody else changed meanwhile is refused, and does not win."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from everslide.server.documents import json_line
from everslide.server.errors import ChangedError

Matches = Callable[[str], bool]
"""Whether a version is the one that was seen before the change."""


def version_of(line: bytes) -> str:
    """The version of an entry. line: its JSON, see `json_line`."""
    return blake2b(line, digest_size=8).hexdigest()


def check_version(kept: Any, wanted: Any, matches: Matches | None) -> None:
    """Raises ChangedError where what is stored is not what was seen.

    kept, wanted: the entry as it is stored and as it is to be; None: none. matches: None where the client does not say.

    A change that is there already is none: its first answer was lost.
    """
    if matches is None or kept == wanted:
        return
    if kept is None or not matches(version_of(json_line(kept))):
        found = "one that somebody deleted meanwhile" if kept is None else "one that somebody changed meanwhile"
        remedy = "save again to overwrite that, or load the page anew to see it"
        raise ChangedError("the annotation as it was when it was loaded", found, remedy)

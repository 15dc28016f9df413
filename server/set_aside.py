"""Stored entries that cannot be read: they stay in their file, are not served, and are reported to people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_WITHHELD = "the reason is told to whoever has the server's token, and in its log"
_LONGEST = 400
"""Characters of a text in a report."""


@dataclass(frozen=True)
class SetAside:
    """An entry that cannot be read. id: its id, or its place in the file where the text itself is wrong. why: the
    reason, in a line. file: where it is kept, unchanged."""

    id: str
    why: str
    file: Path


def set_aside_json(found: Iterable[SetAside], whole: bool) -> list[dict[str, str]]:
    """The entries for a JSON answer. whole: with reasons and paths, for clients that may change what the server keeps;
    others get neither."""
    return [
        {"id": one.id[:_LONGEST], "why": one.why[:_LONGEST], "file": str(one.file)}
        if whole
        else {"id": one.id[:_LONGEST], "why": _WITHHELD, "file": one.file.name}
        for one in found
    ]

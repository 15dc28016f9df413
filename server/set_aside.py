"""What is kept on the disk and cannot be relied upon, as people are told of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

UNTOLD = "the reason is told to whoever has the server's token, and in its log"

_LONGEST = 400


@dataclass(frozen=True)
class SetAside:
    """id: of an entry, or its place in the file where the text itself is wrong. why: in a line. file: where it is kept
    as it was."""

    id: str
    why: str
    file: Path


def told(found: Iterable[SetAside], whole: bool) -> list[dict[str, str]]:
    """As JSON. whole: to somebody who may change what the server keeps; others learn nothing of its folders."""
    return [
        {"id": one.id[:_LONGEST], "why": one.why[:_LONGEST], "file": str(one.file)}
        if whole
        else {"id": one.id[:_LONGEST], "why": UNTOLD, "file": one.file.name}
        for one in found
    ]

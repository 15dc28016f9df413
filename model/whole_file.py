"""Files that are written whole or not at all, also where several processes write the same one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write; in the end it takes the place of `path`. Removed where something is raised.

    It has a name that no other writer has: two that converted the same weights would move each other's file away.
    """
    partial = path.with_name(f"{path.name}.{uuid4().hex[:8]}.part")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise

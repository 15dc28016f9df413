"""Files that are written whole or not at all, also where several processes write the same one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from uuid import uuid4

ABANDONED_SECONDS = 3600.0
"""Nobody writes to a file for so long without changing it."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write; in the end it takes the place of `path`. Removed where something is raised.

    It has a name that no other writer has: two that converted the same weights would move each other's file away. What
    was left by one that was killed is removed after ABANDONED_SECONDS.
    """
    for left in path.parent.glob(f"{escape(path.name)}.????????.part"):
        with suppress(OSError):  # its writer was faster
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                left.unlink()
    partial = path.with_name(f"{path.name}.{uuid4().hex[:8]}.part")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # there may not even be a folder
            partial.unlink()
        raise

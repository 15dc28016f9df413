"""The settings of a server: read once from flags and the environment, then passed as values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """Settings of `everslide serve`. Each is a flag, and an environment variable such as EVERSLIDE_CACHE_SIZE."""

    cache: Path | None
    """Folder of painted tiles; None keeps them in memory only."""
    host: str = "127.0.0.1"
    """Address to listen on. The service has no log-in: only this machine by default."""
    port: int = 8000
    """0 takes any free port."""
    cache_size: int = 8 * GIB
    """Bytes of tiles kept in files, about 60,000 lossless tiles."""
    memory_size: int = 384 * MIB
    """Bytes of encoded tiles kept in memory, about 8,000 as JPEG and 1,500 lossless."""
    raw_size: int = 96 * MIB
    """Bytes of tiles kept in memory undecoded for the painter: 512 tiles, more than a deep link touches."""
    threads: int = 24
    """Requests answered at the same time; all but RESERVED_THREADS of them may wait for the painter."""

    @property
    def max_waiting(self) -> int:
        return max(1, self.threads - RESERVED_THREADS)


RESERVED_THREADS = 6
"""Threads that never wait for the painter, so that previews and cached tiles are always served at once."""


def default_cache() -> Path:
    """The user's folder for such things: $XDG_CACHE_HOME/everslide, else ~/.cache/everslide."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "everslide"

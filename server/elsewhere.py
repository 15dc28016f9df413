"""Requests that wait for a tile which another process paints: their viewers may look away just the same."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from everslide.server.viewports import L0Tile, Viewports


@dataclass(eq=False)
class Waiter:
    """A request. dropped: its viewer looks elsewhere now."""

    viewer: str
    slide: str
    tile: L0Tile
    dropped: bool = False


class Elsewhere:
    """Who waits for other processes now. Safe to use from several threads."""

    def __init__(self, viewports: Viewports) -> None:
        self._viewports = viewports
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiters)

    def wait(self, viewer: str, slide: str, tile: L0Tile) -> Waiter:
        """One more, until it leaves."""
        waiter = Waiter(viewer, slide, tile)
        with self._lock:
            self._waiters.add(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """It waits no more; twice is once."""
        with self._lock:
            self._waiters.discard(waiter)

    def look_again(self, viewer: str, slide: str) -> int:
        """Drop the requests of a viewer for tiles that its viewport left; -> how many."""
        with self._lock:
            leaving = [
                waiter
                for waiter in self._waiters
                if (waiter.viewer, waiter.slide) == (viewer, slide)
                and not self._viewports.wanted(viewer, slide, waiter.tile)
            ]
            for waiter in leaving:
                waiter.dropped = True
                self._waiters.remove(waiter)
        return len(leaving)

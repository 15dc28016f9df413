"""Requests that wait for a tile that another process paints. They too are cancelled when their viewer moves away."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from everslide.server.viewports import L0Tile, Viewports


@dataclass(eq=False)
class Waiter:
    """A waiting request. dropped: the tile is out of its viewer's view now."""

    viewer: str
    slide: str
    tile: L0Tile
    dropped: bool = False


class Elsewhere:
    """The requests that wait for other processes now. Safe to use from several threads."""

    def __init__(self, viewports: Viewports) -> None:
        self._viewports = viewports
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiters)

    def wait(self, viewer: str, slide: str, tile: L0Tile) -> Waiter:
        """Register a request; call `leave` at its end."""
        waiter = Waiter(viewer, slide, tile)
        with self._lock:
            self._waiters.add(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """The request no longer waits. May be called more than once."""
        with self._lock:
            self._waiters.discard(waiter)

    def cancel_out_of_view(self, viewer: str, slide: str) -> int:
        """Cancel the viewer's requests for tiles that are out of its viewport; -> how many."""
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

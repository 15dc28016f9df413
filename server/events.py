"""Events of tiles (waiting, painting, final ...), published to listeners."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Literal

from everslide.server.deepzoom import TileAddress
from everslide.server.errors import BusyError

TileState = Literal["waiting", "painting", "final", "failed", "dropped"]
BACKLOG = 1000
"""Events kept for a slow listener; beyond that the oldest are lost, and counted in `Listener.lost`."""


@dataclass(frozen=True)
class TileEvent:
    """A tile of a slide entered a state. dropped: it is not painted, since no request waits for it any more."""

    slide: str
    address: TileAddress
    state: TileState


class Listener:
    """The events of one slide, in order. lost: events discarded because the listener was slow; its owner resets it."""

    def __init__(self, slide: str) -> None:
        self.slide = slide
        self.lost = 0
        self._events: queue.Queue[TileEvent | None] = queue.Queue(BACKLOG)

    def next(self, seconds: float) -> TileEvent | None:
        """The next event, or None when none comes within `seconds` or the broker was closed."""
        try:
            return self._events.get(timeout=seconds)
        except queue.Empty:
            return None

    def put(self, event: TileEvent | None) -> None:
        """Add an event without waiting; a full queue loses its oldest. None only wakes `next`."""
        while True:
            try:
                return self._events.put_nowait(event)
            except queue.Full:
                self._events.get_nowait()
                self.lost += 1


class Broker:
    """Publishes events to the listeners of their slide. max_listeners: allowed at the same time. Safe to use from
    several threads."""

    def __init__(self, max_listeners: int = 64) -> None:
        self._max_listeners = max_listeners
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._closed = False

    def listen(self, slide: str) -> Listener:
        """A listener, until it leaves. Raises BusyError when there are too many."""
        listener = Listener(slide)
        with self._lock:
            if len(self._listeners) >= self._max_listeners:
                raise BusyError(f"at most {self._max_listeners} streams of events", "one more", "ask again later")
            self._listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """End a listener's stream."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def publish(self, event: TileEvent) -> None:
        """Tell every listener of the event's slide. Never waits."""
        with self._lock:
            for listener in self._listeners:
                if listener.slide == event.slide:
                    listener.put(event)

    @property
    def listeners(self) -> int:
        """How many there are now."""
        return len(self._listeners)

    @property
    def closed(self) -> bool:
        """Whether all streams are to end."""
        return self._closed

    def close(self) -> None:
        """Wake all listeners, so that their streams end."""
        self._closed = True
        with self._lock:
            for listener in self._listeners:
                listener.put(None)

"""Leases among the threads of one process; see `everslide.cache.leases` for those among processes."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Protocol


class LeaseBook(Protocol):
    """Leases by name. The context that `acquire` returns releases its lease at its end."""

    def acquire(self, name: str) -> AbstractContextManager[object] | None:
        """The lease, or None where somebody else holds it."""

    def wait(self, name: str, seconds: float) -> None:
        """Return when the lease was released, and after `seconds` at the latest."""


class LocalLeases:
    """A `LeaseBook` for the threads of one process. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, threading.Event] = {}

    def acquire(self, name: str) -> AbstractContextManager[object] | None:
        """See `LeaseBook.acquire`."""
        with self._lock:
            if name in self._held:
                return None
            self._held[name] = threading.Event()
        return _LocalLease(self, name)

    def wait(self, name: str, seconds: float) -> None:
        """See `LeaseBook.wait`."""
        with self._lock:
            released = self._held.get(name)
        if released is not None:
            released.wait(seconds)

    def release(self, name: str) -> None:
        """Give the lease up, and wake the threads that wait for it."""
        with self._lock:
            released = self._held.pop(name)
        released.set()


class _LocalLease(AbstractContextManager[object]):
    def __init__(self, leases: LocalLeases, name: str) -> None:
        self._leases, self._name = leases, name

    def __exit__(self, *error: object) -> None:
        self._leases.release(self._name)

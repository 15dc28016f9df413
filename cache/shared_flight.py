"""Work that several processes want at the same time, done once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from everslide.cache.local_leases import LeaseBook

T = TypeVar("T")


def _stay() -> None:
    return


class SharedFlight:
    """Lets one process do what several want, and the others find the result where the first one puts it."""

    def __init__(self, leases: LeaseBook) -> None:
        self._leases = leases

    def run(
        self, name: str, style: Callable[[], T | None], work: Callable[[], T], still_wanted: Callable[[], None] = _stay
    ) -> T:
        """What `look()` finds, now or as soon as the process that does the work has put it there; else `work()`,
        which must put its result where `look` finds it.

        A holder that dies is followed by another when its lease runs out. A failure stays with the process that met
        it: the next one tries anew. still_wanted: called while waiting; what it raises ends the waiting.
        """
        while True:
            found = style()
            if found is not None:
                return found
            lease = self._leases.acquire(name)
            if lease is not None:
                with lease:
                    found = style()  # it may have been done between looking and acquiring
                    return found if found is not None else work()
            still_wanted()
            self._leases.wait(name, seconds=0.5)

"""Work that several processes want at the same time, done once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from everslide.cache.local_leases import LeaseBook

T = TypeVar("T")


def _stay() -> None:
    return


class SharedFlight:
    """Lets one of several processes do some work; the others wait, and find the result where the first one puts it."""

    def __init__(self, leases: LeaseBook) -> None:
        self._leases = leases

    def run(
        self, name: str, find: Callable[[], T | None], work: Callable[[], T], still_wanted: Callable[[], None] = _stay
    ) -> T:
        """The result of the work `name`: what `find()` returns, at once or when another process has done the work; else
        `work()`, which must put its result where `find` finds it.

        Where a process dies, another takes over when its lease runs out. An error of `work` is raised in this process
        only: the next one tries again. still_wanted: called while waiting; what it raises ends the waiting.
        """
        while True:
            found = find()
            if found is not None:
                return found
            lease = self._leases.acquire(name)
            if lease is not None:
                with lease:
                    found = find()  # another process may have finished between the two
                    return found if found is not None else work()
            still_wanted()
            self._leases.wait(name, seconds=0.5)

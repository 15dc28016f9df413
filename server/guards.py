"""Token and rate limit of clients."""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from everslide.server.errors import DeniedError, RateError

REMEMBERED_CLIENTS = 4096
BURST_SECONDS = 2.0
"""A client may save up so many seconds of its rate."""


class RateLimit:
    """A token bucket of `rate` requests a second for each client; 0: no limit. Safe to use from several threads."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._full = max(1.0, rate * BURST_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> (filled at, level)

    def take(self, client: str) -> None:
        """Raises RateError when the client's bucket is empty."""
        if not self._rate:
            return
        now = self._clock()
        with self._lock:
            at, level = self._buckets.get(client, (now, self._full))
            level = min(self._full, level + (now - at) * self._rate)
            self._buckets[client] = now, max(0.0, level - 1.0)
            self._buckets.move_to_end(client)
            while len(self._buckets) > REMEMBERED_CLIENTS:
                self._buckets.popitem(last=False)
        if level < 1.0:
            raise RateError(f"at most {self._rate:g} requests a second that cost work", "more", "ask again in a second")


class Guard:
    """Admits clients that send the right token, where one is needed, and stay within their rate."""

    def __init__(self, token: str | None, rate: float) -> None:
        self._token = token
        self._limit = RateLimit(rate)

    def knows(self, given: str | None) -> bool:
        """Whether `given` is the token, or none is needed. Compared in constant time."""
        if self._token is None:
            return True
        return given is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def admit(self, client: str, given: str | None) -> None:
        """Raises DeniedError for a missing or wrong token, RateError for too many requests. client: its address."""
        if not self.knows(given):
            found = "none" if given is None else "another one"
            raise DeniedError("the server's token", found, "send it as 'Authorization: Bearer TOKEN'")
        self._limit.take(client)

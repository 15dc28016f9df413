"""A connection to a Redis server that may be unreachable for a while: failures are logged and counted, and commands
fail at once during a pause after each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis

from everslide.cache.store import StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")
OLDEST_VERSION = 7
_CONNECTIONS, _PATIENCE_SECONDS = 64, 5.0
"""Connections of a process to the server, and how long a thread waits for one of them."""


class RedisDownError(Exception):
    """A command failed, or the server is known to be unreachable. It was logged and counted."""


class RedisLink:
    """Runs commands on the Redis server at `url`; safe to use from several threads.

    url: redis://, rediss:// or unix://, with password and database number where there are any.
    timeout: seconds that a command may take. rest: seconds for which commands fail at once after the server could not
        be reached, so that a lost server costs one timeout in each such pause, not one in each request.
    clock: monotonic seconds.

    Raises StoreError where `url` is not valid, or the server is older than OLDEST_VERSION; not where the server cannot
    be reached.
    """

    def __init__(self, url: str, timeout: float = 1.0, rest: float = 1.0, clock: Callable[[], float] = time.monotonic):
        self.where = _without_password(url)
        self._rest = rest
        self._clock = clock
        self._lock = threading.Lock()
        self._down_until = 0.0
        self.errors = 0
        try:
            pool = redis.BlockingConnectionPool.from_url(  # others fail where threads are many
                url,
                max_connections=_CONNECTIONS,
                timeout=_PATIENCE_SECONDS,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                health_check_interval=15,
            )
            self.client: Any = redis.Redis.from_pool(pool)
        except ValueError as error:
            raise StoreError(f"redis {self.where}: expected redis://HOST:PORT/DB, {error}") from error
        self._check_version()

    @property
    def up(self) -> bool:
        """Whether commands are sent: False during the pause after the server could not be reached."""
        return self._clock() >= self._down_until

    def call(self, what: str, work: Callable[[Any], T]) -> T:
        """`work(client)`. what: its name in the log. Raises RedisDownError; at once during a pause."""
        if not self.up:
            raise RedisDownError
        try:
            return work(self.client)
        except redis.RedisError as error:
            self._failed(what, error)
            raise RedisDownError from error

    def reachable(self) -> bool:
        """Ping the server now; an answer ends the pause."""
        try:
            there = bool(self.client.ping())
        except redis.RedisError:
            return False
        with self._lock:
            self._down_until = self._clock()
        return there

    def close(self) -> None:
        self.client.close()

    def _check_version(self) -> None:
        try:
            found = str(self.call("info", lambda client: client.info("server"))["redis_version"])
        except RedisDownError:
            return
        if int(found.split(".")[0]) < OLDEST_VERSION:
            raise StoreError(f"redis {self.where}: expected version {OLDEST_VERSION} or newer, found {found}")

    def _failed(self, what: str, error: redis.RedisError) -> None:
        """Count a failure, and log the 1st, 2nd, 4th, 8th ... of them."""
        with self._lock:
            self.errors += 1
            errors = self.errors
            if isinstance(error, redis.ConnectionError | redis.TimeoutError):
                self._down_until = self._clock() + self._rest
        if errors & (errors - 1) == 0:
            log.warning("redis %s: %s failed: %s (error %d; serving past it)", self.where, what, error, errors)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

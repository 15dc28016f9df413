"""Distributed locks that expire (leases), shared by all processes on one Redis server, so that work is done once."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any

import redis

from everslide.cache.redis_link import RedisDownError, RedisLink

log = logging.getLogger(__name__)

_RENEW = (
    "local holder = redis.call('get', KEYS[1]) "
    "if holder == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end "  # a full server allows this
    "if not holder then redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2]) return 1 end return 0"
)
"""A lease that nobody holds, since the server was started anew, is taken again."""
_RELEASE = (
    "local mine = redis.call('get', KEYS[1]) == ARGV[1] "
    "if mine then redis.call('del', KEYS[1]) end redis.call('publish', KEYS[2], ARGV[2]) return mine and 1 or 0"
)
_LISTEN_SECONDS = 0.5
"""How often the listening thread looks whether it should end."""
_AWAKE_SECONDS = 2.0
"""A waiter checks again after this time, with or without a message: messages may be lost when a server restarts."""


class Lease:
    """The exclusive right to do one piece of work, renewed until it is released. As a context it is released at the
    end."""

    def __init__(self, leases: Leases, name: str, token: str | None) -> None:
        self._leases, self.name, self.token = leases, name, token

    @property
    def shared(self) -> bool:
        """False where Redis could not be reached: other processes may do the same work at the same time."""
        return self.token is not None

    def release(self) -> None:
        """Give it up, and wake the processes that wait for it."""
        self._leases._release(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class Leases:
    """Gives out leases (Redis `SET NX PX`), renews them in a thread, and wakes waiters by publish and subscribe.

    milliseconds: how long a lease outlives a process that died. While Redis cannot be reached, `acquire` always
    succeeds: work may be done twice then, but never not at all. Safe to use from several threads.
    """

    def __init__(self, link: RedisLink, milliseconds: int = 10_000) -> None:
        self._link = link
        self._milliseconds = milliseconds
        self._lock = threading.Lock()
        self._held: dict[str, Lease] = {}
        self._waiting: dict[str, list[threading.Event]] = {}
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._renew, name="lease renewal", daemon=True),
            threading.Thread(target=self._listen, name="lease messages", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def acquire(self, name: str) -> Lease | None:
        """The lease, or None where somebody else holds it."""
        token = secrets.token_hex(16)
        try:
            holder = self._link.call(
                "lease", lambda client: client.set(_key(name), token, nx=True, px=self._milliseconds, get=True)
            )
        except RedisDownError:
            return Lease(self, name, None)
        if holder not in (None, token.encode()):  # one's own: it was asked twice, because the first answer was lost
            return None
        lease = Lease(self, name, token)
        with self._lock:
            self._held[token] = lease
        return lease

    def wait(self, name: str, seconds: float = _AWAKE_SECONDS) -> None:
        """Return when the lease was released or ran out, and after `seconds` at the latest."""
        released = threading.Event()
        with self._lock:
            self._waiting.setdefault(name, []).append(released)
        try:
            left = self._link.call("lease", lambda client: client.pttl(_key(name)))  # -2 where there is none
            if left > 0:
                released.wait(min(left / 1000 + 0.01, seconds))
        except RedisDownError:
            return
        finally:
            with self._lock:
                self._waiting[name].remove(released)
                if not self._waiting[name]:
                    del self._waiting[name]

    def held(self) -> int:
        """How many leases this process holds."""
        with self._lock:
            return len(self._held)

    def close(self) -> None:
        """End the threads. Leases that are still held run out."""
        self._closing.set()
        for thread in self._threads:
            thread.join(2 * _LISTEN_SECONDS + 1)

    def _release(self, lease: Lease) -> None:
        if lease.token is None:
            return
        with self._lock:
            self._held.pop(lease.token, None)
        try:
            self._link.call("release", lambda client: client.eval(_RELEASE, 2, *_release_arguments(lease)))
        except RedisDownError:
            return  # it runs out by itself

    def _renew(self) -> None:
        while not self._closing.wait(self._milliseconds / 3000):
            with self._lock:
                held = list(self._held.values())
            try:
                answers = self._link.call("renew", self._renewals(held))
            except RedisDownError:
                continue
            for lease, kept in zip(held, answers, strict=True):
                with self._lock:
                    held_still = lease.token in self._held  # else it was released in the meantime
                    if held_still and not kept:
                        del self._held[str(lease.token)]
                if held_still and not kept:
                    log.warning("the lease on %s was lost: somebody else does the same work", lease.name)
                if kept and not held_still:
                    self._release(lease)

    def _renewals(self, held: Sequence[Lease]) -> Callable[[Any], list[Any]]:
        """Renews them in one message: one after the other, many would run out on a busy machine."""

        def renew(client: Any) -> list[Any]:
            with client.pipeline(transaction=False) as messages:
                for lease in held:
                    messages.eval(_RENEW, 1, _key(lease.name), lease.token, self._milliseconds)
                answers: list[Any] = messages.execute()
                return answers

        return renew

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                with self._link.client.pubsub(ignore_subscribe_messages=True) as messages:
                    messages.subscribe(_CHANNEL)
                    while not self._closing.is_set():
                        message = messages.get_message(timeout=_LISTEN_SECONDS)
                        if message is not None:
                            self._wake(bytes(message["data"]).decode(errors="replace"))
            except redis.RedisError:
                self._closing.wait(_LISTEN_SECONDS)  # commands that fail are logged and counted by the link

    def _wake(self, name: str) -> None:
        with self._lock:
            for released in self._waiting.get(name, []):
                released.set()


_CHANNEL = "everslide/released"


def _key(name: str) -> str:
    return f"everslide/lease/{name}"


def _release_arguments(lease: Lease) -> tuple[str, ...]:
    """Keys, then values, of the script."""
    return _key(lease.name), _CHANNEL, str(lease.token), lease.name

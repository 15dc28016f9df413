"""Leases and work shared between processes, on a real Redis server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from everslide.cache.leases import Lease, Leases
from everslide.cache.redis_link import RedisLink
from everslide.cache.redis_store import RedisStore
from everslide.cache.shared_flight import SharedFlight
from everslide.cache.store import Key
from tests.redis_server import RedisServer

KEY = Key("work")


@pytest.fixture
def leases(redis: RedisServer) -> Iterator[Leases]:
    leases = Leases(RedisLink(redis.url), milliseconds=6000)
    yield leases
    leases.close()


@pytest.fixture
def others(redis: RedisServer) -> Iterator[Leases]:
    """Leases of another process, as far as Redis can tell."""
    leases = Leases(RedisLink(redis.url), milliseconds=6000)
    yield leases
    leases.close()


def test_one_holds_a_lease_until_it_releases_it(leases: Leases, others: Leases) -> None:
    lease = leases.acquire("a")
    assert lease is not None and lease.shared
    assert others.acquire("a") is None
    assert leases.acquire("a") is None
    assert leases.held() == 1
    lease.release()
    assert leases.held() == 0
    assert others.acquire("a") is not None


def test_a_lease_asked_for_twice_because_an_answer_was_lost_is_ones_own(redis: RedisServer, others: Leases) -> None:
    link = RedisLink(redis.url)
    ask = link.client.set
    link.client.set = lambda *place, **how: (ask(*place, **how), ask(*place, **how))[1]
    leases = Leases(link)
    assert leases.acquire("a") is not None
    assert leases.acquire("a") is None
    assert others.acquire("a") is None
    leases.close()


def renewed_after(
    leases: Leases, happens: Callable[[Lease], object], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Let something happen to a lease before each renewal of it. What is returned waits for a whole renewal more."""
    renew, renewals = leases._renewals, threading.Semaphore(0)

    def later(held: Sequence[Lease]) -> Callable[[Any], list[Any]]:
        for lease in held:
            happens(lease)
            renewals.release()
        return renew(held)

    def wait() -> None:
        for _ in range(2):  # of the second one the first is over
            assert renewals.acquire(timeout=20)

    monkeypatch.setattr(leases, "_renewals", later)
    return wait


def test_a_lease_that_somebody_else_took_is_reported_once(
    redis: RedisServer, others: Leases, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = Leases(RedisLink(redis.url), milliseconds=300)
    taken = redis.client()

    def takes(lease: Lease) -> None:
        if lease.name == "a":
            taken.set("everslide/lease/a", "somebody else")

    wait = renewed_after(leases, takes, monkeypatch)
    lost, kept = leases.acquire("a"), leases.acquire("kept")
    assert lost is not None and kept is not None
    for _ in range(3):
        wait()
    assert caplog.text.count("the lease on a was lost") == 1 and "kept was lost" not in caplog.text
    lost.release()
    assert taken.get("everslide/lease/a") == b"somebody else"
    kept.release()
    leases.close()


def test_a_lease_that_a_restarted_server_forgot_is_taken_again(
    redis: RedisServer, others: Leases, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = Leases(RedisLink(redis.url), milliseconds=300)
    wait = renewed_after(leases, lambda lease: redis.client().flushall(), monkeypatch)
    lease = leases.acquire("a")
    assert lease is not None
    wait()
    monkeypatch.undo()
    deadline = time.monotonic() + 20
    while redis.client().get("everslide/lease/a") is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert others.acquire("a") is None and "lost" not in caplog.text
    lease.release()
    assert others.acquire("a") is not None
    leases.close()


def test_a_lease_that_is_released_while_it_is_renewed_stays_released(
    redis: RedisServer, others: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = Leases(RedisLink(redis.url), milliseconds=300)
    released = threading.Event()

    def release(lease: Lease) -> None:
        if lease.name == "a":
            lease.release()
            released.set()

    wait = renewed_after(leases, release, monkeypatch)
    lease, beside = leases.acquire("a"), leases.acquire("beside")
    assert lease is not None and beside is not None and released.wait(20)
    wait()
    wait()
    assert others.acquire("a") is not None
    beside.release()
    leases.close()


def test_a_lease_is_renewed_while_it_is_held(redis: RedisServer, leases: Leases, others: Leases) -> None:
    with leases.acquire("a") or pytest.fail("no lease"):
        left = redis.client().pttl("everslide/lease/a")
        while (now := redis.client().pttl("everslide/lease/a")) <= left:
            assert now > 0, "it ran out"
            left = now
            time.sleep(0.02)
        assert others.acquire("a") is None
    assert others.acquire("a") is not None


def test_many_leases_are_renewed_in_one_message(redis: RedisServer, others: Leases) -> None:
    """Each in a message of its own, on a machine so busy that each takes a while, the last ones would run out."""
    link = RedisLink(redis.url)
    call, waits = link.call, 0.0

    def slow(what: str, work: Callable[[Any], Any]) -> Any:
        time.sleep(waits)
        return call(what, work)

    link.call = slow  # type: ignore[method-assign]
    leases = Leases(link, milliseconds=3000)
    held = [leases.acquire(f"many {i}") for i in range(60)]
    waits = 0.1
    time.sleep(4)
    assert all(held) and leases.held() == 60
    assert [others.acquire(f"many {i}") for i in range(60)] == [None] * 60
    waits = 0
    leases.close()


def test_a_lease_that_was_taken_over_is_not_released_by_its_old_holder(
    redis: RedisServer, leases: Leases, others: Leases
) -> None:
    old = leases.acquire("a")
    assert old is not None
    redis.client().delete("everslide/lease/a")
    assert others.acquire("a") is not None
    old.release()
    assert leases.acquire("a") is None


def test_who_waits_is_woken_by_a_message_not_by_the_clock(redis: RedisServer) -> None:
    holder, waiter = (Leases(RedisLink(redis.url), milliseconds=60_000) for _ in range(2))
    lease = holder.acquire("a")
    assert lease is not None
    woken = threading.Event()

    def wait() -> None:
        waiter.wait("a", seconds=60)
        woken.set()

    threading.Thread(target=wait).start()
    deadline = time.monotonic() + 10  # both listen only after a moment
    while redis.client().pubsub_numsub("everslide/released")[0][1] < 2 or not waiter._waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not woken.is_set()
    lease.release()
    assert woken.wait(20)
    holder.close()
    waiter.close()


def test_waiting_for_nobody_returns_at_once(leases: Leases) -> None:
    leases.wait("nobody", seconds=3600)


def test_without_redis_everybody_may_work(own_redis: RedisServer) -> None:
    leases = Leases(RedisLink(own_redis.url))
    own_redis.kill()
    first, second = leases.acquire("a"), leases.acquire("a")
    assert first is not None and second is not None
    assert not first.shared
    leases.wait("a", seconds=3600)
    first.release()
    leases.close()


def flight_of(leases: Leases, redis: RedisServer) -> tuple[SharedFlight, RedisStore]:
    return SharedFlight(leases), RedisStore(RedisLink(redis.url))


def test_a_failure_is_not_shared(redis: RedisServer, leases: Leases) -> None:
    flight, store = flight_of(leases, redis)
    with pytest.raises(ZeroDivisionError):
        flight.run("work", lambda: store.get(KEY), lambda: bytes(1 // 0))
    assert flight.run("work", lambda: store.get(KEY), lambda: b"done") == b"done"


def test_waiting_ends_when_nobody_wants_it_any_more(redis: RedisServer, leases: Leases, others: Leases) -> None:
    def give_up() -> None:
        raise InterruptedError

    held = others.acquire("work")
    assert held is not None
    flight, store = flight_of(leases, redis)
    with pytest.raises(InterruptedError):
        flight.run("work", lambda: store.get(KEY), lambda: b"done", give_up)
    held.release()


_WORKER = """
import sys, time
from everslide.cache.leases import Leases
from everslide.cache.redis_link import RedisLink
from everslide.cache.redis_store import RedisStore
from everslide.cache.shared_flight import SharedFlight
from everslide.cache.store import Key
url, seconds, milliseconds = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
link = RedisLink(url)
leases, store = Leases(link, milliseconds), RedisStore(link)
def work():
    link.client.incr("works")
    print("working", flush=True)
    time.sleep(seconds)
    store.put(Key("work"), b"result")
    return b"result"
assert SharedFlight(leases).run("work", lambda: store.get(Key("work")), work) == b"result"
"""


def worker(redis: RedisServer, seconds: float, milliseconds: int = 1000) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WORKER, redis.url, str(seconds), str(milliseconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_eight_processes_work_once(redis: RedisServer) -> None:
    workers = [worker(redis, 1.5, 60_000) for _ in range(8)]
    assert [process.wait(60) for process in workers] == [0] * 8
    for process in workers:
        process.communicate()
    assert redis.client().get("works") == b"1"


def test_a_process_killed_while_it_works_is_followed_by_another(redis: RedisServer) -> None:
    with worker(redis, 3600) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "working\n"
        with worker(redis, 0.0) as second:
            first.kill()
            assert second.wait(60) == 0
    assert redis.client().get("works") == b"2"
    assert redis.client().exists("everslide/lease/work") == 0

"""What only a store on a server can get wrong: damage, a server that dies, is full, is too old, or is none."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from everslide.cache.redis_link import RedisLink
from everslide.cache.redis_store import RedisStore
from everslide.cache.store import Key, StoreError
from tests.redis_server import RedisServer

KEY = Key("tile-1/abc/0/12_7", 3)


def wire_name(server: RedisServer) -> bytes:
    (name,) = server.client().keys("*")
    assert isinstance(name, bytes)
    return name


def test_more_threads_than_connections_wait_for_one(redis: RedisServer) -> None:
    """A pool that does not wait would fail, and Redis would count as unreachable for a while."""
    link, here = RedisLink(redis.url), threading.Barrier(200, timeout=60)

    def ask() -> int:
        here.wait()
        return int(link.call("incr", lambda client: client.eval("return redis.call('incr', KEYS[1])", 1, "asked")))

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: ask(), range(200)))
    assert sorted(answers) == list(range(1, 201)) and link.errors == 0
    link.close()


def test_a_corrupt_entry_is_found_counted_logged_and_deleted(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStore(RedisLink(redis.url))
    store.put(KEY, b"value")
    name = wire_name(redis)
    whole = redis.client().get(name)
    assert isinstance(whole, bytes)
    for damage in (b"", b"EVERSLD0", whole[:-1], whole + b"x"):
        redis.client().set(name, damage)
        with caplog.at_level(logging.WARNING):
            assert store.get(KEY) is None
        assert "corrupt entry" in caplog.text
        assert redis.client().exists(name) == 0
        store.put(KEY, b"painted anew")
    assert store.stats().corrupt == 4
    assert store.get(KEY) == b"painted anew"


def test_a_value_under_another_name_is_corrupt(redis: RedisServer) -> None:
    store = RedisStore(RedisLink(redis.url))
    store.put(KEY, b"value")
    redis.client().rename(wire_name(redis), "everslide/3/another")
    assert store.get(Key("another", 3)) is None
    assert store.stats().corrupt == 1


def test_bytes_are_raw_never_a_pickle(redis: RedisServer) -> None:
    RedisStore(RedisLink(redis.url)).put(KEY, b"\x80\x04\x95 looks like one")
    data = redis.client().get(wire_name(redis))
    assert isinstance(data, bytes)
    assert data[:8] == b"EVERSLD1" and data[40:] == b"\x80\x04\x95 looks like one"


def test_every_entry_may_be_evicted_and_coarse_ones_live_longer(redis: RedisServer) -> None:
    store = RedisStore(RedisLink(redis.url))
    for rank in (0, 8):
        store.put(Key("tile", rank), b"value")
    lives = [redis.client().ttl(f"everslide/{rank}/tile") for rank in (0, 8)]
    assert 0 < lives[0] < lives[1]


def test_a_full_server_drops_fine_tiles_and_keeps_coarse_ones(own_redis: RedisServer) -> None:
    store = RedisStore(RedisLink(own_redis.url))
    used = own_redis.client().info("memory")["used_memory"]
    own_redis.client().config_set("maxmemory", used + 4_000_000)
    for rank in (4, 6, 9):
        for i in range(10):
            store.put(Key(f"coarse {i}", rank), bytes(10_000))
    for i in range(2000):
        store.put(Key(f"fine {i}"), bytes(10_000))
    stats = store.stats()
    assert stats.evictions > 1000
    assert stats.errors == 0
    assert own_redis.client().info("memory")["used_memory"] <= used + 4_100_000
    assert all(store.get(Key(f"coarse {i}", rank)) is not None for rank in (4, 6, 9) for i in range(10))
    assert store.get(Key("fine 1999")) is not None


def test_a_server_that_takes_nothing_more_is_logged_counted_and_served_past(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStore(RedisLink(own_redis.url))
    store.put(KEY, b"before")
    own_redis.client().config_set("maxmemory-policy", "noeviction")
    own_redis.client().config_set("maxmemory", 1)
    with caplog.at_level(logging.WARNING):
        store.put(Key("other"), bytes(1000))
    assert store.stats().errors == 1
    assert "maxmemory" in caplog.text
    assert store.link.up, "a server that refuses is not one that is gone"
    assert store.get(Key("other")) is None


def test_a_server_that_dies_is_served_past_and_found_again(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    store = RedisStore(RedisLink(own_redis.url, clock=lambda: now[0]))
    store.put(KEY, b"value")
    own_redis.kill()
    with caplog.at_level(logging.WARNING):
        assert store.get(KEY) is None
    assert "serving past it" in caplog.text
    errors = store.stats().errors
    assert errors >= 1
    for _ in range(20):
        assert store.get(KEY) is None
        store.put(KEY, b"value")
        store.delete(KEY)
    assert store.stats().errors == errors, "a server that is gone is given a rest"
    assert not store.link.up
    own_redis.start()
    now[0] += 2
    assert store.get(KEY) is None
    store.put(KEY, b"again")
    assert store.get(KEY) == b"again"


def test_a_server_that_is_seen_again_is_used_at_once(own_redis: RedisServer) -> None:
    store = RedisStore(RedisLink(own_redis.url, clock=lambda: 100.0))
    own_redis.kill()
    store.put(KEY, b"lost")
    assert not store.link.reachable()
    own_redis.start()
    store.put(KEY, b"lost too")
    assert store.link.reachable()
    assert store.get(KEY) is None
    store.put(KEY, b"kept")
    assert store.get(KEY) == b"kept"


def test_a_server_that_is_not_there_yet_is_waited_for(own_redis: RedisServer) -> None:
    own_redis.kill()
    now = [0.0]
    store = RedisStore(RedisLink(own_redis.url, clock=lambda: now[0]))
    store.put(KEY, b"lost")
    own_redis.start()
    now[0] += 2
    store.put(KEY, b"kept")
    assert store.get(KEY) == b"kept"


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port"])
def test_an_address_that_is_none_is_an_error_at_once(url: str) -> None:
    with pytest.raises(StoreError, match="expected redis://"):
        RedisLink(url)


def test_an_old_server_is_an_error_at_once(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redis.Redis.info", lambda self, section: {"redis_version": "6.2.14"})
    with pytest.raises(StoreError, match=r"version 7 or newer, found 6\.2\.14"):
        RedisLink(redis.url)


def test_the_password_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        link = RedisLink("redis://user:geheim@127.0.0.1:1/0", timeout=0.2)
    assert "127.0.0.1:1" in caplog.text
    assert "geheim" not in caplog.text + link.where

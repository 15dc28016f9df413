"""Settings and where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from everslide.server.settings import Settings, default_cache


def test_the_default_serves_this_machine_only() -> None:
    settings = Settings(cache=None)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


@pytest.mark.parametrize(("threads", "waiting"), [(24, 18), (8, 2), (7, 1), (2, 1)])
def test_some_threads_never_wait_for_the_painter(threads: int, waiting: int) -> None:
    assert Settings(cache=None, threads=threads).max_waiting == waiting


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/everslide")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache() == Path("/home/me/.cache/everslide")

"""A real Redis server of a test's own, which it may kill and start again at the same address."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis


class RedisServer:
    """Listens on a unix socket, writes nothing to disk, keeps at most `maxmemory` bytes, volatile-ttl."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="evr"))  # short: the path of a socket has 107 bytes at most
        self.url = f"unix://{self.folder}/redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when the server answers."""
        flags = ["--port", "0", "--unixsocket", str(self.folder / "redis.sock"), "--dir", str(self.folder)]
        flags += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "volatile-ttl", "--maxmemory", "256mb"]
        self._process = subprocess.Popen(["redis-server", *flags], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline and self._process.poll() is None, "redis-server does not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """As a crash: nothing is said to anybody, nothing is kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False


def require_redis() -> None:
    """Skip where no redis-server is installed; with CI=true that is a failure."""
    if shutil.which("redis-server"):
        return
    reason = "NOT TESTED: no redis-server here: install Debian's package redis-server, version 7 or newer"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)

"""What tests of several packages share."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, require_redis

LONG = ("test_overfit.py", "test_schemathesis.py", "test_trainer.py", "test_cluster.py", "test_many_processes.py")
"""Files of few tests that take long."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """--parity FOLDER, or the environment variable EVERSLIDE_PARITY."""
    parser.addoption(
        "--parity",
        type=Path,
        default=os.environ.get("EVERSLIDE_PARITY"),
        help="Folder of reference arrays for the parity tests of ZoomLDM (optional data, not part of the project).",
    )


def pytest_configure() -> None:
    """Parallel processes (pytest-xdist) share out the cores, so that no network waits for the threads of another."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        cores, count = sorted(os.sched_getaffinity(0)), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.sched_setaffinity(0, cores[int(worker.removeprefix("gw")) :: count] or cores)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, then those of many tests. pytest-xdist hands out files in this order (`--no-loadscope-reorder`;
    its own begins with those of many tests), so that no process is left alone with a long file at the end."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        count = Counter(item.path for item in items)
        items.sort(key=lambda item: (item.path.name not in LONG, -count[item.path], item.path))


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[RedisServer]:
    require_redis()
    server = RedisServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def redis(_redis_server: RedisServer) -> RedisServer:
    """A real Redis server with an empty database."""
    _redis_server.client().flushall()
    _redis_server.client().config_resetstat()
    return _redis_server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A real Redis server that nobody else uses: to be killed, filled, or given another limit."""
    require_redis()
    server = RedisServer()
    server.start()
    yield server
    server.close()

"""What tests of several packages share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, require_redis


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

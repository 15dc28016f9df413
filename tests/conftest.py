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
    """A real Redis server that nobody else uses: to be killed, filled, or told another bound."""
    require_redis()
    server = RedisServer()
    server.start()
    yield server
    server.close()

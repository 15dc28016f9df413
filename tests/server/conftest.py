from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from everslide.server.app import create_app
from everslide.server.tiles import TileService
from tests.server.stub import Studio, make_service


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def service(studio: Studio) -> Iterator[TileService]:
    service = make_service(studio)
    yield service
    studio.gate.set()
    service.close()


@pytest.fixture
def static(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "dist").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Everslide</title>")
    (folder / "dist" / "page.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text("not served")
    return folder


@pytest.fixture
def client(service: TileService, static: Path) -> FlaskClient:
    return create_app(service, static).test_client()

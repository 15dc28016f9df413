"""What the interface's own description allows, and its opposite, is sent to every operation: none answers 5xx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings

from everslide.server.app import create_app
from everslide.server.settings import Settings
from tests.server.stub import Studio, make_service

SCHEMA = schemathesis.openapi.from_wsgi(
    "/api/openapi.json", create_app(make_service(Studio()), Path(), Settings(cache=None, rate=0, max_pixels=2**18))
).exclude(path_regex="/events$")  # a stream without an end


@SCHEMA.parametrize()
@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_operation_fails_whatever_it_is_asked(case: schemathesis.Case[Any]) -> None:
    response = case.call()
    assert response.status_code < 500, f"{case.method} {case.formatted_path}: {response.status_code} {response.text}"

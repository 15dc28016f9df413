"""Settings and where they come from."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from everslide.server.cli import main
from everslide.server.settings import Settings, default_cache, environment_of, flag_of

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


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


def options(command: str) -> list[click.Option]:
    return [option for option in main.commands[command].params if isinstance(option, click.Option)]


def rows() -> dict[str, str]:
    """Rows of the tables of settings by their flag."""
    lines = OPERATIONS.read_text("utf-8").splitlines()
    return {line.split("`")[1].split()[0]: line for line in lines if line.startswith("| `--")}


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_every_flag_is_documented_with_its_variable(command: str) -> None:
    documented = rows()
    for option in options(command):
        row = documented[option.opts[0]]
        assert isinstance(option.envvar, str), f"{option.opts[0]} cannot be set by the environment"
        assert f"`{option.envvar}`" in row, row


def test_every_flag_of_an_export_is_documented() -> None:
    assert {option.opts[0] for option in options("export")} <= rows().keys()


def test_nothing_is_documented_that_is_not_there() -> None:
    known = {option.opts[0] for command in ("serve", "worker", "export") for option in options(command)}
    assert rows().keys() <= known


def test_every_setting_is_a_flag_and_a_variable() -> None:
    flags = {option.opts[0]: option.envvar for option in options("serve")}
    for field in fields(Settings):
        assert flags[flag_of(field.name)] == environment_of(field.name)


def test_documented_defaults_are_those_of_the_settings() -> None:
    for field in fields(Settings):
        if field.name != "cache" and field.default is not None:
            shown = field.metadata["shown"] or str(field.default) or "none"
            assert f"| {shown} |" in rows()[flag_of(field.name)], field.name


def test_the_environment_sets_what_no_flag_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr(
        "everslide.server.cli._serve", lambda assembly, settings, documents, browser: seen.append(settings)
    )
    environment = {"EVERSLIDE_PORT": "8123", "EVERSLIDE_MEMORY_SIZE": "10MB", "EVERSLIDE_RATE": "5"}
    arguments = ["serve", "--model", "speckle", "--cache", str(tmp_path), "--rate", "7"]
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == 0, result.output
    assert (seen[0].port, seen[0].memory_size, seen[0].rate, seen[0].cache) == (8123, 10**7, 7.0, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "65536"), ("THREADS", "1"), ("CACHE_SIZE", "large"), ("RATE", "-1"), ("LEASE_SECONDS", "0")],
)
def test_a_bad_variable_is_an_error_that_names_it(name: str, value: str) -> None:
    result = CliRunner().invoke(main, ["serve"], env={f"EVERSLIDE_{name}": value})
    assert result.exit_code == 2
    assert name.lower().replace("_", "-") in result.output

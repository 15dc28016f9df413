"""What every option of every command has in common: numbers are finite, and paths know the user's home."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from everslide.model.command_types import UserPath, with_home
from everslide.model.errors import ImageError
from everslide.model.zoomldm.scales import parse_scale
from everslide.server.cli import main
from everslide.server.settings import default_cache, default_data


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


PARAMETERS = [
    pytest.param(command, parameter, id=f"{' '.join(path)} {parameter.name}")
    for path, command in commands(main)
    for parameter in command.params
]
NUMBERS = [case for case in PARAMETERS if isinstance(case.values[1].type, click.FLOAT.__class__)]  # type: ignore[union-attr]
PATHS = [case for case in PARAMETERS if isinstance(case.values[1].type, click.Path)]  # type: ignore[union-attr]


def test_there_are_such_options() -> None:
    assert len(NUMBERS) > 15 and len(PATHS) > 40


@pytest.mark.parametrize(("command", "parameter"), NUMBERS)
def test_no_number_may_be_nan_or_infinite(command: click.Command, parameter: click.Parameter) -> None:
    for text in ("nan", "inf", "-inf", "1e999"):
        with pytest.raises(click.BadParameter):
            parameter.type_cast_value(click.Context(command), text)
    default = parameter.get_default(click.Context(command))
    assert not isinstance(default, float) or math.isfinite(default)


@pytest.mark.parametrize("flags", [("--rate", "nan"), ("--lease-seconds", "inf")])
def test_a_number_that_is_none_is_reported_with_its_flag(flags: tuple[str, str]) -> None:
    result = CliRunner().invoke(main, ["serve", *flags])
    assert result.exit_code == 2 and flags[0] in result.output


@pytest.mark.parametrize("size", ["nan", "inf", "9" * 400 + "GiB", "1." + "9" * 400, "-1"])
def test_a_size_that_is_none_is_reported(size: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--cache-size", size])
    assert result.exit_code == 2 and "--cache-size" in result.output and "8GiB" in result.output


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "infm", "nanm", "1e999", "1e-999", "0", "-5"])
def test_a_magnification_that_is_none_is_reported(text: str) -> None:
    with pytest.raises(ImageError, match="expected 20, 10, 5"):
        parse_scale(text)


@pytest.mark.parametrize(("command", "parameter"), PATHS)
def test_every_path_may_begin_at_home(
    command: click.Command, parameter: click.Parameter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert isinstance(parameter.type, UserPath)
    if parameter.type.exists:
        (tmp_path / "there").write_text("")
    text = ("~/there",) if parameter.multiple or parameter.nargs != 1 else "~/there"
    found = parameter.type_cast_value(click.Context(command), text)
    assert found in (tmp_path / "there", (tmp_path / "there",))


@pytest.mark.parametrize("variable", ["EVERSLIDE_DATA", "EVERSLIDE_CACHE"])
def test_a_home_in_a_variable_that_no_shell_saw(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(
        "everslide.server.cli._serve", lambda assembly, settings, documents, browser: seen.append(settings)
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    result = CliRunner().invoke(main, ["serve", "--model", "speckle"], env={variable: "~/mine"})
    assert result.exit_code == 0, result.output
    assert getattr(seen[0], variable.removeprefix("EVERSLIDE_").lower()) == tmp_path / "mine"


def test_the_folders_of_the_desktop_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "~/here")
    assert default_cache() == default_data() == tmp_path / "here" / "everslide"


def test_folders_of_the_desktop_that_are_relative_count_as_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "here")
    assert (default_cache(), default_data()) == (
        tmp_path / ".cache" / "everslide",
        tmp_path / ".local" / "share" / "everslide",
    )


@pytest.mark.parametrize("flag", ["--data", "--cache", "--weights", "--slides"])
def test_a_path_that_is_empty_is_refused_and_not_the_folder_at_hand(flag: str) -> None:
    result = CliRunner().invoke(main, ["serve", flag, ""])
    assert result.exit_code == 2 and "expected a path, found an empty text" in result.output


@pytest.mark.parametrize(
    ("path", "words"),
    [("~no-such-user-here/x", "no such home folder"), ("a\0b", "NUL"), ("a\ud800", "half of a character")],
)
def test_what_is_no_path_is_reported(path: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        with_home(path)


def test_a_name_that_only_looks_like_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~lock~").write_text("")
    assert with_home("~lock~") == Path("~lock~")
    assert with_home("./~x") == Path("~x"), "as the message says"

"""Machines and hands as they are: no home, folders that cannot be written to, odd tokens, names and paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import large_image
import pytest
from click.testing import CliRunner, Result
from large_image.exceptions import TileSourceError

from everslide.server import cli
from everslide.server.cli import main
from everslide.server.documents import Documents
from everslide.server.errors import SettingsError, StorageError
from everslide.server.folders import NoDocuments, check_folder
from everslide.server.settings import check_token
from everslide.server.slides import read_slides


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Servers that would serve: their settings and documents."""
    seen: list[Any] = []

    def serve(assembly: Any, settings: Any, documents: Any, open_browser: bool) -> None:
        seen.append((settings, documents))
        assembly.close()

    monkeypatch.setattr(cli, "_serve", serve)
    yield seen


def serve(*flags: str) -> Result:
    result = CliRunner().invoke(main, ["serve", "--model", "speckle", *flags])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_user_without_a_home_can_look_and_is_warned(monkeypatch: pytest.MonkeyPatch, started: list[Any]) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    result = serve()
    assert result.exit_code == 0
    assert "cannot be kept. no home folder is known for this user; name a data folder with --data DIR" in result.output
    assert "in memory only. no home folder is known" in result.output
    settings, documents = started[0]
    assert settings.cache is None
    with pytest.raises(StorageError, match="--data DIR"):
        documents.change("slides", "made", lambda kept: None)
    assert documents.get("slides", "made") == {}


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A folder that cannot be made, whoever asks."""
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file" / "below"


def test_a_home_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch, started: list[Any], blocked: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setenv("XDG_DATA_HOME", str(blocked))
    result = serve()
    assert result.exit_code == 0
    assert result.output.count("cannot be used") == 2
    assert isinstance(started[0][1], NoDocuments)


def test_folders_that_were_named_must_be_usable(started: list[Any], blocked: Path, tmp_path: Path) -> None:
    for flag in ("--cache", "--data"):
        result = serve(flag, str(blocked))
        assert result.exit_code == 1
        assert f"name another one with {flag} DIR" in result.output
    assert not started
    result = serve("--cache", str(tmp_path / "ä b"), "--data", str(tmp_path / "ü/d"))
    assert result.exit_code == 0 and isinstance(started[0][1], Documents)
    assert not (tmp_path / "ü").exists(), "nothing is made before it is needed"


def test_a_folder_without_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everslide.server.folders.os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(SettingsError, match="not writable"):
        check_folder(tmp_path / "x", "cache")


@pytest.mark.parametrize("token", ["schlüssel", "秘密", "", " ", "a\nb", "tab\there", " before", "after ", "x" * 300])
def test_tokens_that_do_not_travel_are_refused_at_the_start(token: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        check_token(token)
    result = serve("--token", token)
    assert result.exit_code == 2 and "'--token': expected 1 to 256 ASCII characters" in result.output


@pytest.mark.parametrize("command", [["serve", "--model", "speckle"], ["export", "demo", "--out", "x.png"]])
def test_a_token_that_is_set_and_empty_is_not_taken_for_none(command: list[str], started: list[Any]) -> None:
    result = CliRunner().invoke(main, command, env={"EVERSLIDE_TOKEN": ""})
    assert result.exit_code == 2 and started == []
    assert "EVERSLIDE_TOKEN is set, and empty: give it a token, or unset it" in result.output


def test_a_token_on_the_command_line_wins_over_an_empty_variable(started: list[Any]) -> None:
    flags = ["serve", "--model", "speckle", "--no-cache", "--token", "secret"]
    result = CliRunner().invoke(main, flags, env={"EVERSLIDE_TOKEN": ""})
    assert result.exit_code == 0 and started[0][0].token == "secret"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--redis", r"C:\redis"), "expected an address such as redis://"),
        (("--scheduler", "10.0.0.1:8786"), "expected an address such as redis://127.0.0.1:6379/0 or tcp://"),
        (("--trusted-proxies", "nginx"), "expected addresses or networks"),
        (("--hosts", "https://a.example/"), "expected names without scheme and port"),
        (("--cors-origins", "a.example"), "expected origins such as"),
        (("--frame-ancestors", "https://a.example; script-src *"), "expected origins such as"),
    ],
)
def test_settings_that_cannot_be_are_reported(flags: tuple[str, str], words: str) -> None:
    result = serve("--no-cache", *flags)
    assert result.exit_code == 2 and words in result.output


@pytest.mark.parametrize("host", ["no such host", "a..b", "ä" * 80, "256.1.1.1"])
def test_a_host_that_is_none(host: str, tmp_path: Path) -> None:
    result = serve("--no-cache", "--data", str(tmp_path), "--host", host, "--port", "0")
    assert result.exit_code == 1
    assert f"cannot listen on {host}" in result.output


@pytest.mark.parametrize(
    "line", [r'parent = "C:\Users\me\x.png"', r'parent = "C:\slides\x.png"', r'reference = "D:\new\x.json"']
)
def test_a_path_of_windows_in_double_quotes_is_explained(tmp_path: Path, line: str) -> None:
    file = tmp_path / "slides.toml"
    file.write_text(f'[[slide]]\nname = "a"\nseed = 1\nmpp = 2.0\n{line}\n')
    entries, (wrong,) = read_slides(file, "speckle")
    assert entries == []
    assert "slides.toml" in wrong
    assert "a path with \\ stands in single quotes" in wrong or "control characters" in wrong


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.everslide.yaml", "seed: [", "cannot be read as YAML"),
        ("a.everslide.yaml", "- 1", "expected fields such as 'seed: 7'"),
        ("a.everslide.yaml", "seed: seven", "field 'seed'"),
        ("a.everslide.yml", "seed: 1\nmodel: maxi", "model 'maxi': expected one of"),
        ("A.EVERSLIDE.YAML", "sede: 1", "field"),
        ("ä b.everslide.yaml", "seed: 1\nwidth_px: 3", "3 px is not in"),
        ("a.everslide.yaml", "seed: 1\nmodel: speckle\nweights: none.safetensors\nsteps: 3", "a.everslide.yaml"),
    ],
)
def test_users_of_large_image_see_the_reason(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(TileSourceError, match=r"(?i)everslide") as caught:
        large_image.open(str(tmp_path / name), noCache=True)
    assert words in str(caught.value)
    assert "No available tilesource" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("everslide://x", "field 'seed'"),
        ("everslide://x?seed=1&model=maxi", "maxi"),
        ("EVERSLIDE://x?seed=a", "seed"),
        ("everslide://x?seed=1&model=speckle&cache=a%00b", "field 'cache'"),
        ("everslide://x?seed=1&model=speckle&cache=/dev/null/x", "cache folder /dev/null/x cannot be used"),
        ("everslide://x?seed=1&model=speckle&cache=" + "x" * 300, "cannot be used"),
        ("everslide://x?seed=1&model=speckle&cache=~no-such-user/x", "no such home folder"),
        ("everslide://x?seed=1&weights=a%00b", "field 'weights'"),
        ("everslide://x?seed=1&weights=" + "x" * 300, "x"),
        ("everslide://a%00b?seed=1&model=speckle", "slide"),
        ("everslide://x?seed=1&model=spec%00kle", "model"),
        ("everslide://x?seed=1&model=speckle&redis=here", "expected an address such as redis://"),
        ("everslide://x?seed=1&model=speckle&redis=ftp://h%00", "expected an address such as redis://"),
        ("everslide://x?seed=1&model=speckle&scheduler=a%00b", "expected an address such as redis://"),
        ("everslide://x?seed=1&model=speckle&guidance=nan", "guidance nan"),
        ("everslide://x?seed=1&model=speckle&width_px=nan", "width_px"),
        ("everslide://x?seed=1&seed=" + "9" * 5000, "seed"),
    ],
)
def test_addresses_that_are_wrong_say_why(
    address: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TileSourceError) as caught:
        large_image.open(address, noCache=True)
    assert words in str(caught.value) and "No available tilesource" not in str(caught.value)


def test_the_cache_of_an_address_and_the_parent_of_a_slide_may_begin_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    source = large_image.open("everslide://x?seed=1&model=speckle&cache=~/tiles", noCache=True)
    source.getTile(0, 0, 0)
    assert (tmp_path / "tiles").is_dir() and not (tmp_path / "~").exists()
    (tmp_path / "slides.toml").write_text('[[slide]]\nname = "a"\nseed = 1\nparent = "~/none.png"\nmpp = 4.0\n')
    _, wrong = read_slides(tmp_path / "slides.toml", "speckle")
    assert str(tmp_path / "none.png") in wrong[0]

"""The command line, in processes of its own where that matters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from everslide import version
from everslide.model import organs
from everslide.server.cli import main
from everslide.server.settings import ByteSize
from tests.server.processes import COMMAND, fetch, serving


def test_help_is_quick() -> None:
    """Nothing heavy is imported to say what there is."""
    code = (
        "import sys; from everslide.server.cli import main; main(['--help'], standalone_mode=False); "
        "print(sorted(sys.modules.keys() & {'torch', 'flask', 'scipy', 'waitress', 'large_image'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "serve" in out
    assert out.strip().endswith("[]")


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"everslide, version {version()}\n"


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000000", 10**6), ("500MB", 500 * 10**6), ("8GiB", 8 * 2**30), ("1.5 kib", 1536), ("2T", 2 * 10**12), ("0", 0)],
)
def test_sizes(text: str, size: int) -> None:
    assert ByteSize().convert(text, None, None) == size


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--cache-size", "much"], "expected a size such as 8GiB or 500MB"),
        (["--port", "70000"], "70000 is not in the range"),
        (["--threads", "1"], "1 is not in the range"),
        (["--model", "maxi"], "'maxi' is not one of"),
        (["--slide", "a"], "slide 'a': expected name:seed"),
        (["--slide", "demo:3"], "two slides are named 'demo'"),
        (["--slides", "nothing.toml"], "nothing.toml: cannot be read as TOML"),
        (["--cache", "/dev/null/cache"], "cache folder /dev/null/cache cannot be used"),
    ],
)
def test_bad_arguments(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(main, ["serve", *arguments])
    assert result.exit_code != 0
    assert reason in result.output


def test_variables_of_the_environment_are_settings() -> None:
    result = CliRunner().invoke(main, ["serve"], env={"EVERSLIDE_CACHE_SIZE": "much"})
    assert "expected a size such as 8GiB or 500MB" in result.output


def test_slips_in_files_that_people_edit_cost_no_server(tmp_path: Path) -> None:
    """A list of slides with slips of every kind, and slides made earlier, one of which has lost its seed."""
    path = tmp_path / "slides.toml"
    slides = {"maxi": 'model = "maxi"', "demo": "", "steps": "steps = 99", "good": ""}
    path.write_text("".join(f'[[slide]]\nname = "{name}"\nseed = 1\n{line}\n' for name, line in slides.items()))
    (tmp_path / "data" / "slides").mkdir(parents=True)
    record = '{"title": "t", "seed": "1", "width": 4096, "height": 4096, "model": "speckle"}'
    made = '\ufeff{"kept": RECORD, "lost": {"title": "t"}, "slip": {"title": "t",}, "last": RECORD,}'
    (tmp_path / "data" / "slides" / "made.json").write_text(made.replace("RECORD", record), "utf-8")
    arguments = ("--no-cache", "--slides", str(path), "--data", str(tmp_path / "data"))
    with serving(*arguments) as (_, address):
        answer = json.loads(fetch(f"{address}/api/slides"))
    told = [(Path(one["file"]).name, one["id"], one["why"]) for one in answer["set_aside"]]
    assert {file for file, _, _ in told} == {"slides.toml", "made.json"}
    for words in ("slide 1: model 'maxi'", "slide 'demo'", "slide 'steps'", "lost", "of 'slip'"):
        assert any(words in f"{id} {why}" for _, id, why in told), (words, told)
    assert [slide["id"] for slide in answer["slides"]] == ["demo", "endless", "good", "kept", "last"]


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    pytest.importorskip("everslide.model.mini")
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(b"no weights at all")
    result = CliRunner().invoke(main, ["serve", "--no-cache", "--weights", str(path)])
    assert result.exit_code == 1
    assert str(path) in result.output


def test_damaged_sections_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(organs, "SECTIONS", tmp_path / "sections.json")
    (tmp_path / "sections.json").write_text('{"sections": [{"org', "utf-8")
    for command in (["serve"], ["export", "demo", "--out", str(tmp_path / "x.png")]):
        done = CliRunner().invoke(main, [*command, "--model", "speckle", "--cache", str(tmp_path / "cache")])
        assert done.exit_code == 1 and "sections.json: expected measured sections as JSON" in done.output, done.output


def test_a_server_stops_on_sigterm_and_keeps_its_tiles(tmp_path: Path) -> None:
    path = "/slides/mine_files/10/1_1.png"
    arguments = ("--cache", str(tmp_path), "--slide", "mine:12345:4096x4096")
    with serving(*arguments) as (process, address):
        first = fetch(address + path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with serving(*arguments) as (_, address):
        with urllib.request.urlopen(f"{address}{path}?preview=1", timeout=30) as answer:
            assert answer.headers["X-Everslide-State"] == "final"
        assert fetch(address + path) == first
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(address + "/slides/mine_files/10/4_0.png")


def test_a_port_in_use(tmp_path: Path) -> None:
    with serving("--no-cache") as (_, address):
        port = address.rsplit(":", 1)[1]
        command = [*COMMAND, "serve", "--no-cache", "--model", "speckle", "--port", port]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ), check=False)
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in second.stderr

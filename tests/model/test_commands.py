"""The model's commands, as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from everslide.model.commands import COMMANDS, evaluate, evaluate_organs, prepare, sheet, train
from everslide.model.evaluation import fields as evaluation
from everslide.model.mini.patch_encoder import EncoderConfig, PatchEncoder, load_encoder, save_encoder
from everslide.model.mini.weights import load_weights, save_weights
from tests.model.networks import TINY, tiny_weights
from tests.model.pictures import tissue, write_images


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fields = {name: (tissue(1024, 1024, seed), 0.5) for seed, name in enumerate(("a.png", "b.png", "c.png"))}
    return write_images(tmp_path_factory.mktemp("images"), fields)


@pytest.fixture(scope="module")
def prepared(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("commands") / "prepared"
    result = run(prepare, images, "--out", out, "--hold-out", "b*", "--validate", "c*")
    assert result.exit_code == 0, result.output
    assert f"3 images in {out}, 1 for validation, 1 held out" in result.output
    return out


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_weights(tmp_path / "tiny.safetensors", tiny_weights())
    return tmp_path / "tiny.safetensors"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "FIELD_PX", 384)
    monkeypatch.setattr(evaluation, "ROOT_FIELD_PX", 256)


def test_names() -> None:
    assert {command.name for command in COMMANDS} == {
        "prepare",
        "sections",
        "pack",
        "train",
        "evaluate",
        "evaluate-organs",
        "sheet",
        "new",
    }
    for command in COMMANDS:
        assert run(command, "--help").exit_code == 0


def test_importing_the_commands_imports_nothing_heavy() -> None:
    code = "import sys; sys.modules['torch'] = sys.modules['numpy'] = None; import everslide.model.commands"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_train(prepared: Path, weights: Path, tmp_path: Path) -> None:
    options = ("--run", tmp_path / "run", "--minutes", 0.01, "--batch", 2, "--threads", 1, "--start", weights)
    result = run(train, prepared, *options)
    assert result.exit_code == 0, result.output
    assert f"weights: {tmp_path / 'run' / 'mini.safetensors'}" in result.output
    assert load_weights(tmp_path / "run" / "mini.safetensors").config == TINY
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines()]
    assert steps and steps[-1] >= 1
    assert list((tmp_path / "run").glob("sheet-*.jpg"))
    again = run(train, prepared, *options[:2], "--minutes", 0.01)
    assert again.exit_code == 0, again.output


def test_train_an_encoder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "everslide.model.training.patch_encoder_training.EncoderConfig", lambda: EncoderConfig((4, 6), 8)
    )
    result = run(train, prepared, "--run", tmp_path / "run", "--minutes", 0.02, "--encoder")
    assert result.exit_code == 0, result.output
    assert load_encoder(tmp_path / "run" / "encoder.safetensors").config == EncoderConfig((4, 6), 8)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_encoder(tmp_path / "encoder.safetensors", PatchEncoder(EncoderConfig((4, 6), 8)))
    return tmp_path / "encoder.safetensors"


def test_evaluate(prepared: Path, weights: Path, encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.md"
    less = ("--places", 1, "--fields", 1, "--field-px", 512, "--neighbours", 2, "--encoder", encoder)
    result = run(evaluate, prepared, "--weights", weights, "--out", out, *less)
    assert result.exit_code == 0, result.output
    assert out.read_text() in result.output and "### Painted one octave down, from real parents" in out.read_text()
    figures = json.loads(out.with_suffix(".json").read_text())
    assert figures["calls_per_window"] == 1 and figures["held_out"] == ["b"]
    assert figures["plan"] == {
        "seed": 7, "places": 1, "fields": 1, "field_px": 512, "neighbours": 2, "training_squares": 3000,
    }  # fmt: skip
    assert figures["memorisation"]["squares"] == 2 and len(figures["distances"]) == 6
    assert min(figures["agreement_db"].values()) > 30


def test_sheet(prepared: Path, weights: Path, tmp_path: Path) -> None:
    result = run(sheet, prepared, "--weights", weights, "--out", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output
    assert "SYNTHETIC - not for diagnosis" in result.output
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width == 8 * 196


def test_errors_are_messages(prepared: Path, images: Path, weights: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:100])
    unlicensed = write_images(tmp_path / "images", {"a.png": (tissue(256, 256), 0.5)})
    (unlicensed / "manifest.json").write_text('{"a.png": {"um_per_px": 0.5}}')
    for command, arguments, message in (
        (prepare, (tmp_path / "none", "--out", tmp_path / "out"), "expected a folder of images"),
        (prepare, (images, "--out", tmp_path / "out", "--hold-out", "z*"), "matches no image"),
        (prepare, (unlicensed, "--out", tmp_path / "out"), "images without a licence: 1, a.png the first"),
        (train, (images, "--run", tmp_path / "run", "--minutes", 1), "no index.json"),
        (train, (prepared, "--run", weights / "run", "--minutes", 1), "expected a folder to write a run into"),
        (
            train,
            (prepared, "--run", tmp_path / "run", "--minutes", 1, "--start", damaged),
            "not a whole safetensors file",
        ),
        (evaluate, (prepared, "--weights", tmp_path / "none.safetensors"), "no such file"),
        (evaluate, (prepared, "--weights", damaged), "not a whole safetensors file"),
        (evaluate, (images, "--weights", weights), "no index.json"),
        (evaluate, (prepared, "--weights", weights, "--encoder", tmp_path / "none.safetensors"), "no such file"),
        (evaluate_organs, (images, "--weights", weights), "no index.json"),
        (evaluate_organs, (prepared, "--weights", weights), "no image is a whole section of a known organ"),
        (evaluate_organs, (prepared, "--weights", weights, "--organ", "heart"), "its weights know no organs"),
        (sheet, (images, "--weights", weights, "--out", tmp_path / "s.png"), "no index.json"),
    ):
        result = run(command, *arguments)
        assert result.exit_code == 1, (message, result.output)
        assert "Error: " in result.output and message in result.output
        assert "Traceback" not in result.output and isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("arguments", [(), ("x",), ("x", "--run", "y", "--minutes", "0")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert run(train, *arguments).exit_code == 2

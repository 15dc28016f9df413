"""Every command of docs/zoomldm.md runs to its end: on tiny weights, with small numbers in place of the paper's."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from everslide.model.zoomldm.vision_towers import ClipVision
from everslide.server.cli import main
from everslide.server.painters import ModelFiles, load_model
from everslide.server.slides import read_slides
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import TINY, write_checkpoint
from tests.model.zoomldm.tiny_pixcell import write_pixcell

TEXT = (Path(__file__).parents[3] / "docs" / "zoomldm.md").read_text("utf-8")
MISSING: dict[str, str] = {
    "sample": "--weights brca --count 1 --steps 1 --out PAINTED",
    "large": "--weights brca --side 2 --steps 1 --out large.png",
    "invert": "--steps 2",
    "superres": "--steps 1 --no-seams --invert-steps 2 --out large.png",
    "embed": "--patch 32 --tissue 0",
    "new": "--out slides.toml",
    "prepare": "--tissue 0 --device cpu",
    "train": "--save 1 --device cpu",
    "train-cdm": "--config config.yaml --device cpu",
    "features": "--tissue 0",
    "mil": "--folds 2",
}
"""Options that a command is given here where the documentation leaves them to their defaults, or to `...`."""
SMALL = {"--count": "1", "--steps": "2", "--batch": "2", "--side": "2", "--variations": "1", "--crop": "32"}


def commands() -> list[str]:
    """Of code blocks, and of the tables, where an alternative `--option value` goes with the command before it."""
    found = []
    for block in re.findall(r"(?:^    .*\n)+", TEXT, re.MULTILINE):
        joined = block.replace("\\\n", " ")
        found += [line.split("  #")[0].strip() for line in joined.splitlines()]
    for row in (line for line in TEXT.splitlines() if line.startswith("|")):
        last = ""
        for code in re.findall(r"`([^`]+)`", row):
            if "everslide " in code:
                last = code
                found.append(code)
            elif code.startswith("--") and " " in code and last:
                found.append(f"{last} {code}")
    cleaned = [
        re.sub(r"^(time|torchrun .*\$\(which everslide\)|everslide)\s+(everslide )?", "", each) for each in found
    ]
    return sorted({each for each in cleaned if each.split()[0] != "pip" and len(each.split()) > 2})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the names of the documentation are files."""
    folder = tmp_path_factory.mktemp("docs")
    write_checkpoint(folder / "brca")
    naip = replace(TINY, summarizer=replace(TINY.summarizer, magnifications=4), domain="ground")
    write_checkpoint(folder / "naip", naip, data="ldm.data.naip.NAIPDataset")
    write_pixcell(folder / "pixcell-256", vae=False)
    (write_pixcell(folder / "whole") / "vae").rename(folder / "vae")
    script = torch.jit.script(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d((2, 4)), torch.nn.Flatten()))
    script.save(str(folder / "net.pt"))  # type: ignore[no-untyped-call]
    tower = ClipVision(8, 64, 1, 4, 24).state_dict()
    torch.save({f"visual.{name}": tensor for name, tensor in tower.items()}, folder / "clip.pt")
    distance = torch.jit.script(MeanDifference())
    distance.save(str(folder / "lpips.pt"))  # type: ignore[no-untyped-call]
    for name, count in (("PAINTED", 3), ("REAL", 4), ("TRAINING", 4), ("SLIDES", 4)):
        (folder / name).mkdir()
        for number in range(count):
            Image.fromarray(tissue(64, 128, number)).save(folder / name / f"{number:05d}.png")
    Image.fromarray(tissue(64, 64, 1)).save(folder / "IMAGE.png")
    (folder / "GRIDS").mkdir()
    for path, side in (("GRIDS/0", 4), ("GRID2", 2), ("GRID4", 4)):
        np.save(folder / f"{path}.npy", np.random.default_rng(0).standard_normal((24, side, side)).astype(np.float32))
    rows = "\n".join(f"{number:05d},case{number},{number % 2}" for number in range(4))
    (folder / "labels.csv").write_text(f"slide,case,label\n{rows}\n")
    (folder / "config.yaml").write_text((folder / "brca" / "config.yaml").read_text())
    done(
        main,
        ["new", "first", "--parent", str(folder / "IMAGE.png"), "--mpp", "1", "--out", str(folder / "slides.toml")],
    )
    data, weights = str(folder / "DATA"), str(folder / "brca")
    slides = [str(path) for path in sorted((folder / "SLIDES").iterdir())]
    encoder = ["--encoder", f"script:{folder / 'net.pt'}", "--tissue", "0"]
    done(main, ["zoomldm", "prepare", *slides, "--weights", weights, *encoder, "--out", data])
    run = ["--steps", "1", "--batch", "2", "--device", "cpu", "--out", str(folder / "RUN")]
    config = ["--config", str(folder / "config.yaml"), "--autoencoder", weights]
    done(main, ["zoomldm", "train", data, *config, *run])
    done(main, ["zoomldm", "features", *slides, "--weights", weights, "--tissue", "0", "--out", str(folder / "F")])
    return folder


class MeanDifference(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean([1, 2, 3])


@pytest.mark.parametrize("text", commands())
def test_a_documented_command_runs(text: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(text.replace("...", ""))
    names = [words.pop(0)]
    if names[0] in ("models", "zoomldm"):
        names.append(words.pop(0))
    positions, options = parsed(words)
    for name, values in parsed(shlex.split(MISSING.get(names[-1], "")))[1].items():
        options.setdefault(name, values)
    if names[-1] == "large" and "--embeddings" in options:
        options["--embeddings"] = ["GRID2.npy"]
    if names == ["serve"]:
        served(options, place)
        return
    if names == ["models", "pull"]:
        monkeypatch.setattr("everslide.model.zoomldm.hub.snapshot_download", pretend_to_fetch)
    arguments = [*names]
    for word in positions:
        several = sorted((place / word).iterdir()) if word == "SLIDES" else []
        arguments += [str(path) for path in several] or [word if "pull" in names else file(word, place)]
    for name, values in options.items():
        for value in values or [""]:
            arguments += [name] if value == "" else [name, replaced(name, value, place, tmp_path)]
    done(main, arguments)


def parsed(words: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Positional words, and the values of options, the last where one is given twice but for --with."""
    positions: list[str] = []
    options: dict[str, list[str]] = {}
    while words:
        word, words = words[0], words[1:]
        if not word.startswith("--"):
            positions.append(word)
            continue
        value = [] if not words or words[0].startswith("--") else [words[0]]
        words = words[len(value) :]
        options[word] = [*options.get(word, []), *value] if word == "--with" else value
    return positions, options


def replaced(name: str, value: str, place: Path, out: Path) -> str:
    """A small number, a file of the folder, or a new file."""
    if name in SMALL:
        return SMALL[name]
    if name == "--out":
        return str(out / value.split("/")[-1])
    if name == "--model":
        return value
    if name == "--region":
        return "0,0,64,64"
    if name == "--lpips":
        return str(place / "lpips.pt")
    if name == "--sheet":
        return str(out / value)
    if name == "--start":
        return str(place / "brca" / "weights.ckpt")
    if ":" in value:  # the published encoders are not at hand
        return f"clip:{place / 'clip.pt'}" if value.startswith("clip") else f"script:{place / 'net.pt'}"
    if name == "--embeddings":
        return str(place / ("GRIDS" if value == "GRIDS" else "GRID2.npy" if value == "GRID2.npy" else "GRID4.npy"))
    return str(place / "brca" / "cdm.ckpt") if name == "--cdm" else file(value, place)


def file(word: str, place: Path) -> str:
    """The file of a name of the documentation, if it is one."""
    for name in (word, word.split("/")[-1], f"{word}.png"):
        if (place / name).exists():
            return str(place / name)
    return str(place / "SLIDES" / "00000.png") if word == "SLIDE" else {"NAME": "slide"}.get(word, word)


def served(options: dict[str, list[str]], place: Path) -> None:
    """What `everslide serve` does before it listens: options, weights, slides."""
    given = dict(pair.split("=", 1) for pair in options.get("--with", []))
    given = {name: file(value, place) if name == "vae" else value for name, value in given.items()}
    given |= {"cdm": str(place / "brca" / "cdm.ckpt")} if "cdm" in given else {}
    if "encoder" in given:  # UNI2-h is not at hand: the same grid from a file
        given = {**given, "condition": "reference", "encoder": "", "reference": str(place / "GRID4.npy")}
    (name,), (weights,) = options["--model"], options["--weights"]
    windows = load_model(name, ModelFiles(Path(file(weights, place)), given))
    assert windows.name == name and windows.from_top == (given.get("preset") == "joint")
    if "--slides" in options:
        assert read_slides(place / "slides.toml", name)[0]


def pretend_to_fetch(repository: str, allow_patterns: list[str], local_dir: Path) -> None:
    for pattern in allow_patterns:
        assert not pattern.endswith((".py", "**")), "never a folder's code"
        (local_dir / pattern.split("/")[0].replace("*", "x")).mkdir(parents=True, exist_ok=True)


def done(command: click.Command, arguments: list[str]) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, (arguments, result.output, result.exception)


def test_the_documentation_has_commands() -> None:
    found = commands()
    assert len(found) > 30, found
    kinds = {each.split()[0] for each in found}
    assert {"sample", "large", "invert", "superres", "embed", "measure", "models", "zoomldm", "serve", "new"} == kinds

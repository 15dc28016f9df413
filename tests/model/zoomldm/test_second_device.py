"""Every command that takes weights runs to its end on a device that is not the processor, and gives the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from everslide.model.geometry import WindowIndex
from everslide.model.pyramid.generation_context import GenerationContext, Topmost
from everslide.model.pyramid.top import ImageTop
from everslide.model.zoomldm.conditions import GridConditions
from everslide.model.zoomldm.joint_painting import JOINT, JointWindows
from everslide.model.zoomldm.options import PaintOptions, load_windows
from everslide.model.zoomldm.painting import DETAIL
from everslide.model.zoomldm.vision_towers import ClipVision
from everslide.model.zoomldm.zoomldm import load_zoomldm
from everslide.server.cli import main
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import write_checkpoint
from tests.model.zoomldm.tiny_pixcell import write_pixcell
from tests.second_device import DEVICE, NAME, SecondDevice


@pytest.fixture
def second() -> Iterator[SecondDevice]:
    with SecondDevice() as device:
        yield device


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a picture, and grids of embeddings."""
    folder = write_checkpoint(tmp_path_factory.mktemp("files"))
    Image.fromarray(tissue(64, 64, 1)).save(folder / "photo.png")
    tensors = ClipVision(8, 64, 1, 4, 24).state_dict()
    torch.save({f"visual.{name}": tensor for name, tensor in tensors.items()}, folder / "clip.pt")
    np.save(folder / "grid.npy", np.random.default_rng(0).standard_normal((24, 2, 2)).astype(np.float16))
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_the_second_device_refuses_what_a_gpu_refuses(second: SecondDevice) -> None:
    there, here = torch.ones(3, device=DEVICE), torch.ones(3)
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(3, device=DEVICE, generator=torch.Generator())
    np.testing.assert_array_equal((there + here.to(DEVICE) + 1).cpu().numpy(), np.full(3, 3, np.float32))
    assert second.operations > 0


def superres(files: Path, mode: str, *more: object) -> tuple[object, ...]:
    words = ("superres", files / "photo.png", "--model", "zoomldm", "--weights", files, "--from", 10, "--steps", 1)
    return (*words, "--no-seams", "--mode", mode, *more)


COMMANDS: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "sample": lambda f: ("sample", "--weights", f, "--count", 1, "--steps", 1, "--mag", 5),
    "sample --cdm": lambda f: ("sample", "--weights", f, "--count", 1, "--steps", 1, "--cdm", f / "cdm.ckpt"),
    "sample --embeddings": lambda f: (
        "sample", "--weights", f, "--count", 1, "--steps", 1, "--mag", 10, "--embeddings", f / "grid.npy"
    ),
    "embed": lambda f: ("embed", f / "photo.png", "--encoder", f"clip:{f / 'clip.pt'}", "--patch", 32, "--batch", 3),
    "large": lambda f: ("large", "--weights", f, "--side", 2, "--steps", 1, "--embeddings", f / "grid.npy"),
    "invert": lambda f: (
        "invert", f / "photo.png", "--weights", f, "--mag", 10, "--steps", 2, "--variations", 1
    ),
    "superres uncond": lambda f: superres(f, "uncond"),
    "superres gt": lambda f: superres(f, "gt", "--embeddings", f / "grid.npy"),
    "superres infer": lambda f: superres(f, "infer", "--invert-steps", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_give_the_same_on_another_device(name: str, files: Path, tmp_path: Path) -> None:
    written: dict[str, dict[str, NDArray[np.float64]]] = {}
    for device in ("cpu", NAME):
        out = tmp_path / device / "out"
        out.parent.mkdir()
        with SecondDevice() as second:
            run(*COMMANDS[name](files), "--device", device, "--out", out)
        assert (second.operations > 20) == (device == NAME)
        paths = [path for path in out.parent.rglob("*") if path.is_file()]
        written[device] = {str(path.relative_to(out.parent)): numbers(path) for path in paths}
    assert written["cpu"].keys() == written[NAME].keys() != set()
    for path, expected in written["cpu"].items():
        found = written[NAME][path]
        assert found.shape == expected.shape and np.abs(found - expected).mean() < 0.02 * expected.std(), path


def numbers(path: Path) -> NDArray[np.float64]:
    array = np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path))
    return np.asarray(array, np.float64)


@pytest.mark.parametrize("condition", ["none", "cdm", "field", "reference"])
def test_slides_are_painted_on_another_device(condition: str, files: Path) -> None:
    options = PaintOptions("fast", condition, cdm=str(files / "cdm.ckpt"), reference=str(files / "grid.npy"))
    bands = {}
    for device in ("cpu", NAME):
        with SecondDevice():
            windows = load_windows("zoomldm-brca", files, options, 1, torch.device(device))
            window = WindowIndex(1, 2, 3, windows.grid)
            bands[device] = windows.bands(GenerationContext(3), [window], tissue(32, 32, 1)[None])
    np.testing.assert_allclose(bands["cpu"], bands[NAME], atol=0.01)


def test_joint_sampling_runs_on_another_device(files: Path) -> None:
    """A window below its contexts, below a picture, by `--with preset=joint`; one step of it."""
    picture, bands = ImageTop(tissue(32, 32, 3), 2), {}
    context = GenerationContext(3, top=Topmost(picture.fingerprint, picture))
    for device in ("cpu", NAME):
        with SecondDevice() as second:
            model = load_zoomldm(files, device=torch.device(device))
            one_step = replace(JOINT, settings=replace(JOINT.settings, stride=1000, lambda_=0.05))
            grid = torch.from_numpy(np.load(files / "grid.npy").astype(np.float32))
            windows = JointWindows("zoomldm-brca", model, GridConditions(model, grid), one_step, 1)
            bands[device] = windows.bands(context, [WindowIndex(0, 0, 0, windows.grid)], tissue(32, 32, 1)[None])
        assert (second.operations > 20) == (device == NAME)
    apart = np.abs(bands["cpu"] - bands[NAME]).mean()
    assert apart < 0.02 * bands["cpu"].std(), "the last bits, amplified"
    options = PaintOptions("joint", "cdm", cdm=str(files / "cdm.ckpt"))
    with SecondDevice():
        assert load_windows("zoomldm-brca", files, options, 1, torch.device(NAME)).from_top


def test_training_runs_on_another_device_and_goes_on_there(files: Path, tmp_path: Path) -> None:
    """prepare, train, train-cdm, features and mil; each long one is stopped and taken up again."""
    for number in range(4):
        Image.fromarray(tissue(64, 128, number)).save(tmp_path / f"slide{number}.png")
    slides = [tmp_path / f"slide{number}.png" for number in range(4)]
    there, data, out = ("--device", NAME), tmp_path / "data", tmp_path / "run"

    def on_second(*arguments: object) -> str:
        with SecondDevice() as second:
            text = run("zoomldm", *arguments, *there)
        assert second.operations > 20
        return text

    encoder = ("--encoder", f"clip:{files / 'clip.pt'}", "--tissue", 0)
    assert "8 of scale 0" in on_second("prepare", *slides, "--weights", files, *encoder, "--out", data)
    common = (data, "--batch", 2, "--save", 1)
    train = ("train", *common, "--config", files / "config.yaml", "--autoencoder", files, "--out", out, "--steps")
    on_second(*train, 1)
    on_second(*train, 2)
    assert torch.load(out / "state.pt", weights_only=True)["step"] == 2
    cdm = (
        "train-cdm",
        *common,
        "--weights",
        out,
        "--config",
        files / "config.yaml",
        "--out",
        out / "cdm.pt",
        "--steps",
    )
    on_second(*cdm, 1)
    on_second(*cdm, 2)
    run("models", "show", out)
    assert "cdm:" in run("models", "show", out / "cdm.pt")
    on_second("features", *slides, "--weights", out, "--tissue", 0, "--out", tmp_path / "features")
    rows = [f"slide{number},case{number},{number % 2}" for number in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join(["slide,case,label", *rows]))
    found = json.loads(on_second("mil", tmp_path / "features", tmp_path / "labels.csv", "--folds", 2, "--steps", 2))
    assert 0 <= found["auc"] <= 1


def test_pixcell_runs_on_another_device(tmp_path: Path) -> None:
    folder, bands = write_pixcell(tmp_path / "pixcell", tokens=4), {}
    np.save(tmp_path / "grid.npy", np.random.default_rng(0).standard_normal((24, 2, 2)).astype(np.float32))
    for preset in ("fast", "s1"):
        for device in ("cpu", NAME):
            with SecondDevice():
                options = PaintOptions(preset, "reference", reference=str(tmp_path / "grid.npy"))
                windows = load_windows("pixcell-256", folder, options, 1, torch.device(device))
                if preset == "s1":
                    windows._preset = replace(DETAIL, settings=replace(DETAIL.settings, stride=1000))
                window = WindowIndex(0, 2, 3, windows.grid)
                bands[device] = windows.bands(GenerationContext(3), [window], tissue(32, 32, 1)[None])
        np.testing.assert_allclose(bands["cpu"], bands[NAME], atol=0.05)


def test_a_device_that_is_not_there_is_named(files: Path, tmp_path: Path) -> None:
    common = ["sample", "--weights", str(files), "--out", str(tmp_path / "x"), "--device"]
    for name in ("abacus", "meta:x", "xpu"):
        result = CliRunner().invoke(main, [*common, name])
        assert result.exit_code == 1 and f"device '{name}': expected auto, cpu, cuda" in result.output


def test_measures_are_taken_on_another_device(files: Path, tmp_path: Path) -> None:
    for folder, seeds in (("real", range(4)), ("painted", range(5, 8))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            Image.fromarray(tissue(64, 64, seed)).save(tmp_path / folder / f"{seed % 5}.png")
    found = []
    for device in ("cpu", NAME):
        with SecondDevice():
            text = run("measure", tmp_path / "painted", tmp_path / "real", "--extractor", "mini", "--device", device)
        found.append(json.loads(text))
    assert found[0] == found[1]

"""Batches that shrink, precision, and long commands that are stopped and go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor

from everslide.model.errors import DataError, WeightsError
from everslide.model.zoomldm.checkpoint import random_networks
from everslide.model.zoomldm.compute import Compute, choose_device, in_batches
from everslide.model.zoomldm.kept import Kept
from everslide.model.zoomldm.zoomldm import ZoomLDM
from everslide.server.cli import main
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import TINY, tiny, write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_checkpoint(tmp_path_factory.mktemp("brca"))
    Image.fromarray(tissue(128, 64, 1)).save(folder / "photo.png")
    return folder


def full(most: int) -> Callable[[list[int]], list[int]]:
    """Work that a device can do for so many rows at once."""

    def work(part: list[int]) -> list[int]:
        if len(part) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [10 * row for row in part]

    return work


def test_a_batch_that_is_too_large_for_the_memory_is_halved_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    done = list(in_batches(range(11), 8, full(3)))
    assert [part for part, _ in done] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10]]
    assert [value for _, values in done for value in values] == [10 * row for row in range(11)]
    assert "does not suffice for 8 images at once: now 4" in caplog.text and "now 2" in caplog.text
    with pytest.raises(WeightsError, match=r"not suffice for a single image.*--precision bfloat16"):
        list(in_batches(range(2), 2, full(0)))


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def broken(part: list[int]) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        list(in_batches(range(4), 4, broken))


def test_a_device_is_chosen_or_named() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type in ("cpu", "cuda")
    with pytest.raises(WeightsError, match="device 'abacus': expected auto, cpu, cuda"):
        choose_device("abacus")


def test_guidance_is_one_batch_of_twice_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ZoomLDM(TINY, random_networks(TINY, 0), "x", torch.float64, torch.device("cpu"))
    sizes: list[int] = []
    forward = model.unet.forward

    def counted(z: Tensor, *rest: object, **more: object) -> object:
        sizes.append(len(z))
        return forward(z, *rest, **more)

    monkeypatch.setattr(model.unet, "forward", counted)
    torch.manual_seed(0)
    z, c = torch.randn(3, 3, 16, 16).double(), torch.randn(3, 65, 32).double()
    found = model.guided_eps(z, 300, c, 2.0)
    assert sizes == [6]
    expected = 3 * model.eps(z, 300, c) - 2 * model.eps(z, 300, torch.zeros_like(c))
    torch.testing.assert_close(found, expected)


def test_precision_is_of_the_networks_alone() -> None:
    half = ZoomLDM(TINY, random_networks(TINY, 0), "x", torch.float32, torch.device("cpu"), torch.bfloat16)
    seen: list[torch.dtype] = []
    half.unet.conv_out.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    torch.manual_seed(0)
    z, c = torch.randn(1, 3, 16, 16), torch.randn(1, 65, 32)
    found, expected = half.guided_eps(z, 300, c, 1.0), tiny().guided_eps(z, 300, c, 1.0)
    assert seen == [torch.bfloat16] and found.dtype == torch.float32 and half.schedule.alpha_bar.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.2
    assert Compute(torch.device("cpu"), 1, "bfloat16").autocast == torch.bfloat16
    assert half.decode(z).dtype == half.encode(torch.rand(1, 3, 64, 64)).dtype == torch.float32


def test_parts_are_kept_until_the_end_and_for_the_same_settings(tmp_path: Path) -> None:
    device = torch.device("cpu")
    with pytest.raises(KeyboardInterrupt), Kept(tmp_path / "out.png", ("a", 1)) as kept:
        assert not kept.resumed
        kept.put("one", torch.arange(3.0))
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), Kept(tmp_path / "out.png", ("a", 1)) as kept:
        assert kept.resumed and kept.has("one") and kept.get("one", device).tolist() == [0, 1, 2]
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), Kept(tmp_path / "out.png", ("a", 2)) as kept:
        assert not kept.resumed and not kept.has("one")
        raise KeyboardInterrupt
    with Kept(tmp_path / "out.png", ("a", 2)) as kept:
        assert kept.once("two", device, lambda: torch.ones(1)) == 1
    assert not list(tmp_path.iterdir())
    (tmp_path / "out.png.unfinished").mkdir()
    (tmp_path / "out.png.unfinished" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="found other files"):
        Kept(tmp_path / "out.png", ("a", 2))
    assert (tmp_path / "out.png.unfinished" / "thesis.txt").read_text() == "mine"


def run(*arguments: object) -> object:
    return CliRunner().invoke(main, [str(argument) for argument in arguments]).exit_code


LONG = {
    "large": ("large", "--side", 2, "--steps", 2, "--batch", 2),
    "superres": ("superres", "photo.png", "--model", "zoomldm", "--from", 10, "--mode", "infer", "--steps", 2,
                 "--invert-steps", 2, "--batch", 2),
    "sample": ("sample", "--count", 3, "--steps", 2),
    "invert": ("invert", "photo.png", "--mag", 10, "--steps", 3),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_a_killed_command_goes_on_and_gives_the_same(
    name: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after two thirds of its denoiser calls, a second run spends fewer than a whole one."""
    words = [checkpoint / word if word == "photo.png" else word for word in LONG[name]]
    spent, allowed = [0], [10**9]
    forward = ZoomLDM.eps

    def counted(self: ZoomLDM, z: Tensor, t: Tensor | float, c: Tensor) -> Tensor:
        if spent[0] >= allowed[0]:
            raise SystemExit(9)
        spent[0] += len(z)
        return forward(self, z, t, c)

    monkeypatch.setattr(ZoomLDM, "eps", counted)
    whole = tmp_path / "whole" / "out"
    whole.parent.mkdir()
    assert run(*words, "--weights", checkpoint, "--out", whole) == 0
    total, spent[0] = spent[0], 0
    stopped = tmp_path / "stopped" / "out"
    stopped.parent.mkdir()
    allowed[0] = 2 * total // 3
    assert run(*words, "--weights", checkpoint, "--out", stopped) == 9
    assert (tmp_path / "stopped" / "out.unfinished").is_dir()
    spent[0], allowed[0] = 0, 10**9
    assert run(*words, "--weights", checkpoint, "--out", stopped) == 0
    assert 0 < spent[0] < total
    files = {
        part: {str(p.relative_to(tmp_path / part)): p.read_bytes() for p in (tmp_path / part).rglob("*") if p.is_file()}
        for part in ("whole", "stopped")
    }
    assert files["whole"] == files["stopped"], "byte for byte, and no unfinished parts left"
    assert any(np.size(content) for content in files["whole"].values())

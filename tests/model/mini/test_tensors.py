"""Files of tensors on a disk that is full, and in a folder that is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open

from everslide.model.errors import WeightsError
from everslide.model.mini import tensors as module
from everslide.model.mini.model import SHIPPED_WEIGHTS
from everslide.model.mini.patch_encoder import (
    SHIPPED_ENCODER,
    EncoderConfig,
    PatchEncoder,
    load_encoder,
    save_encoder,
)
from everslide.model.mini.sections import SHIPPED_SECTIONS, load_sections
from everslide.model.mini.tensors import read_tensors, write_tensors
from everslide.model.mini.weights import load_weights, save_weights
from tests.model.networks import tiny_weights

WRITERS: tuple[Callable[[Path], None], ...] = (
    lambda path: write_tensors(path, {"x": torch.ones(3)}, {"format": "test"}),
    lambda path: save_weights(path, tiny_weights(1)),
    lambda path: save_encoder(path, PatchEncoder(EncoderConfig((4, 6), 8))),
)


def test_tensors_and_header_are_written(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.safetensors", {"x": torch.arange(3)}, {"format": "test"})
    with safe_open(tmp_path / "t.safetensors", "pt") as file:
        assert file.metadata() == {"format": "test"} and file.get_tensor("x").tolist() == [0, 1, 2]
    assert (tmp_path / "t.safetensors").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"], "no partial file is left"


@pytest.mark.parametrize("error", [SafetensorError("I/O error: No space left on device"), OSError(28, "No space left")])
@pytest.mark.parametrize("write", WRITERS, ids=["tensors", "weights", "encoder"])
def test_a_full_disk_keeps_the_old_file_whole(
    tmp_path: Path, write: Callable[[Path], None], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mini.safetensors"
    save_weights(path, tiny_weights())
    before = path.read_bytes()

    def full(tensors: object, partial: Path, metadata: object) -> None:
        partial.write_bytes(b"half of it")
        raise error

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(WeightsError, match=r"mini\.safetensors: cannot be written .*No space left.*make room"):
        write(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["mini.safetensors"], "no partial file is left"


@pytest.mark.parametrize("write", WRITERS, ids=["tensors", "weights", "encoder"])
def test_a_folder_that_is_not_there(tmp_path: Path, write: Callable[[Path], None]) -> None:
    with pytest.raises(WeightsError, match=r"none/mini\.safetensors: cannot be written"):
        write(tmp_path / "none" / "mini.safetensors")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_what_is_no_finite_number_is_refused(tmp_path: Path, wrong: float, kind: torch.dtype) -> None:
    path = tmp_path / "t.safetensors"
    sound = {"x": torch.ones(3, 4, dtype=kind), "count": torch.arange(3)}
    write_tensors(path, sound, {"format": "test"})
    assert read_tensors(path, "test", "everslide train")[0].keys() == sound.keys()
    sound["x"][1, 2] = wrong
    write_tensors(path, sound, {"format": "test"})
    with pytest.raises(WeightsError, match=r"t\.safetensors: expected finite numbers, found 1 of 12 in 'x'.*train it"):
        read_tensors(path, "test", "everslide train")


@pytest.mark.parametrize("file", [SHIPPED_WEIGHTS, SHIPPED_SECTIONS, SHIPPED_ENCODER], ids=lambda path: path.stem)
def test_all_shipped_weights_are_read_so(tmp_path: Path, file: Path) -> None:
    damaged = tmp_path / file.name
    with safe_open(file, "pt") as whole:
        tensors = {name: whole.get_tensor(name) for name in whole.keys()}  # noqa: SIM118 (not a mapping)
        header = whole.metadata()
    next(iter(tensors.values())).view(-1)[0] = float("nan")
    write_tensors(damaged, tensors, header)
    load: dict[Path, Callable[[Path], object]] = {
        SHIPPED_WEIGHTS: load_weights, SHIPPED_SECTIONS: load_sections, SHIPPED_ENCODER: load_encoder
    }  # fmt: skip
    load[file](file)
    with pytest.raises(WeightsError, match="expected finite numbers, found 1 of"):
        load[file](damaged)

"""Files of tensors on a disk that is full, and in a folder that is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open

from everslide.model.errors import WeightsError
from everslide.model.mini import tensors as module
from everslide.model.mini.patch_encoder import EncoderConfig, PatchEncoder, save_encoder
from everslide.model.mini.tensors import write_tensors
from everslide.model.mini.weights import save_weights
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

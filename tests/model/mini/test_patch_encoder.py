"""The encoder: its shapes and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.errors import WeightsError
from everslide.model.mini.patch_encoder import PATCH_PX, EncoderConfig, PatchEncoder, load_encoder, save_encoder
from tests.model.pictures import tissue

CONFIG = EncoderConfig((4, 6), 8)


@pytest.fixture
def encoder() -> PatchEncoder:
    torch.manual_seed(0)
    return PatchEncoder(CONFIG).eval()


@pytest.fixture(autouse=True)
def _denormals() -> None:
    torch.set_flush_denormal(False)


def test_round_trip(encoder: PatchEncoder, tmp_path: Path) -> None:
    save_encoder(tmp_path / "e.safetensors", encoder)
    again = load_encoder(tmp_path / "e.safetensors")
    assert again.digest == encoder.digest and again.config == CONFIG and not again.training
    patches = np.stack([tissue(PATCH_PX, PATCH_PX, seed) for seed in range(3)])
    np.testing.assert_array_equal(again.embed(patches), encoder.embed(patches))
    assert [path.name for path in tmp_path.iterdir()] == ["e.safetensors"]


def test_the_shipped_encoder_separates_tissue_from_glass() -> None:
    encoder = load_encoder()
    seen = np.stack(
        [tissue(PATCH_PX, PATCH_PX, 1), tissue(PATCH_PX, PATCH_PX, 2), np.full((128, 128, 3), 243, np.uint8)]
    )
    a, b, glass = encoder.embed(seen)
    assert np.square(a - b).mean() < 0.5 * np.square(a - glass).mean()


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_files_that_are_refused(encoder: PatchEncoder, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "e.safetensors"
    save_encoder(path, encoder)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, path, metadata={"format": "other"})
    expected = {"missing": "no such file", "cut": "not a whole safetensors file", "other": "of the format"}[damage]
    with pytest.raises(WeightsError, match=expected):
        load_encoder(path)


def test_a_glance_at_one_square_is_the_embedding(encoder: PatchEncoder) -> None:
    patch = tissue(PATCH_PX, PATCH_PX, 5)
    x = torch.from_numpy(patch.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)[None]
    np.testing.assert_allclose(encoder(x).detach().numpy()[0], encoder.embed(patch[None])[0], atol=2e-2)
    quarters = encoder.glance(x, 2)
    assert (
        quarters.shape == (1, 8, 2, 2)
        and float((quarters[..., 0, 0] - quarters[..., 1, 1]).detach().abs().max()) > 1e-4
    )

"""The encoder: its shapes, its file, its map of a plane, and that training pulls two views together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.dataset import Examples, embeddings_of
from everslide.model.errors import WeightsError
from everslide.model.mini.encoder import PATCH_PX, EncoderConfig, PatchEncoder, load_encoder, save_encoder
from everslide.model.mini.encoder_training import (
    CHECKPOINT,
    EncoderPlan,
    EncoderTrainer,
    standardised,
    vicreg,
    view,
)
from everslide.model.training.prepare import prepare, read_index
from tests.model.pictures import tissue, write_images

CONFIG = EncoderConfig((4, 6), 8)


@pytest.fixture
def encoder() -> PatchEncoder:
    torch.manual_seed(0)
    return PatchEncoder(CONFIG).eval()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("encoder")
    fields = {"a.png": (tissue(512, 448, 1), 0.5), "b.png": (tissue(512, 512, 2), 1.0), "c.png": (tissue(512, 512), 4)}
    prepare(write_images(base / "images", fields), base / "out", [])
    return base / "out"


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


def test_the_shipped_encoder_tells_tissue_from_glass() -> None:
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
    expected = {"missing": "no such file", "cut": "not a whole encoder", "other": "expected the format"}[damage]
    with pytest.raises(WeightsError, match=expected):
        load_encoder(path)


def test_a_map_sees_each_square_in_the_middle_of_its_patch(encoder: PatchEncoder) -> None:
    plane = tissue(256, 200, 3)
    found = encoder.embedding_map(plane)
    assert found.shape == (4, 4, 8)
    inner = encoder.embed(plane[None, 32:160, 32:160])[0]  # the patch around the square at (64, 64)
    np.testing.assert_allclose(found[1, 1], inner, atol=2e-2)


def test_a_glance_at_one_square_is_the_embedding(encoder: PatchEncoder) -> None:
    patch = tissue(PATCH_PX, PATCH_PX, 5)
    x = torch.from_numpy(patch.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)[None]
    np.testing.assert_allclose(encoder(x).detach().numpy()[0], encoder.embed(patch[None])[0], atol=2e-2)
    quarters = encoder.glance(x, 2)
    assert (
        quarters.shape == (1, 8, 2, 2)
        and float((quarters[..., 0, 0] - quarters[..., 1, 1]).detach().abs().max()) > 1e-4
    )


def test_vicreg() -> None:
    """Equal views with spread and independent features cost nothing; a collapse costs its variance term."""
    torch.manual_seed(1)
    spread = torch.randn(4096, 6)
    spread = (spread - spread.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(spread.T))).T * 1.01
    assert float(vicreg(spread, spread)) < 0.02
    collapsed = torch.zeros(16, 6)
    assert float(vicreg(collapsed, collapsed)) == pytest.approx(25 * (1 - 1e-2), rel=1e-3)
    assert float(vicreg(spread, spread + 1)) == pytest.approx(25, rel=0.01)


def test_views_differ_and_are_patches() -> None:
    spot, rng = tissue(176, 176, 2), np.random.default_rng(0)
    views = [view(spot, rng) for _ in range(4)]
    assert {v.shape for v in views} == {(PATCH_PX, PATCH_PX, 3)} and len({v.tobytes() for v in views}) == 4


def test_training_pulls_views_together_and_goes_on(prepared: Path, tmp_path: Path) -> None:
    plan = EncoderPlan(minutes=0.02, pairs=6)
    first = EncoderTrainer(prepared, tmp_path, plan, CONFIG, threads=1)
    losses = [first._step()["loss"] for _ in range(25)]
    assert np.mean(losses[-5:]) < np.mean(losses[:3])
    trained = first.run()
    assert load_encoder(tmp_path / "encoder.safetensors").digest == trained.digest
    found = trained.embed(np.stack([tissue(PATCH_PX, PATCH_PX, seed) for seed in range(2)]))
    assert np.isfinite(found).all() and (tmp_path / CHECKPOINT).exists()
    second = EncoderTrainer(prepared, tmp_path, EncoderPlan(minutes=0.03, pairs=6), CONFIG, threads=1)
    assert second.clock.step == first.clock.step >= 1 and second.clock.seconds == first.clock.seconds


def test_standardised_features_have_no_mean_and_unit_deviation(encoder: PatchEncoder, prepared: Path) -> None:
    examples = Examples(prepared, "train", 176)
    trained = standardised(encoder, examples, patches=64)
    again = standardised(encoder, examples, patches=64)
    assert again is trained
    rng = np.random.default_rng(17)
    seen = np.stack([examples.crop(0, rng, vary=False)[24:152, 24:152] for _ in range(64)])
    found = trained.embed(seen)
    assert np.abs(found.mean(0)).max() < 1.0 and 0.2 < found.std(0).mean() < 3


def test_embeddings_are_kept_beside_the_planes(encoder: PatchEncoder, prepared: Path) -> None:
    images = {image.name: image for image in read_index(prepared)}
    found = embeddings_of(prepared, images["a"], encoder)
    assert found is not None and found.shape == (8, 7, 8)
    kept = prepared / "a" / f"embeddings-{encoder.digest[:12]}.npy"
    np.testing.assert_array_equal(np.load(kept), found)
    enlarged = embeddings_of(prepared, images["b"], encoder)  # 10x: four squares a side at a time
    assert enlarged is not None and enlarged.shape == (16, 16, 8) and (enlarged[:4, :4] == enlarged[0, 0]).all()
    assert embeddings_of(prepared, images["c"], encoder) is None

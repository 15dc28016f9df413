"""Training of the encoder: its loss, its two views, and that it pulls them together and goes on where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.errors import DataError
from everslide.model.mini.patch_encoder import PATCH_PX, EncoderConfig, PatchEncoder, load_encoder
from everslide.model.training.patch_encoder_training import (
    CHECKPOINT,
    EncoderPlan,
    EncoderTrainer,
    standardised,
    vicreg,
    view,
)
from everslide.model.training.places import Tissue
from everslide.model.training.prepare import prepare
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
    trained = standardised(encoder, Tissue(prepared, "train"), patches=256)
    assert trained is encoder
    rng, tissue_of = np.random.default_rng(3), Tissue(prepared, "train")
    seen = np.stack([tissue_of.spot(0, 176, rng)[24:152, 24:152] for _ in range(64)])
    found = trained.embed(seen)
    assert np.abs(found.mean(0)).max() < 1.5 and 0.2 < found.std(0).mean() < 3


def test_without_tissue_at_20x_and_10x_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", {"c.png": (tissue(512, 512), 4)})
    prepare(images, tmp_path / "out", [])
    trainer = EncoderTrainer(tmp_path / "out", tmp_path / "run", EncoderPlan(0.1, pairs=2), CONFIG, threads=1)
    with pytest.raises(DataError, match="no image shows"):
        trainer.run()

"""A few steps of training: it learns, stops, goes on, and what it writes can paint."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.errors import DataError
from everslide.model.mini import load_mini
from everslide.model.prepare import prepare
from everslide.model.train import Trainer, TrainingPlan
from everslide.model.weights import load_weights
from tests.model.networks import TINY
from tests.model.pictures import tissue, write_images

PLAN = TrainingPlan(minutes=0.001, batch=2, warmup=1, compile=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("train")
    fields = {"a.png": (tissue(256, 256, 1), 0.5), "b.png": (tissue(160, 160, 2), 0.5)}
    prepare(write_images(base / "images", fields), base / "out", ["b.png"])
    return base / "out"


@pytest.fixture(autouse=True)
def _denormals() -> None:
    """Training flushes denormals; other tests are not to notice."""
    torch.set_flush_denormal(False)


def trainer(prepared: Path, folder: Path, plan: TrainingPlan = PLAN) -> Trainer:
    return Trainer(prepared, folder, plan, TINY, threads=1)


def test_training_writes_weights_checkpoint_and_curve(prepared: Path, tmp_path: Path) -> None:
    first = trainer(prepared, tmp_path)
    first.run()
    assert first.clock.step >= 1 and first.clock.seconds >= 0.06
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "curve.jsonl", "mini.safetensors"]
    (point,) = map(json.loads, (tmp_path / "curve.jsonl").read_text().splitlines())
    assert point["step"] == first.clock.step and math.isfinite(point["loss"]) and point["loss"] > 0
    assert point["held_out"].keys() == {"0"} and math.isfinite(point["held_out"]["0"])
    weights = load_weights(tmp_path / "mini.safetensors")
    assert weights.config == TINY
    np.testing.assert_array_equal(weights.deviation, first.deviation)


def test_what_was_trained_can_paint(prepared: Path, tmp_path: Path) -> None:
    trainer(prepared, tmp_path).run()
    denoiser = load_mini(tmp_path / "mini.safetensors", threads=1)
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((denoiser.batch, 9, 160, 160), np.float32)
    parents = np.full((denoiser.batch, 160, 160, 3), 150, np.uint8)
    bands = denoiser.detail(0, parents, noise, noise[:, :3])
    assert bands.shape == (denoiser.batch, 160, 160, 3, 3) and bool(np.isfinite(bands).all())


def test_training_goes_on_from_its_checkpoint(prepared: Path, tmp_path: Path) -> None:
    first = trainer(prepared, tmp_path)
    first.run()
    second = trainer(prepared, tmp_path, TrainingPlan(minutes=first.clock.seconds / 60 + 0.001, batch=2, compile=False))
    assert (second.clock.step, second.clock.seconds) == (first.clock.step, first.clock.seconds)
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], tensor), name
        assert torch.equal(second.average[name], first.average[name]), name
    second.run()
    assert second.clock.step > first.clock.step
    steps = [json.loads(line)["step"] for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert steps == [first.clock.step, second.clock.step]


def test_a_finished_run_does_nothing_more(prepared: Path, tmp_path: Path) -> None:
    trainer(prepared, tmp_path).run()
    again = trainer(prepared, tmp_path)
    step = again.clock.step
    again.run()
    assert again.clock.step == step


def test_steps_lower_the_loss(prepared: Path, tmp_path: Path) -> None:
    learner = trainer(prepared, tmp_path, replace(PLAN, peak_rate=5e-3))
    batch = learner.examples.batch(4, np.random.default_rng(1), learner.deviation)

    def loss() -> float:
        with torch.no_grad():
            return float(learner.loss(batch, learner.network, torch.Generator().manual_seed(1)))

    before = loss()
    for _ in range(40):
        assert math.isfinite(learner._step(batch)["loss"])
    assert loss() < 0.97 * before


def test_validation_leaves_the_network_as_it_was(prepared: Path, tmp_path: Path) -> None:
    learner = trainer(prepared, tmp_path)
    learner._step(learner.examples.batch(2, np.random.default_rng(1), learner.deviation))
    before = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    first, again = learner._validate(1), learner._validate(1)
    assert first == again, "always the same crops and noise"
    for name, tensor in learner.network.state_dict().items():
        assert torch.equal(before[name], tensor)


def test_without_held_out_images_the_curve_has_no_validation(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", {"a.png": (tissue(160, 160), 0.5)})
    prepare(images, tmp_path / "out", [])
    learner = trainer(tmp_path / "out", tmp_path / "run")
    assert learner.held_out is None and learner._validate() == {}


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no index\.json"):
        trainer(tmp_path, tmp_path / "run")

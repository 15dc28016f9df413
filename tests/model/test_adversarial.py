"""Adversarial training: the critic goes first, both learn, work is painted upon in its place, and a run goes on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model import adversarial
from everslide.model.adversarial import AdversarialTrainer
from everslide.model.chain import ChainPlan
from everslide.model.errors import WeightsError
from everslide.model.prepare import prepare
from everslide.model.sampler import Sampler
from everslide.model.wavelet import box_mean
from everslide.model.weights import load_weights
from tests.model.networks import tiny_weights
from tests.model.pictures import tissue, write_images

PLAN = ChainPlan(minutes=0.02, warmup=1, batch=2, compile=False)
ONE_STEP = Sampler(Sampler.falling(1))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("adversarial")
    prepare(write_images(base / "images", {"a.png": (tissue(512, 512, 1), 0.5)}), base / "out", [])
    return base / "out"


@pytest.fixture(autouse=True)
def _denormals() -> None:
    """Training flushes denormals; other tests are not to notice."""
    torch.set_flush_denormal(False)


def trainer(prepared: Path, folder: Path, plan: ChainPlan = PLAN) -> AdversarialTrainer:
    start = replace(tiny_weights(1, ONE_STEP), teacher=tiny_weights(2))
    return AdversarialTrainer(prepared, folder, plan, start, threads=1)


def moved(run: AdversarialTrainer, network: torch.nn.Module, steps: int) -> float:
    before = [p.detach().clone() for p in network.parameters()]
    for _ in range(steps):
        run._step()
        run.clock.step += 1
    return max(float((a - b.detach()).abs().max()) for a, b in zip(before, network.parameters(), strict=True))


def test_weights_of_several_steps_are_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="paint in 4 steps: expected one; distil them first"):
        AdversarialTrainer(prepared, tmp_path, PLAN, tiny_weights(2), threads=1)


def test_the_critic_goes_first(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversarial, "AHEAD", 2)
    monkeypatch.setattr(adversarial, "SLOWLY", 1)
    run = trainer(prepared, tmp_path)
    assert moved(run, run.network, 2) == 0
    assert moved(run, run.network, 1) > 0
    assert moved(run, run.critic, 1) > 0


def test_a_run_writes_weights_with_their_teachers_and_goes_on(prepared: Path, tmp_path: Path) -> None:
    first = trainer(prepared, tmp_path)
    first.run()
    written = load_weights(tmp_path / "mini.safetensors")
    assert written.sampler == ONE_STEP and written.teacher is not None
    assert written.teacher.sampler == tiny_weights(2).sampler
    (point,) = map(json.loads, (tmp_path / "curve.jsonl").read_text().splitlines())
    assert all(math.isfinite(point[name]) for name in ("critic", "steep", "painter", "patches"))
    longer = trainer(prepared, tmp_path, replace(PLAN, minutes=first.clock.seconds / 60 + 0.02))
    assert longer.clock.step == first.clock.step
    for a, b in zip(first.critic.parameters(), longer.critic.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_was_painted_is_painted_upon_beside_the_real_tissue_of_its_place(prepared: Path, tmp_path: Path) -> None:
    run = trainer(prepared, tmp_path)
    moved(run, run.network, 12)
    upon_painted = 0
    for _ in range(20):
        for example in run._examples():
            real, parent = box_mean(example.real), example.parent
            upon_painted += not np.array_equal(real, parent)
            for _octave in range(3):  # whatever was painted, its mean is that of the tissue a few octaves up
                real, parent = box_mean(real), box_mean(parent)
            assert np.abs(real.astype(float) - parent).mean() < 3
    assert upon_painted

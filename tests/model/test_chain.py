"""A few steps on painted parents: the network learns, its work is kept and painted upon, and a run goes on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.chain import ChainPlan, ChainTrainer
from everslide.model.mini import load_mini
from everslide.model.network import DetailUNet
from everslide.model.prepare import prepare
from everslide.model.weights import Weights, load_weights
from tests.model.networks import TINY
from tests.model.pictures import tissue, write_images

PLAN = ChainPlan(minutes=0.02, warmup=1, sketches=1, compile=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("chain")
    fields = {"a.png": (tissue(512, 512, 1), 0.5), "b.png": (tissue(160, 160, 2), 0.5)}
    prepare(write_images(base / "images", fields), base / "out", ["b.png"])
    return base / "out"


@pytest.fixture(autouse=True)
def _denormals() -> None:
    """Training flushes denormals; other tests are not to notice."""
    torch.set_flush_denormal(False)


def start() -> Weights:
    torch.manual_seed(5)
    return Weights(TINY, DetailUNet(TINY).state_dict(), np.full((12, 3, 3), 4.0, np.float32))


def trainer(prepared: Path, folder: Path, plan: ChainPlan = PLAN) -> ChainTrainer:
    return ChainTrainer(prepared, folder, plan, start(), threads=1)


def test_a_run_writes_weights_that_paint(prepared: Path, tmp_path: Path) -> None:
    run = trainer(prepared, tmp_path)
    run.run()
    assert run.clock.step >= 1 and run.clock.seconds >= 1.2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chain.pt", "curve.jsonl", "mini.safetensors"]
    (point,) = map(json.loads, (tmp_path / "curve.jsonl").read_text().splitlines())
    assert point["step"] == run.clock.step and all(math.isfinite(point[name]) for name in ("patches", "velocity"))
    denoiser = load_mini(tmp_path / "mini.safetensors", threads=1)
    noise = np.random.default_rng(1).standard_normal((denoiser.batch, 9, 160, 160), np.float32)
    parents = np.stack([tissue(160, 160, 4)] * denoiser.batch)
    bands = denoiser.detail(0, parents, noise, noise[:, :3])
    assert bands.shape == (denoiser.batch, 160, 160, 3, 3) and np.isfinite(bands).all()


def test_the_network_changes(prepared: Path, tmp_path: Path) -> None:
    run = trainer(prepared, tmp_path)
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    run.run()
    told = ("summarizer", "context")  # nobody tells it anything here
    after = {name: p for name, p in run.network.named_parameters() if not name.startswith(told)}
    moved = [not torch.equal(before[name], p) for name, p in after.items()]
    assert sum(moved) > 0.8 * len(moved)


def test_it_paints_upon_its_own_work(prepared: Path, tmp_path: Path) -> None:
    run = trainer(prepared, tmp_path)
    run.run()
    assert run.painted.draw(0, "real", np.random.default_rng(0)) is not None


def test_a_run_goes_on_where_it_stopped(prepared: Path, tmp_path: Path) -> None:
    first = trainer(prepared, tmp_path)
    first.run()
    longer = trainer(prepared, tmp_path, replace(PLAN, minutes=first.clock.seconds / 60 + 0.02))
    assert (longer.clock.step, longer.clock.seconds) == (first.clock.step, first.clock.seconds)
    for a, b in zip(first.network.parameters(), longer.network.parameters(), strict=True):
        assert torch.equal(a, b)
    longer.run()
    assert longer.clock.step > first.clock.step
    assert len((tmp_path / "curve.jsonl").read_text().splitlines()) == 2
    assert load_weights(tmp_path / "mini.safetensors").config == TINY

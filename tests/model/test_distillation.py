"""Distillation: half the steps, the teacher's detail from the same noise, and a run that goes on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.chain import ChainPlan
from everslide.model.distillation import Distiller
from everslide.model.network import DetailUNet
from everslide.model.prepare import prepare
from everslide.model.sampler import Sampler
from everslide.model.weights import Weights, load_weights
from tests.model.networks import TINY
from tests.model.pictures import tissue, write_images

PLAN = ChainPlan(minutes=0.02, warmup=1, sketches=1, compile=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("distillation")
    prepare(write_images(base / "images", {"a.png": (tissue(512, 512, 1), 0.5)}), base / "out", [])
    return base / "out"


@pytest.fixture(autouse=True)
def _denormals() -> None:
    """Training flushes denormals; other tests are not to notice."""
    torch.set_flush_denormal(False)


def teacher(steps: int) -> Weights:
    torch.manual_seed(5)
    deviation = np.full((12, 3, 3), 4.0, np.float32)
    return Weights(TINY, DetailUNet(TINY).state_dict(), deviation, Sampler(Sampler.falling(steps)))


def test_it_writes_weights_of_half_the_steps_and_goes_on(prepared: Path, tmp_path: Path) -> None:
    first = Distiller(prepared, tmp_path, PLAN, teacher(4), threads=1)
    first.run()
    written = load_weights(tmp_path / "mini.safetensors")
    assert written.sampler == Sampler(Sampler.falling(2))
    assert written.teacher is not None and written.teacher.sampler == Sampler(Sampler.falling(4))
    (point,) = map(json.loads, (tmp_path / "curve.jsonl").read_text().splitlines())
    assert all(math.isfinite(point[name]) for name in ("error", "patches", "power"))
    longer = replace(PLAN, minutes=first.clock.seconds / 60 + 0.02)
    assert Distiller(prepared, tmp_path, longer, teacher(4), threads=1).clock.step == first.clock.step


def test_a_pupil_of_as_many_steps_has_nothing_to_learn(prepared: Path, tmp_path: Path) -> None:
    """One step cannot be halved: teacher and pupil are the same then, and so is what they paint."""
    run = Distiller(prepared, tmp_path, PLAN, teacher(1), threads=1)
    _, _, said = run._loss(run._tensors(run._examples()))
    assert said["error"] == 0 and said["patches"] == 0 and said["power"] == 1


def test_the_pupil_comes_nearer_to_its_teacher(prepared: Path, tmp_path: Path) -> None:
    run = Distiller(prepared, tmp_path, replace(PLAN, minutes=0.2), teacher(4), threads=1)
    torch.manual_seed(1)
    shown = run._tensors(run._examples())

    def error() -> float:
        torch.manual_seed(2)
        with torch.no_grad():
            return run._loss(shown)[2]["error"]

    before = error()
    run.run()
    assert 0 < error() < before

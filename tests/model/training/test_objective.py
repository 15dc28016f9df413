"""The loss of what is painted upon painted parents: it reaches the network, keeps what it painted, and obeys glass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.geometry import TOP_SCALE
from everslide.model.training import replay as module
from everslide.model.training.chain import Brush
from everslide.model.training.critic import Opponent
from everslide.model.training.objective import REPLAYED_OCTAVES, Objective
from everslide.model.training.places import CROP_PX, Tissue
from everslide.model.training.plan import Plan
from everslide.model.training.prepare import prepare
from everslide.model.training.replay import ReplayBuffer
from tests.model.networks import TINY, tiny_weights
from tests.model.pictures import tissue, write_images
from tests.model.training.ranks import CPU, PixelFeatures

PLAN = Plan(minutes=1, batch=2)


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tissue:
    """Tissue of one image, which stands for all scales."""
    prepare(write_images(tmp_path / "images", {"one.png": (tissue(300, 300, 1), 0.5)}), tmp_path / "out", [])
    found = Tissue(tmp_path / "out", "train")
    spot = found.spot
    monkeypatch.setattr(found, "spot", lambda s, *more: spot(0, *more))
    return found


@pytest.fixture
def objective() -> Objective:
    features = PixelFeatures()
    features.calibrate(torch.from_numpy(tissue(CROP_PX, CROP_PX, 3)).permute(2, 0, 1)[None] / 127.5 - 1)
    return Objective(PLAN, features, Opponent([48], 1e-3, CPU))  # type: ignore[arg-type]


def test_painted_parents_are_painted_upon(real: Tissue, objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SKETCHES", 4)
    monkeypatch.setattr("everslide.model.training.objective.VIEWS", 2)
    rng = np.random.default_rng(1)
    buffer, network = ReplayBuffer(rng), tiny_weights().build()
    loud = torch.full((12, 9), 60.0)
    brush = Brush(network, TINY.noise, loud)
    torch.manual_seed(2)
    loss, metrics = objective.replayed(brush, buffer, real, rng)
    assert metrics.keys() == {f"r{TOP_SCALE - 1 - octave}" for octave in range(REPLAYED_OCTAVES)}
    assert buffer.depth() == TOP_SCALE - REPLAYED_OCTAVES, "what was painted is painted upon next time"
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert len(gradients) > 10 and all(bool(torch.isfinite(g).all()) for g in gradients)
    for s in range(TOP_SCALE - REPLAYED_OCTAVES, TOP_SCALE):
        places = [buffer.parent(s) for _ in range(8)]
        assert all((one.pixels <= one.glass).all() for one in places), "though the detail is far too loud"

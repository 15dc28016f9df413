"""The conditioning diffusion model: trained on a few pictures, sampled cell by cell, the same for the same place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.errors import DataError
from everslide.model.geometry import Rect, WindowIndex
from everslide.model.mini.cdm import CDM, CDMConfig
from everslide.model.mini.cdm_training import CDMPlan, CDMTrainer
from everslide.model.mini.encoder import EncoderConfig, PatchEncoder
from everslide.model.mini.sources import (
    INHERITED,
    CDMConditions,
    Conditions,
    Floats,
    NoConditions,
    ParentConditions,
    Pixels,
    cell_noise,
)
from everslide.model.training.prepare import prepare
from tests.model.pictures import tissue, write_images

CONFIG = CDMConfig(embedding=8, width=16, depth=1)
PARENTS = np.stack([tissue(160, 160, seed) for seed in range(2)])
WINDOWS = [WindowIndex(2, 3, 4), WindowIndex(2, 4, 4)]


@pytest.fixture
def encoder() -> PatchEncoder:
    torch.manual_seed(0)
    return PatchEncoder(EncoderConfig((4, 6), 8)).eval()


@pytest.fixture
def cdm() -> CDM:
    torch.manual_seed(0)
    model = CDM(CONFIG)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    return model


@pytest.fixture(autouse=True)
def _denormals() -> None:
    torch.set_flush_denormal(False)


def given(source: Conditions, windows: list[WindowIndex], parents: Pixels, seed: int = 9) -> Floats:
    """What a source that says something says."""
    cells = source.of(seed, windows, parents)
    assert cells is not None
    return cells


def test_a_window_has_the_same_conditions_alone_and_in_company(cdm: CDM, encoder: PatchEncoder) -> None:
    source = CDMConditions(cdm, encoder)
    both = given(source, WINDOWS, PARENTS)
    assert both.shape == (2, 8, 5, 5) and both.dtype == np.float32
    for i in range(2):
        np.testing.assert_array_equal(given(source, WINDOWS[i : i + 1], PARENTS[i : i + 1]), both[i : i + 1])
    assert not np.array_equal(given(source, WINDOWS, PARENTS, seed=8), both)
    assert not np.array_equal(given(source, WINDOWS, PARENTS[::-1]), both)


def test_blind_it_does_not_look_at_the_parent(cdm: CDM, encoder: PatchEncoder) -> None:
    blind = CDMConditions(cdm, encoder, blind=True)
    np.testing.assert_array_equal(blind.of(9, WINDOWS, PARENTS), blind.of(9, WINDOWS, PARENTS[::-1]))
    assert blind.fingerprint != CDMConditions(cdm, encoder).fingerprint


def test_neighbours_share_the_noise_of_their_common_cells() -> None:
    left = cell_noise(5, 2, Rect(12, 16, 5, 5), 8)
    right = cell_noise(5, 2, Rect(16, 16, 5, 5), 8)
    np.testing.assert_array_equal(left[:, :, 4], right[:, :, 0])


def test_a_cell_inherits_from_its_parent() -> None:
    """Of unit variance each; over many slides, since one slide has few cells at the top."""
    children, parents = (
        np.stack([cell_noise(seed, s, Rect(0, 0, side, side), 8) for seed in range(40)])
        for s, side in ((2, 16), (3, 8))
    )
    inherited = parents.repeat(2, axis=2).repeat(2, axis=3)
    assert np.corrcoef(children.ravel(), inherited.ravel())[0, 1] == pytest.approx(INHERITED**0.5, abs=0.02)
    assert children.std() == pytest.approx(1, abs=0.06)


def test_other_sources(encoder: PatchEncoder) -> None:
    assert NoConditions().of(1, WINDOWS, PARENTS) is None
    found = ParentConditions(encoder).of(1, WINDOWS, PARENTS)
    assert found is not None and found.shape == (2, 8, 5, 5)
    enlarged = np.asarray(PARENTS[0, :32, :32]).repeat(4, axis=0).repeat(4, axis=1)  # another filter, the same patch
    assert np.abs(found[0, :, 0, 0] - encoder.embed(enlarged[None])[0]).mean() < 0.5 * found.std()


def test_training_learns_and_goes_on(encoder: PatchEncoder, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", {"a.png": (tissue(512, 512, 1), 0.5)})
    prepare(images, tmp_path / "out", [])
    first = CDMTrainer(tmp_path / "out", tmp_path / "run", CDMPlan(0.02, batch=4), encoder, 1, CONFIG)
    assert {s: x.crop_px for s, x in first.by_scale.items()} == {0: 256, 1: 256, 2: 128}
    first.clock.until_used_up(first._step, first._keep)
    second = CDMTrainer(tmp_path / "out", tmp_path / "run", CDMPlan(0.04, batch=4), encoder, 1, CONFIG)
    assert second.clock.step == first.clock.step >= 1
    for name, tensor in first.cdm.state_dict().items():
        assert torch.equal(second.cdm.state_dict()[name], tensor), name
    averaged = second.run()
    assert second.clock.step > first.clock.step and averaged.keys() == second.cdm.state_dict().keys()


def test_nothing_sharp_enough(encoder: PatchEncoder, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", {"a.png": (tissue(512, 512, 1), 4.0)})
    prepare(images, tmp_path / "out", [])
    with pytest.raises(DataError, match="expected a training image of 10x or 20x"):
        CDMTrainer(tmp_path / "out", tmp_path / "run", CDMPlan(0.01), encoder, 1, CONFIG)

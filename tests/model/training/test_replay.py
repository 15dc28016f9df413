"""Painted parents: where they come from, and the real places they are held against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from everslide.model.geometry import TOP_SCALE
from everslide.model.training.places import CROP_PX, PARENT_PX, RIM_PX, Tissue
from everslide.model.training.prepare import prepare
from everslide.model.training.replay import KEPT, ReplayBuffer, alike
from tests.model.pictures import tissue, write_images


@pytest.fixture(scope="module")
def buffer() -> ReplayBuffer:
    return ReplayBuffer(np.random.default_rng(1))


def test_it_begins_with_sketches(buffer: ReplayBuffer) -> None:
    assert buffer.depth() == TOP_SCALE
    parents = [buffer.parent(TOP_SCALE) for _ in range(20)]
    assert all(parent.shape == (PARENT_PX, PARENT_PX, 3) and parent.dtype == np.uint8 for parent in parents)
    assert np.mean([(parent.mean(-1) < 225).mean() for parent in parents]) > 0.3, "mostly on tissue"


def test_it_goes_on_from_what_was_painted_within_its_rim() -> None:
    buffer = ReplayBuffer(np.random.default_rng(2))
    painted = np.zeros((CROP_PX, CROP_PX, 3), np.uint8)
    painted[RIM_PX:-RIM_PX, RIM_PX:-RIM_PX] = 120
    for _ in range(KEPT + 5):
        buffer.keep(5, painted)
    assert buffer.depth() == 5
    assert all((buffer.parent(5) == 120).all() for _ in range(20))


def test_a_real_place_alike_has_the_colours_of_the_painted_one(tmp_path: Path) -> None:
    pale = (255 - (255 - tissue(300, 300, 2)) // 2).astype(np.uint8)
    images = {"dark.png": (tissue(300, 300, 1), 0.5), "pale.png": (pale, 0.5)}
    prepare(write_images(tmp_path / "images", images), tmp_path / "out", [])
    real, rng = Tissue(tmp_path / "out", "train"), np.random.default_rng(3)
    for wanted in (tissue(CROP_PX, CROP_PX, 7), (255 - (255 - tissue(CROP_PX, CROP_PX, 8)) // 2).astype(np.uint8)):
        found = alike(real, 0, wanted, rng)
        assert found.shape == (CROP_PX, CROP_PX, 3)
        assert abs(float(found.mean()) - float(wanted.mean())) < 20

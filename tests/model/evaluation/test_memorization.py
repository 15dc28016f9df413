"""A planted copy of a training square is found; other tissue of the same kind is not taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.evaluation.memorization import (
    Nearness,
    TrainingSquares,
    best_correlation,
    compare_nearness,
    training_surroundings,
)
from everslide.model.training.prepare import prepare, read_index
from tests.model.encoders import ColourEncoder
from tests.model.pictures import section, tissue, write_images

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def training() -> TrainingSquares:
    return TrainingSquares([tissue(256, 256, seed) for seed in range(12)], ColourEncoder())


def middle(seed: int) -> Pixels:
    return tissue(256, 256, seed)[64:192, 64:192]


def test_a_planted_copy_is_found(training: TrainingSquares) -> None:
    found = training.nearness(np.stack([middle(5), middle(100)]))
    assert len(training) == 12
    assert found.distance[0] == pytest.approx(0, abs=1e-5) and found.correlation[0] == pytest.approx(1)
    assert found.distance[1] > 0.01 and found.correlation[1] < 0.5


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_copy_that_was_turned_shifted_and_stained_is_found(quarter: int, mirrored: bool) -> None:
    around = tissue(256, 256, 3)
    copy = np.rot90(around[11:139, 120:248], quarter)
    copy = copy[:, ::-1] if mirrored else copy
    assert best_correlation((copy * 0.8 + 20).astype(np.uint8), around) > 0.98


def test_correlation_of_a_flat_square_is_none() -> None:
    assert best_correlation(np.full((128, 128, 3), 200, np.uint8), tissue(256, 256, 3)) == pytest.approx(0, abs=0.05)


def test_painted_that_copies_is_nearer_than_held_out() -> None:
    rng = np.random.default_rng(0)
    real = Nearness(rng.uniform(2, 3, 50), rng.uniform(0.2, 0.4, 50))
    found = compare_nearness(Nearness(real.distance / 2, real.correlation * 2), real, rng)
    assert found["distance_ratio"].value == pytest.approx(0.5)
    assert found["distance_ratio"].interval == pytest.approx((0.5, 0.5))
    assert found["distance"].value == pytest.approx(real.distance.mean() / 2)
    assert found["correlation"].interval[0] > found["correlation_real"].interval[1]
    assert found["correlation_largest"].value == pytest.approx(2 * found["correlation_largest_real"].value)


def test_training_squares_are_tissue_of_every_image(tmp_path: Path) -> None:
    images = {"a.png": (tissue(512, 512, 1), 0.5), "b.png": (section(512, 150, 2), 0.5), "c.png": (tissue(64, 64), 0.5)}
    prepare(write_images(tmp_path / "images", images), tmp_path / "out", [])
    found = training_surroundings(tmp_path / "out", read_index(tmp_path / "out"), 10, np.random.default_rng(0))
    assert 4 < len(found) <= 10 and {x.shape for x in found} == {(256, 256, 3)}
    whole = training_surroundings(tmp_path / "out", read_index(tmp_path / "out"), 1000, np.random.default_rng(0))
    assert 9 < len(whole) < 18, "the corners of the section are glass"

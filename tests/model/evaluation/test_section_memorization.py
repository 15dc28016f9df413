"""A painted copy of a training section is found however it was laid; other sections are not taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.evaluation.organ_sections import Section
from everslide.model.evaluation.section_memorization import PIECES, SIDE_PX, TrainingSections, pieces
from tests.model.evaluation.made_sections import BLUE, made_section

Pixels = NDArray[np.uint8]


def section(name: str, whole: Pixels, case: str = "") -> Section:
    return Section("colon", name, whole, {}, case, trained=bool(case))


@pytest.fixture(scope="module")
def training() -> TrainingSections:
    return TrainingSections([section(f"t{seed}", made_section(seed), f"case {seed}") for seed in range(4)])


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_copy_that_was_turned_moved_and_stained_is_found(
    training: TrainingSections, quarter: int, mirrored: bool
) -> None:
    copy = np.rot90(np.roll(made_section(2, BLUE), (3, -2), (0, 1)), quarter)
    noise = np.random.default_rng(0).normal(0, 4, copy.shape)
    copy = np.clip(copy + noise, 0, 255).astype(np.uint8)
    found = training.nearest(section("painted", copy[:, ::-1] if mirrored else copy))
    assert found is not None and found.nearest == "t2" and found.correlation > 0.95


def test_another_section_is_no_copy(training: TrainingSections) -> None:
    found = [training.nearest(section("painted", made_section(seed))) for seed in (10, 11, 12)]
    assert all(near is not None and near.correlation < 0.8 for near in found), found


def test_a_real_section_is_not_held_against_its_own_case(training: TrainingSections) -> None:
    found = training.nearest(section("t2 again", made_section(2), "case 2"))
    assert found is not None and found.nearest != "t2" and found.correlation < 0.8


def test_there_is_nothing_to_be_near_to() -> None:
    alone = TrainingSections([section("t0", made_section(0), "case 0")])
    assert alone.nearest(section("t0", made_section(0), "case 0")) is None
    assert alone.nearest(section("glass", np.full((120, 120, 3), 243, np.uint8))) is None


def test_pieces_are_the_largest_and_each_alone() -> None:
    glass = np.full((300, 300, 3), 243, np.uint8)
    for corner, side in ((0, 60), (70, 120), (200, 80)):
        glass[corner : corner + side, corner : corner + side] = made_section(1, side=side)
    found = pieces(glass, PIECES)
    assert [piece.shape for piece in found] == [(SIDE_PX, SIDE_PX)] * 3
    areas = [int((piece > 0.06).sum()) for piece in found]
    assert areas == sorted(areas, reverse=True) and areas[-1] > 500
    assert len(pieces(glass, 1)) == 1

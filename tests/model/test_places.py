"""Places in real images: what they show, and where the children of a part of it lie."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from everslide.model.places import CROP_PX, PARENT_PX, Place
from everslide.model.wavelet import box_mean
from tests.model.pictures import tissue


def planes() -> dict[int, np.ndarray]:
    finest = tissue(640, 640, 3)
    return {0: finest, 1: box_mean(finest), 2: box_mean(box_mean(finest))}


@pytest.mark.parametrize(("quarters", "mirrored"), list(itertools.product(range(4), (False, True))))
def test_the_mean_of_the_children_is_what_was_shown(quarters: int, mirrored: bool) -> None:
    place = Place(planes(), 1, 60, 82, quarters, mirrored)
    for y, x in ((0, 0), (16, 40), (PARENT_PX, 3)):
        part = place.real()[y : y + PARENT_PX, x : x + PARENT_PX]
        np.testing.assert_array_equal(box_mean(place.below(y, x).real()), part)


def test_two_octaves_down() -> None:
    place = Place(planes(), 2, 6, 30, 1, True)
    below = place.below(4, 20).below(32, 8)
    assert below.s == 0 and not below.has_finer and place.has_finer
    part = place.real()[4 + 16 : 4 + 16 + CROP_PX // 4, 20 + 4 : 20 + 4 + CROP_PX // 4]
    np.testing.assert_array_equal(box_mean(box_mean(below.real())), part)


def test_a_stain_goes_down_with_the_place() -> None:
    stain = (np.full(3, 1.3, np.float32), np.zeros(3, np.float32))
    place = Place(planes(), 1, 0, 0, 2, False, stain)
    assert place.real().mean() < Place(planes(), 1, 0, 0, 2, False).real().mean() - 1
    apart = np.abs(box_mean(place.below(0, 0).real()).astype(int) - place.real()[:PARENT_PX, :PARENT_PX])
    assert apart.mean() < 1.5, "density is not linear, but nearly so within two pixels"

"""Tissue that is consistent with its parent, tissue that is not, and stain that must not pass for it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.evaluation.semantic_consistency import semantic_consistency

Doubles = NDArray[np.float64]
IMAGES = ["a"] * 10 + ["b"] * 10


def features(seed: int) -> Doubles:
    return np.random.default_rng(seed).normal(size=(20, 32))


def test_the_same_tissue_finds_itself() -> None:
    found = semantic_consistency(features(1), features(1), IMAGES, np.random.default_rng(0))
    assert found.places == 20 and found.same.value == pytest.approx(1)
    assert abs(found.shuffled.value) < 0.15 and found.gain.interval[0] > 0.7
    assert found.top1.value == 1 and found.chance == pytest.approx(0.1)


def test_other_tissue_does_not() -> None:
    found = semantic_consistency(features(1), features(2), IMAGES, np.random.default_rng(0))
    assert found.gain.interval[0] < 0 < found.gain.interval[1]
    assert found.top1.value <= 0.4


def test_the_stain_of_an_image_is_no_meaning() -> None:
    stain = np.repeat([[9.0], [-9.0]], 10, axis=0)
    found = semantic_consistency(features(1) + stain, features(2) + stain, IMAGES, np.random.default_rng(0))
    assert found.same.value > 0.9 and found.shuffled.value > 0.9, "both are high, and neither tells anything"
    assert found.gain.interval[0] < 0 < found.gain.interval[1]


def test_places_alone_in_their_image_are_left_out() -> None:
    found = semantic_consistency(features(1)[:11], features(1)[:11], IMAGES[:11], np.random.default_rng(0))
    assert found.places == 10
    with pytest.raises(ValueError, match="expected 4 or more places that share an image, found 3"):
        semantic_consistency(features(1)[:3], features(1)[:3], IMAGES[:3], np.random.default_rng(0))

"""Colours that can be told apart are named right, swapped ones wrong, and no case is named by itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.evaluation.organ_classifier import classify, colour_statistics
from tests.model.evaluation.made_sections import BLUE, PINK, made_section

Doubles = NDArray[np.float64]
COLOURS = {"colon": PINK, "skin": BLUE}


def seen(organ: str, seed: int) -> Doubles:
    return colour_statistics(made_section(seed, COLOURS[organ]))


REAL = [(organ, f"case {seed}", seen(organ, seed)) for organ in COLOURS for seed in range(3)]


def test_colours_apart_are_named_right() -> None:
    found = classify(REAL, [(organ, seen(organ, seed)) for organ in COLOURS for seed in (10, 11)])
    assert [(score.organ, score.real, score.painted, score.fails) for score in found.scores] == [
        ("colon", 1, 1, False),
        ("skin", 1, 1, False),
    ]
    assert (found.real, found.painted, found.by_chance, found.left_out) == (1, 1, 0.5, [])
    assert (found.scores[0].cases, found.scores[0].sections, found.scores[0].painted_sections) == (3, 3, 2)


def test_swapped_organs_are_named_wrong() -> None:
    found = classify(REAL, [("colon", seen("skin", 10)), ("skin", seen("colon", 11))])
    assert [(score.painted, score.fails) for score in found.scores] == [(0, True), (0, True)]
    assert (found.real, found.painted) == (1, 0)


def test_a_case_is_never_named_by_itself() -> None:
    odd = [("colon", "a", seen("colon", 1)), ("colon", "b", seen("skin", 2)), ("colon", "b", seen("skin", 2))]
    found = classify([*odd, *REAL[3:]], [])
    assert found.scores[0].real <= 1 / 3, "what looks like skin is named skin, though its own case is a colon"
    assert found.scores[0].painted is None and not found.scores[0].fails


def test_an_organ_of_one_case_is_left_out_and_named() -> None:
    alone = [("liver", "x", seen("skin", 5)), ("liver", "x", seen("skin", 6))]
    found = classify([*REAL, *alone], [("liver", seen("skin", 7)), ("skin", seen("skin", 8))])
    assert found.left_out == ["liver"] and [score.organ for score in found.scores] == ["colon", "skin"]
    assert (found.real, found.painted) == (1, 1), "of skin, the one organ that was painted and can be left out"
    with pytest.raises(ValueError, match="expected 2 or more organs of 2 or more cases, found 1"):
        classify([*REAL[:3], *alone], [])


def test_colours_of_glass_alone_are_numbers() -> None:
    assert np.isfinite(colour_statistics(np.full((32, 32, 3), 243, np.uint8))).all()

"""Bounds are met or missed by as much as they say."""

from __future__ import annotations

import math
from typing import Any

import pytest

from everslide.model.evaluation.acceptance_thresholds import Verdict, verdicts


@pytest.mark.parametrize(
    ("value", "low", "high", "missed_by"),
    [
        (1.4, None, 1.5, 0.0),
        (1.5, None, 1.5, 0.0),
        (3.0, None, 1.5, 1.0),
        (0.85, 0.85, 1.18, 0.0),
        (0.425, 0.85, 1.18, 0.5),
        (1.298, 0.85, 1.18, 0.1),
        (0.9, 1.0, None, 0.1),
        (math.nan, 0.85, 1.18, math.inf),
    ],
)
def test_missed_by(value: float, low: float | None, high: float | None, missed_by: float) -> None:
    verdict = Verdict("figure", "20x", value, None, low, high)
    assert verdict.missed_by == pytest.approx(missed_by)
    assert verdict.as_dict()["missed_by"] == verdict.missed_by


def figure(value: float) -> dict[str, Any]:
    return {"value": value, "interval": [value - 0.1, value + 0.1]}


def test_every_figure_with_a_bound_is_beside_it() -> None:
    row = {
        "magnification": 5.0,
        "spectrum": [0.9, 1.1, 0.5, 1.0],
        "spectrum_interval": [[0.8, 1.0]] * 4,
        "stain_mean_over_real": [-0.2, 1.3],
        "stain_mean_over_real_interval": [[0.9, 1.1]] * 2,
    }
    coarse = {**row, "magnification": 0.625}
    found = verdicts(
        {
            "distances": [{"magnification": 10.0, "octaves": n, "ratio": figure(2.0)} for n in (1, 4)],
            "tests": [{"octaves": 1, "rows": [coarse, row]}, {"octaves": None, "rows": [row]}],
            "nuclei": [{"octaves": 4, "count_per_mm2_ratio": figure(0.8), "area_um2_ratio": figure(1.1)}],
            "memorisation": {"distance_ratio": figure(1.2)},
            "panning": {"seconds_per_tile": 0.45, "threads": 2},
        }
    )
    assert [(x.what, x.where, x.value, x.missed_by > 0) for x in found] == [
        ("Frechet distance over floor", "10x, one octave down", 2.0, True),
        ("Frechet distance over floor", "10x, 4 octaves down", 2.0, False),
        ("spectrum, worst octave (8 to 16 px)", "5x, one octave down", 0.5, True),
        ("drift of hematoxylin", "5x, one octave down", -0.2, True),
        ("nuclei per mm2", "20x, 4 octaves down", 0.8, True),
        ("area of nuclei", "20x, 4 octaves down", 1.1, False),
        ("distance to training, painted over held-out", "20x", 1.2, False),
        ("panning, seconds a tile", "20x, 2 threads", 0.45, True),
    ]
    assert found[0].interval == (1.9, 2.1) and found[-1].interval is None
    assert found[-1].missed_by == pytest.approx(3.5)

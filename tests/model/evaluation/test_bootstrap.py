"""Intervals hold what they should, by groups where rows belong together."""

from __future__ import annotations

import numpy as np
import pytest

from everslide.model.evaluation.bootstrap import interval, ratio_intervals, resampled


def test_the_middle_of_the_values() -> None:
    low, high = interval(np.arange(1001, dtype=np.float64))
    assert (low, high) == pytest.approx((25, 975))
    low, high = interval(np.arange(1001, dtype=np.float64), centre=0.0)
    assert (low, high) == pytest.approx((-475, 475))


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(5, 2, 400)
    drawn = resampled(lambda i: np.atleast_1d(values[i].mean()), 400, rng, draws=1000)
    low, high = interval(drawn[:, 0])
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 2 / np.sqrt(400), rel=0.15)


def test_what_is_paired_has_no_spread_where_the_ratio_is_constant() -> None:
    rng = np.random.default_rng(2)
    real = rng.uniform(1, 9, (60, 2))
    groups = np.arange(60)
    paired = ratio_intervals(real * [2.0, 0.5], real, (groups, groups), True, rng)
    assert paired[0] == pytest.approx((2, 2)) and paired[1] == pytest.approx((0.5, 0.5))
    apart = ratio_intervals(real * 2, real, (groups, groups), False, rng)
    assert apart[0][0] < 1.9 and apart[0][1] > 2.1


def test_rows_of_one_square_count_once() -> None:
    rng = np.random.default_rng(3)
    squares = rng.uniform(1, 9, (40, 1))
    ones, groups = np.ones((40, 1)), np.arange(40)
    once = ratio_intervals(squares, ones, (groups, groups), True, rng)[0]
    four = np.repeat(squares, 4, axis=0), np.repeat(ones, 4, axis=0)
    grouped = ratio_intervals(*four, (np.repeat(groups, 4), np.repeat(groups, 4)), True, rng)[0]
    alone = ratio_intervals(*four, (np.arange(160), np.arange(160)), True, rng)[0]
    assert grouped[1] - grouped[0] == pytest.approx(once[1] - once[0], rel=0.3)
    assert alone[1] - alone[0] < 0.75 * (grouped[1] - grouped[0])

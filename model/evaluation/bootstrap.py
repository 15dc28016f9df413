"""Confidence intervals by the bootstrap (Efron, "Bootstrap methods: another look at the jackknife", 1979).

What is drawn again is a square of tissue, not a pixel; neighbouring squares resemble each other, so that the intervals
describe the places that were measured, and are somewhat narrow for tissue in general.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
DRAWS = 200
"""Bootstrap samples."""
LEVEL = 0.95
"""Confidence level of every interval."""
Interval = tuple[float, float]


def interval(values: Sequence[float] | Doubles, centre: float | None = None) -> Interval:
    """The middle 95 % of bootstrap values; moved so that their mean is `centre` where that is given.

    A statistic that grows with repeated samples, as distances of covariances do, is too large in every draw: its
    spread is right, its place is not.
    """
    tail = (1 - LEVEL) / 2
    low, high = (float(x) for x in np.quantile(np.asarray(values, np.float64), (tail, 1 - tail)))
    shift = 0.0 if centre is None else centre - float(np.mean(values))
    return low + shift, high + shift


def resampled(
    statistic: Callable[[Indices], Doubles], count: int, rng: np.random.Generator, draws: int = DRAWS
) -> Doubles:
    """Bootstrap values (draws, k) of a statistic of k numbers; it is given `count` indices drawn with replacement."""
    return np.stack([np.atleast_1d(statistic(rng.integers(0, count, count))) for _ in range(draws)])


def ratio_intervals(
    painted: Doubles, real: Doubles, groups: tuple[Indices, Indices], paired: bool, rng: np.random.Generator
) -> list[Interval]:
    """95 % intervals of mean(painted) / mean(real) of each of k columns; painted (n, k), real (m, k).

    groups: for each side, the number of the square that each row belongs to; whole squares are resampled. paired:
    whether both sides show the same squares, which are then resampled together.
    """
    sums, counts = zip(*(_by_group(x, g) for x, g in zip((painted, real), groups, strict=True)), strict=True)

    def mean(side: int, drawn: Indices) -> Doubles:
        return np.asarray(sums[side][drawn].sum(0) / max(float(counts[side][drawn].sum()), 1.0), np.float64)

    def statistic(drawn: Indices) -> Doubles:
        other = drawn if paired else rng.integers(0, len(counts[1]), len(counts[1]))
        return mean(0, drawn) / mean(1, other)

    drawn = resampled(statistic, len(counts[0]), rng)
    return [interval(column) for column in drawn.T]


def _by_group(values: Doubles, groups: Indices) -> tuple[Doubles, Doubles]:
    """Sum (g, k) of the rows of each group, and how many rows it has (g,)."""
    numbers = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((int(numbers.max()) + 1, values.shape[1]))
    np.add.at(sums, numbers, values)
    return sums, np.bincount(numbers).astype(np.float64)

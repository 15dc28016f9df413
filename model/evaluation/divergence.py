"""How far painted squares are from real ones in an encoder's features, beside how far real ones are from each other.

Frechet distance (Heusel et al., 2017): of few samples it is too large, by much where they are fewer than the features'
64 dimensions. So it stands beside its floor: the places are parted at random into two halves, evenly from every image.
Painted tissue of one half against real tissue of the other is the figure, real against real the floor: equal numbers,
equally far apart. Kernel distance (the unbiased MMD^2 of Binkowski et al., "Demystifying MMD GANs", 2018, with their
cubic kernel): no such bias, 0 where nothing differs; its floor is what halves of the real places reach by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everslide.model.evaluation.bootstrap import DRAWS, Interval, interval
from everslide.model.evaluation.similarity import frechet_distance

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
SPLITS = 20
"""Random halvings whose Frechet distances are averaged."""
MIN_PLACES = 16


class Embeds(Protocol):
    """An encoder of squares of 128 px. Distances are taken in its features as they are, without normalisation."""

    def embed(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (N, C) of squares (N, 128, 128, 3) uint8."""
        ...


@dataclass(frozen=True)
class Figure:
    """A number and its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Divergence:
    """half: squares on either side of the Frechet distances. frechet, kernel: painted against real; frechet_floor,
    kernel_floor: real against real, the latter's interval being that of all halvings.

    ratio: the Frechet distance over its floor. same_places: Frechet distance of all painted squares from all real
    squares of the very same places, which has no floor to be read against.
    """

    half: int
    frechet: Figure
    frechet_floor: Figure
    ratio: Figure
    kernel: Figure
    kernel_floor: Figure
    same_places: float


def kernel(x: Doubles, y: Doubles) -> Doubles:
    """k(x, y) = (x.y / C + 1)^3 (n, m) of features (n, C) and (m, C)."""
    return np.asarray((x @ y.T / x.shape[1] + 1.0) ** 3, np.float64)


def kernel_distance(a: Doubles, b: Doubles) -> float:
    """Unbiased MMD^2 of independent features (n, C) and (m, C); may fall below zero.

    Raises ValueError for fewer than two on either side.
    """
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"expected at least 2 squares on either side, found {n} and {m}")
    within_a, within_b = kernel(a, a), kernel(b, b)
    alike = (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
    alike += (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(alike - 2 * kernel(a, b).mean())


def paired_kernel_distances(painted: Doubles, real: Doubles, weights: Doubles) -> Doubles:
    """Unbiased MMD^2 (draws,) where painted and real (n, C) show the same n places, under weights (draws, n).

    The U-statistic over pairs of different places (Gretton et al., "A kernel two-sample test", 2012, Eq. 4): a painted
    square never meets the real one of its own place, so that it does not matter how alike the two are.
    """
    terms = kernel(painted, painted) + kernel(real, real) - kernel(painted, real) - kernel(real, painted)
    np.fill_diagonal(terms, 0.0)
    pairs = np.square(weights.sum(1)) - np.square(weights).sum(1)
    return np.asarray(np.einsum("di,ij,dj->d", weights, terms, weights, optimize=True) / pairs, np.float64)


def divergence(painted: Doubles, real: Doubles, strata: Sequence[str], rng: np.random.Generator) -> Divergence:
    """Distances of features (n, C) of the same n places, painted and real. strata: the image of every place.

    Intervals resample the places within each image. Raises ValueError for fewer than MIN_PLACES places.
    """
    if len(painted) < MIN_PLACES or len(painted) != len(real):
        raise ValueError(f"expected {MIN_PLACES} or more places on both sides, found {len(painted)} and {len(real)}")
    names = np.array(strata)
    values = np.array([_frechet(painted, real, *_halves(names, rng)) for _ in range(SPLITS)])
    spread = np.array(
        [_frechet(painted, real, *(_again(x, names, rng) for x in _halves(names, rng))) for _ in range(DRAWS)]
    )
    distance, floor = (float(x) for x in values.mean(0))
    ratio = distance / max(floor, 1e-12)
    ratios = spread[:, 0] / np.maximum(spread[:, 1], 1e-12)
    frechet, frechet_floor, over = (
        Figure(value, (max(low, 0.0), high))  # a Frechet distance is never less
        for value, (low, high) in (
            (distance, interval(spread[:, 0], distance)),
            (floor, interval(spread[:, 1], floor)),
            (ratio, interval(ratios, ratio)),
        )
    )
    everywhere = np.arange(len(real), dtype=np.int64)
    drawn = [np.bincount(_again(everywhere, names, rng), minlength=len(real)) for _ in range(DRAWS)]
    kernels = paired_kernel_distances(painted, real, np.array([np.ones(len(real)), *drawn], np.float64))
    halves = [np.array_split(rng.permutation(len(real)), 2) for _ in range(DRAWS)]
    floors = np.array([kernel_distance(real[first], real[second]) for first, second in halves])
    half = len(_halves(names, rng)[1])
    return Divergence(
        half, frechet, frechet_floor, over,
        Figure(float(kernels[0]), interval(kernels[1:], float(kernels[0]))),
        Figure(float(floors.mean()), interval(floors)),
        frechet_distance(painted, real),
    )  # fmt: skip


def _frechet(painted: Doubles, real: Doubles, first: Indices, second: Indices) -> tuple[float, float]:
    """Frechet distance and its floor, of two sets of places."""
    return frechet_distance(painted[first], real[second]), frechet_distance(real[first], real[second])


def _again(places: Indices, names: NDArray[np.str_], rng: np.random.Generator) -> Indices:
    """As many places of every image as there are, drawn with replacement."""
    images = names[places]
    return np.concatenate([rng.choice(places[images == x], int((images == x).sum())) for x in np.unique(images)])


def _halves(names: NDArray[np.str_], rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Two halves of the places, equal in number up to one, with half of every image in each."""
    order: list[int] = []
    for name in rng.permutation(np.unique(names)):
        order += [int(i) for i in rng.permutation(np.flatnonzero(names == name))]
    return np.array(order[::2], np.int64), np.array(order[1::2], np.int64)

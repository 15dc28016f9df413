"""Memorisation: is painted tissue nearer to the training images than real tissue that training never saw?

Nearest neighbours in an encoder's features, then in pixels: the normalised cross-correlation (Lewis, "Fast normalized
cross-correlation", 1995) of grey levels over all shifts around the nearest training squares, in eight orientations,
since training turns and mirrors its crops.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everslide.model.evaluation.bootstrap import interval, resampled
from everslide.model.evaluation.divergence import Embeds, Figure
from everslide.model.evaluation.image_statistics import tissue_share
from everslide.model.training.prepare import Prepared, plane

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]
SQUARE_PX = 128
REACH_PX = 64
"""How far around a training square a copy is searched for."""
CORE_PX = 96
"""Side of the middle of a painted square, which is searched for."""
CANDIDATES = 3
"""Nearest training squares, in features, that are compared in pixels."""


@dataclass(frozen=True)
class Nearness:
    """Of each of n squares, (n,): distance to its nearest training square in features; correlation, in [-1, 1]: the
    largest in pixels with any of its CANDIDATES nearest."""

    distance: Doubles
    correlation: Doubles


class TrainingSquares:
    """Squares of training images with what surrounds them, and their features."""

    def __init__(self, surroundings: list[Pixels], encoder: Embeds) -> None:
        """surroundings: (S, S, 3), S = SQUARE_PX + 2 REACH_PX, each with a square in its middle."""
        self._around, self._encoder = surroundings, encoder
        middle = slice(REACH_PX, REACH_PX + SQUARE_PX)
        self._features = encoder.embed(np.stack([x[middle, middle] for x in surroundings])).astype(np.float64)

    def __len__(self) -> int:
        return len(self._around)

    def nearness(self, squares: Pixels) -> Nearness:
        """How near squares (n, 128, 128, 3) are to these."""
        features = self._encoder.embed(squares).astype(np.float64)
        squared = np.square(features).sum(1)[:, None] + np.square(self._features).sum(1)[None]
        distance = np.sqrt(np.maximum(squared - 2 * features @ self._features.T, 0.0))
        best = np.argsort(distance, axis=1)[:, :CANDIDATES]
        correlation = [
            max(best_correlation(square, self._around[i]) for i in row)
            for square, row in zip(squares, best, strict=True)
        ]
        return Nearness(distance.min(1), np.array(correlation))


def best_correlation(square: Pixels, around: Pixels) -> float:
    """Largest correlation in [-1, 1] of the middle of a square with any part of `around`, in any of 8 orientations."""
    margin = (square.shape[0] - CORE_PX) // 2
    core = square[margin : margin + CORE_PX, margin : margin + CORE_PX].astype(np.float64).mean(-1)
    area = around.astype(np.float64).mean(-1)
    area -= area.mean()
    fourier, valid = np.fft.rfft2(area), tuple(side - CORE_PX + 1 for side in area.shape)
    count = CORE_PX**2
    spread = np.sqrt(np.maximum(_box_sum(area**2) - _box_sum(area) ** 2 / count, 1e-6))
    core -= core.mean()
    norm = max(float(np.sqrt(np.square(core).sum())), 1e-6)
    best = -1.0
    for turned in (core, core.T):
        for quarter in range(4):
            template = np.fft.rfft2(np.rot90(turned, quarter), area.shape)
            products = np.fft.irfft2(fourier * np.conj(template), area.shape)[: valid[0], : valid[1]]
            best = max(best, float((products / (spread * norm)).max()))
    return min(best, 1.0)


def _box_sum(values: Doubles) -> Doubles:
    """Sums over every square of CORE_PX that lies inside."""
    total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = CORE_PX
    return np.asarray(total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n], np.float64)


def compare_nearness(painted: Nearness, real: Nearness, rng: np.random.Generator) -> dict[str, Figure]:
    """Figures of painted beside real squares of the same places: mean distances, their ratio, mean and largest
    correlations. The largest have no interval: theirs is the value itself.
    """

    def mean(values: Doubles) -> Figure:
        drawn = resampled(lambda i: np.atleast_1d(values[i].mean()), len(values), rng)
        return Figure(float(values.mean()), interval(drawn[:, 0]))

    ratio = resampled(
        lambda i: np.atleast_1d(painted.distance[i].mean() / real.distance[i].mean()), len(painted.distance), rng
    )
    value = float(painted.distance.mean() / real.distance.mean())
    return {
        "distance": mean(painted.distance),
        "distance_real": mean(real.distance),
        "distance_ratio": Figure(value, interval(ratio[:, 0])),
        "correlation": mean(painted.correlation),
        "correlation_real": mean(real.correlation),
        "correlation_largest": _largest(painted.correlation),
        "correlation_largest_real": _largest(real.correlation),
    }


def _largest(values: Doubles) -> Figure:
    return Figure(float(values.max()), (float(values.max()), float(values.max())))


def training_surroundings(folder: Path, images: list[Prepared], count: int, rng: np.random.Generator) -> list[Pixels]:
    """At most `count` squares of tissue of 20x images, evenly from all of them, each with REACH_PX around it."""
    out: list[Pixels] = []
    side = SQUARE_PX + 2 * REACH_PX
    for number, image in enumerate(images):
        pixels = plane(folder, image, 0)
        spots = [
            (y, x)
            for y in range(0, pixels.shape[0] - side + 1, SQUARE_PX)
            for x in range(0, pixels.shape[1] - side + 1, SQUARE_PX)
        ]
        wanted = (count - len(out)) // (len(images) - number)
        for i in rng.permutation(len(spots)):
            y, x = spots[i]
            around = np.array(pixels[y : y + side, x : x + side])
            if wanted and tissue_share(around[::4, ::4]) >= 0.5:
                out.append(around)
                wanted -= 1
    return out

"""Can a section's organ be told from afar? The nearest class mean, trained on real sections.

One case is left out at a time: its real sections are named by the means of the others, and painted sections of its
organ by the same means, so that both are named by equally many cases. Organs of one case cannot be left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everslide.model.stain import optical_density

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]
TISSUE_DENSITY = 0.06
QUANTILES = (0.1, 0.5, 0.9)
MARGIN = 0.15
"""An organ fails where painted sections are named right less often than real ones by more."""


@dataclass(frozen=True)
class OrganScore:
    """Shares of one organ's sections that are named right. cases, sections: real ones; painted_sections: painted.
    painted: None where none was painted."""

    organ: str
    cases: int
    sections: int
    painted_sections: int
    real: float
    painted: float | None

    @property
    def fails(self) -> bool:
        return self.painted is not None and self.real - self.painted > MARGIN


@dataclass(frozen=True)
class Classified:
    """scores: of each organ of two cases or more. left_out: organs of one case. real, painted: means over the organs
    that were painted; by_chance: of naming one at random."""

    scores: list[OrganScore]
    left_out: list[str]
    real: float
    painted: float
    by_chance: float


def colour_statistics(pixels: Pixels) -> Doubles:
    """Quantiles of the optical density of tissue (H, W, 3) per channel, means of their ratios, nine and three."""
    density = optical_density(pixels).reshape(-1, 3).astype(np.float64)
    tissue = density[density.mean(-1) > TISSUE_DENSITY]
    if not len(tissue):
        tissue = density
    hue = (tissue / np.maximum(tissue.sum(-1, keepdims=True), 1e-6)).mean(0)
    return np.concatenate([np.quantile(tissue, QUANTILES, axis=0).ravel(), hue])


def classify(real: Sequence[tuple[str, str, Doubles]], painted: Sequence[tuple[str, Doubles]]) -> Classified:
    """real: organ, case and features (C,) of sections; painted: organ and features.

    Raises ValueError where fewer than two organs have two cases.
    """
    cases: dict[str, list[str]] = {}
    for organ, case, _ in real:
        cases.setdefault(organ, [])
        cases[organ] += [case] if case not in cases[organ] else []
    known = sorted(organ for organ, some in cases.items() if len(some) > 1)
    if len(known) < 2:
        raise ValueError(f"expected 2 or more organs of 2 or more cases, found {len(known)}")
    rows = [row for row in real if row[0] in known]
    scores = []
    for organ in known:
        right_real: list[bool] = []
        right_painted: list[bool] = []
        for case in cases[organ]:
            namer = _Namer([(name, x) for name, other, x in rows if (name, other) != (organ, case)])
            right_real += [namer.name(x) == organ for name, other, x in rows if (name, other) == (organ, case)]
            right_painted += [namer.name(x) == organ for name, x in painted if name == organ]
        number = sum(name == organ for name, _ in painted)
        share = float(np.mean(right_painted)) if number else None
        scores.append(OrganScore(organ, len(cases[organ]), len(right_real), number, float(np.mean(right_real)), share))
    both = [(score.real, score.painted) for score in scores if score.painted is not None]
    means = np.mean(both, axis=0) if both else np.full(2, np.nan)
    left_out = sorted(organ for organ in cases if organ not in known)
    return Classified(scores, left_out, float(means[0]), float(means[1]), 1 / len(known))


class _Namer:
    """Names the organ whose mean is nearest, in features over their deviation among the sections."""

    def __init__(self, rows: Sequence[tuple[str, Doubles]]) -> None:
        features = np.stack([x for _, x in rows])
        self._middle, self._spread = features.mean(0), features.std(0) + 1e-6
        self._organs = sorted({organ for organ, _ in rows})
        self._means = np.stack(
            [self._scaled(np.mean([x for name, x in rows if name == organ], axis=0)) for organ in self._organs]
        )

    def _scaled(self, features: Doubles) -> Doubles:
        return np.asarray((features - self._middle) / self._spread, np.float64)

    def name(self, features: Doubles) -> str:
        return self._organs[int(np.square(self._means - self._scaled(features)).sum(1).argmin())]

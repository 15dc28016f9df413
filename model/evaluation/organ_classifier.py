"""Is a section's organ recognised at low magnification? A nearest-mean classifier, trained on real sections.

Leave-one-case-out: a case's real sections are classified by the means of the other cases, and painted sections of its
organ by the same means, so that both are judged by equally many cases. Organs of one case take no part.
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
"""An organ fails where painted sections are classified right less often than real ones by more than this share."""


@dataclass(frozen=True)
class OrganScore:
    """real, painted: shares of one organ's sections that are classified right; painted is None where none was painted.
    cases, sections: how many real ones; painted_sections: how many painted ones."""

    organ: str
    cases: int
    sections: int
    painted_sections: int
    real: float
    painted: float | None

    @property
    def fails(self) -> bool:
        """Whether painted sections fall behind real ones by more than MARGIN."""
        return self.painted is not None and self.real - self.painted > MARGIN


@dataclass(frozen=True)
class Classified:
    """scores: of each organ of two cases or more. left_out: organs of one case. real, painted: mean shares over the
    organs that were painted, NaN where none was; by_chance: the share of a guess."""

    scores: list[OrganScore]
    left_out: list[str]
    real: float
    painted: float
    by_chance: float


def colour_statistics(pixels: Pixels) -> Doubles:
    """Twelve numbers of a section (H, W, 3): quantiles of its tissue's optical density, (0.1, 0.5, 0.9) for each
    channel, and the mean share of each channel in the density."""
    density = optical_density(pixels).reshape(-1, 3).astype(np.float64)
    tissue = density[density.mean(-1) > TISSUE_DENSITY]
    if not len(tissue):
        tissue = density
    hue = (tissue / np.maximum(tissue.sum(-1, keepdims=True), 1e-6)).mean(0)
    return np.concatenate([np.quantile(tissue, QUANTILES, axis=0).ravel(), hue])


def classify(real: Sequence[tuple[str, str, Doubles]], painted: Sequence[tuple[str, Doubles]]) -> Classified:
    """Classify every section. real: organ, case and features (C,) of each; painted: organ and features of each.

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
            classifier = _NearestMean([(name, x) for name, other, x in rows if (name, other) != (organ, case)])
            right_real += [classifier.organ_of(x) == organ for name, other, x in rows if (name, other) == (organ, case)]
            right_painted += [classifier.organ_of(x) == organ for name, x in painted if name == organ]
        number = sum(name == organ for name, _ in painted)
        share = float(np.mean(right_painted)) if number else None
        scores.append(OrganScore(organ, len(cases[organ]), len(right_real), number, float(np.mean(right_real)), share))
    both = [(score.real, score.painted) for score in scores if score.painted is not None]
    means = np.mean(both, axis=0) if both else np.full(2, np.nan)
    left_out = sorted(organ for organ in cases if organ not in known)
    return Classified(scores, left_out, float(means[0]), float(means[1]), 1 / len(known))


class _NearestMean:
    """Classifies by the organ whose mean is nearest, in features over their deviation among the sections."""

    def __init__(self, rows: Sequence[tuple[str, Doubles]]) -> None:
        features = np.stack([x for _, x in rows])
        self._middle, self._spread = features.mean(0), features.std(0) + 1e-6
        self._organs = sorted({organ for organ, _ in rows})
        self._means = np.stack(
            [self._scaled(np.mean([x for name, x in rows if name == organ], axis=0)) for organ in self._organs]
        )

    def _scaled(self, features: Doubles) -> Doubles:
        return np.asarray((features - self._middle) / self._spread, np.float64)

    def organ_of(self, features: Doubles) -> str:
        return self._organs[int(np.square(self._means - self._scaled(features)).sum(1).argmin())]

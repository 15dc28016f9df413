"""Semantic consistency across scales: does tissue painted below a gland show gland?

Every place, a square of some 256 um, has the mean feature of its painted 20x tissue and that of its real 20x tissue,
under one real parent. Their cosine is set beside the cosine with the other places of the same image: the stain of an
image alone must not pass for consistency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from everslide.model.evaluation.bootstrap import interval, resampled
from everslide.model.evaluation.divergence import Figure
from everslide.model.evaluation.similarity import cosines

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
MIN_PLACES = 4
PLACE_PX = 512
"""Side of a place that is compared, 256 um at 20x."""


@dataclass(frozen=True)
class SemanticConsistency:
    """places: how many. same: mean cosine, in [-1, 1], of painted with real features of the same place; shuffled: with
    those of other places of its image. gain: same less shuffled. top1: share of places whose nearest real place of the
    image is their own; chance: that share for a guess."""

    places: int
    same: Figure
    shuffled: Figure
    gain: Figure
    top1: Figure
    chance: float

    def as_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return asdict(self)


def semantic_consistency(
    painted: Doubles, real: Doubles, images: Sequence[str], rng: np.random.Generator
) -> SemanticConsistency:
    """Compare features (n, C) of n places, painted and real; images: the image of each.

    Places alone in their image are left out. Raises ValueError for fewer than MIN_PLACES others.
    """
    names = np.array(images)
    alike = names[:, None] == names[None, :]
    kept = np.flatnonzero(alike.sum(1) > 1)
    if len(kept) < MIN_PLACES:
        raise ValueError(f"expected {MIN_PLACES} or more places that share an image, found {len(kept)}")
    matrix = np.where(alike, cosines(painted, real), -np.inf)[np.ix_(kept, kept)]
    alike = alike[np.ix_(kept, kept)]
    own = matrix.diagonal().copy()
    others = alike & ~np.eye(len(kept), dtype=bool)
    shuffled = np.where(others, matrix, 0.0).sum(1) / others.sum(1)
    hits = (matrix.argmax(1) == np.arange(len(kept))).astype(np.float64)
    rows = np.stack([own, shuffled, own - shuffled, hits], 1)
    drawn = resampled(lambda i: np.asarray(rows[i].mean(0), np.float64), len(kept), rng)
    figures = [Figure(float(value), interval(column)) for value, column in zip(rows.mean(0), drawn.T, strict=True)]
    return SemanticConsistency(
        len(kept), figures[0], figures[1], figures[2], figures[3], float((1 / alike.sum(1)).mean())
    )

"""Painted fields beside real ones: figures of texture and stain by scale, and squares to be embedded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everslide.model.evaluation.bootstrap import ratio_intervals
from everslide.model.evaluation.image_statistics import (
    FREQUENCY_BANDS,
    MIN_TISSUE,
    PATCH_PX,
    all_patches,
    lattice,
    patch_numbers,
    ratios,
    texture,
    tissue_patches,
    tissue_share,
)
from everslide.model.geometry import magnification

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
Row = dict[str, Any]
MIN_PATCHES = 6
"""Tissue patches on either side, without which a scale is left out."""
SQUARE_PX = 128
"""Side of the squares that are embedded, and of those that are resampled for intervals."""
ENOUGH_SQUARES = 48
"""Where a scale has fewer squares side by side, they overlap, down to a quarter of their side apart."""


@dataclass
class Comparison:
    """Painted and real fields (H, W, 3) by scale, and the plane above each painted field.

    title: for people. same_place: whether the real fields show the very places of the painted ones, one to one. above:
    the parents, (H / 2, W / 2, 3). images: name of the image that each field is of; "" where it is of none.
    """

    title: str
    same_place: bool
    painted: dict[int, list[Pixels]] = field(default_factory=dict)
    real: dict[int, list[Pixels]] = field(default_factory=dict)
    above: dict[int, list[Pixels]] = field(default_factory=dict)
    images: dict[int, list[str]] = field(default_factory=dict)

    def add(self, s: int, painted: Pixels, real: Pixels | None, above: Pixels, image: str = "") -> None:
        """Add one painted field of scale s, the real field of the same place where there is one, and its parent."""
        self.painted.setdefault(s, []).append(painted)
        self.above.setdefault(s, []).append(above)
        self.images.setdefault(s, []).append(image)
        if real is not None:
            self.real.setdefault(s, []).append(real)


@dataclass(frozen=True)
class Squares:
    """Painted and real squares (n, 128, 128, 3) of the same places. images: name of the image of each. apart: how many
    there are where none overlap."""

    painted: Pixels
    real: Pixels
    images: list[str]
    apart: int


def rows_of(compared: Comparison, rng: np.random.Generator | None = None) -> list[Row]:
    """One row of figures per scale, coarse to fine, painted over real; ready for JSON.

    Scales with fewer than MIN_PATCHES tissue patches are left out.
    """
    rng = rng or np.random.default_rng(0)
    rows: list[Row] = []
    for s in sorted(compared.painted, reverse=True):
        (painted, painted_at), (real, real_at) = (_patches(compared, x, s) for x in (compared.painted, compared.real))
        if min(len(painted), len(real)) < MIN_PATCHES:
            continue
        a, b = texture(painted), texture(real)
        numbers = tuple(np.array([patch_numbers(patch) for patch in side]) for side in (painted, real))
        between = ratio_intervals(
            numbers[0], numbers[1], (np.array(painted_at), np.array(real_at)), compared.same_place, rng
        )
        row: Row = {"magnification": magnification(s), "patches": [a.patches, b.patches], **ratios(a, b)}
        row["lattice"] = [lattice(compared.painted[s]), lattice(compared.real[s])]
        row["spectrum_interval"] = between[1 : 1 + len(FREQUENCY_BANDS)]
        row["stain_mean_over_real"] = [x / y for x, y in zip(a.stain_mean, b.stain_mean, strict=True)]
        row["stain_mean_over_real_interval"] = between[1 + len(FREQUENCY_BANDS) : 3 + len(FREQUENCY_BANDS)]
        over = [p for pixels in compared.above[s] for p in tissue_patches(pixels, PATCH_PX // 2)]
        if over:
            above = texture(over)
            row["stain_mean_over_parent"] = [x / y for x, y in zip(a.stain_mean, above.stain_mean, strict=True)]
        rows.append(row)
    return rows


def _patches(compared: Comparison, which: dict[int, list[Pixels]], s: int) -> tuple[list[Pixels], list[int]]:
    """Tissue patches of a scale, and the number of the square that each lies in; where both fields show the same
    place, the real one decides what is tissue."""
    out: list[Pixels] = []
    squares: list[int] = []
    fields = which.get(s, [])
    for number, pixels in enumerate(fields):
        truths = all_patches(compared.real[s][number] if compared.same_place else pixels)
        columns = pixels.shape[1] // PATCH_PX
        for i, (patch, truth) in enumerate(zip(all_patches(pixels), truths, strict=True)):
            if tissue_share(truth) >= MIN_TISSUE:
                out.append(patch)
                row, column = i // columns * PATCH_PX // SQUARE_PX, i % columns * PATCH_PX // SQUARE_PX
                squares.append((number * 4096 + row) * 4096 + column)
    return out, squares


def squares_of(compared: Comparison, s: int) -> Squares:
    """Squares of scale s that are mostly tissue in the real fields, overlapping where there are few."""
    assert compared.same_place
    apart = -1
    for stride in (SQUARE_PX, SQUARE_PX // 2, SQUARE_PX // 4):
        pairs = [
            (painted[place], real[place], image)
            for painted, real, image in zip(compared.painted[s], compared.real[s], compared.images[s], strict=True)
            for place in square_places(real, stride)
        ]
        apart = len(pairs) if apart < 0 else apart
        if len(pairs) >= ENOUGH_SQUARES:
            break
    empty = np.empty((0, SQUARE_PX, SQUARE_PX, 3), np.uint8)
    painted, real = (np.stack([pair[i] for pair in pairs]) if pairs else empty for i in (0, 1))
    return Squares(painted, real, [pair[2] for pair in pairs], apart)


def square_places(real: Pixels, stride: int) -> list[tuple[slice, slice]]:
    """Slices (rows, columns) of the squares of a field (H, W, 3) that are mostly tissue, `stride` pixels apart."""
    high, wide = real.shape[:2]
    places = [
        (slice(y, y + SQUARE_PX), slice(x, x + SQUARE_PX))
        for y in range(0, high - SQUARE_PX + 1, stride)
        for x in range(0, wide - SQUARE_PX + 1, stride)
    ]
    return [place for place in places if tissue_share(real[place]) >= MIN_TISSUE]

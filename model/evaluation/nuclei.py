"""Nuclei at 20x by a classical segmentation: how many, how large, how dark. To compare images by, not to diagnose.

Hematoxylin density (`everslide.model.stain`), smoothed; a threshold by Otsu, "A threshold selection method from
gray-level histograms" (1979); holes filled; clumps parted among the peaks of the distance to their edge.
It counts what is dark blue and as large as a nucleus: pale nuclei are missed, crowded ones may be counted as one.

scipy.ndimage alone, not scikit-image: its Otsu gives the same bin, but the bin's middle for a threshold where this one
takes the upper edge, and its watershed other borders between touching nuclei. Published figures would no longer compare
with new ones, and 32 MB more be installed, for nothing that is counted better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.evaluation.bootstrap import interval, resampled
from everslide.model.evaluation.divergence import Figure
from everslide.model.evaluation.image_statistics import tissue_share
from everslide.model.geometry import BASE_MPP
from everslide.model.stain import hematoxylin_eosin

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Labels = NDArray[np.int32]
SMOOTH_PX = 1.5
"""Deviation of the Gaussian over the density, 0.75 um: less than the chromatin of one nucleus."""
AREA_UM2 = (10.0, 300.0)
"""What counts as a nucleus: from a small lymphocyte cut at its rim to a large tumour nucleus."""
CORE_PX = 1.6
"""A nucleus of its own reaches at least so far, 0.8 um, from its edge to its middle."""
LENIENCE = 0.75
"""Otsu's threshold times this: pale nuclei outnumber dark ones, and Otsu stands halfway up to the darkest."""
MIN_DENSITY = 0.06
"""No threshold lies below: on a field without nuclei Otsu would part the background."""
CELL_PX = 256
"""Side of the squares that are resampled for intervals, 128 um."""


@dataclass(frozen=True)
class Nuclei:
    """Nuclei of a field: middle (n, 2) as y, x in pixels, area (n,) in um2, mean hematoxylin density (n,)."""

    middle: NDArray[np.float64]
    area_um2: NDArray[np.float64]
    density: NDArray[np.float64]


def hematoxylin(pixels: Pixels) -> Floats:
    """Smoothed density of hematoxylin (H, W) of (H, W, 3), never below zero."""
    density = np.maximum(hematoxylin_eosin(pixels)[..., 0], 0.0)
    return np.asarray(ndimage.gaussian_filter(density, SMOOTH_PX), np.float32)


def otsu(values: Floats) -> float:
    """The threshold that separates values into two classes of the largest between-class variance: the upper edge of the
    best of 256 bins."""
    counts, edges = np.histogram(values, 256)
    middle = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), np.cumsum(counts * middle)
    weight = below * (below[-1] - below)
    gap = np.zeros(len(middle))
    inner = weight > 0
    above = (total[-1] - total[inner]) / (below[-1] - below[inner])
    gap[inner] = weight[inner] * np.square(total[inner] / below[inner] - above)
    return float(edges[1:][np.argmax(gap)])


def nuclear_threshold(pixels: Pixels) -> float:
    """Hematoxylin density above which a pixel of a 20x field (H, W, 3) is nuclear."""
    return max(LENIENCE * otsu(hematoxylin(pixels)), MIN_DENSITY)


def label_nuclei(density: Floats, threshold: float) -> Labels:
    """(H, W) int32: the number of the nucleus, from 1, at each of its pixels; 0 between nuclei. density: see
    `hematoxylin`. Touching nuclei are separated by the nearest peak of the distance to the edge."""
    mask = ndimage.binary_fill_holes(ndimage.binary_opening(density > threshold, iterations=1))
    depth = ndimage.gaussian_filter(np.asarray(ndimage.distance_transform_edt(mask), np.float32), 1.0)
    peaks = (depth == ndimage.maximum_filter(depth, size=9)) & (depth >= CORE_PX)
    markers = np.asarray(ndimage.label(peaks, np.ones((3, 3)))[0], np.int32)
    if not markers.max():
        return np.zeros(density.shape, np.int32)
    clump = np.asarray(ndimage.label(mask)[0], np.int32)
    nearest = ndimage.distance_transform_edt(markers == 0, return_distances=False, return_indices=True)
    row, column = np.asarray(nearest)
    first = np.asarray(ndimage.maximum(markers, clump, np.arange(int(clump.max()) + 1)), np.int32)
    labels = np.where(clump[row, column] == clump, markers[row, column], first[clump])
    labels = np.where(mask, labels, 0).astype(np.int32)
    area = np.bincount(labels.ravel()) * BASE_MPP**2
    keep = (area >= AREA_UM2[0]) & (area <= AREA_UM2[1])
    keep[0] = False
    numbers = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return np.asarray(numbers[labels], np.int32)


def find_nuclei(pixels: Pixels, threshold: float | None = None) -> Nuclei:
    """Nuclei of a 20x field (H, W, 3). threshold: of another field that this one is compared with; its own if None."""
    density = hematoxylin(pixels)
    labels = label_nuclei(density, nuclear_threshold(pixels) if threshold is None else threshold)
    numbers = np.arange(1, int(labels.max()) + 1)
    if not len(numbers):
        return Nuclei(np.empty((0, 2)), np.empty(0), np.empty(0))
    return Nuclei(
        np.asarray(ndimage.center_of_mass(labels > 0, labels, numbers), np.float64),
        np.asarray(np.bincount(labels.ravel())[1:] * BASE_MPP**2, np.float64),
        np.asarray(ndimage.mean(density, labels, numbers), np.float64),
    )


def compare_nuclei(painted: list[Pixels], real: list[Pixels], rng: np.random.Generator) -> dict[str, Figure]:
    """Painted against real 20x fields of the same places, under the threshold of the real one of each.

    count_per_mm2: of tissue, as the real field has it; area_um2, density: mean of a nucleus. Each also with `_real`,
    of the real fields, and `_ratio`, painted over real. Raises ValueError where a side shows no nucleus at all.
    """
    cells = []
    for ours, truth in zip(painted, real, strict=True):
        threshold = nuclear_threshold(truth)
        tissue = _by_cell(truth)
        sides = [_sums(find_nuclei(pixels, threshold), truth.shape) for pixels in (ours, truth)]
        cells.append(np.concatenate([tissue[:, None], *sides], 1))
    table = np.concatenate(cells)  # tissue in mm2; count, area, density of painted; the same of real
    if not (table[:, 1].any() and table[:, 4].any()):
        raise ValueError("expected nuclei on both sides, found none on one")

    def numbers(drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        tissue, *sums = table[drawn].sum(0)
        mine, theirs = np.array(sums[:3]), np.array(sums[3:])
        means = [np.array([x[0] / max(tissue, 1e-9), *(x[1:] / max(x[0], 1.0))]) for x in (mine, theirs)]
        return np.concatenate([*means, means[0] / np.maximum(means[1], 1e-9)])

    names = [name + kind for kind in ("", "_real", "_ratio") for name in ("count_per_mm2", "area_um2", "density")]
    drawn = resampled(numbers, len(table), rng)
    found = numbers(np.arange(len(table)))
    return {name: Figure(float(found[i]), interval(drawn[:, i])) for i, name in enumerate(names)}


def _by_cell(pixels: Pixels) -> NDArray[np.float64]:
    """Tissue of every cell of a field, in mm2, row by row."""
    high, wide = pixels.shape[:2]
    cells = [pixels[y : y + CELL_PX, x : x + CELL_PX] for y in range(0, high, CELL_PX) for x in range(0, wide, CELL_PX)]
    return np.array([tissue_share(x) * x.shape[0] * x.shape[1] * (BASE_MPP / 1000) ** 2 for x in cells])


def _sums(nuclei: Nuclei, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Count, summed area and summed density (cells, 3) of the nuclei of every cell."""
    rows, columns = (-(-side // CELL_PX) for side in shape[:2])
    at = (nuclei.middle // CELL_PX).astype(np.int64)
    out = np.zeros((rows * columns, 3))
    values = np.stack([np.ones(len(nuclei.area_um2)), nuclei.area_um2, nuclei.density], 1)
    np.add.at(out, at[:, 0] * columns + at[:, 1], values)
    return out

"""How alike images are: PSNR and SSIM of pairs, Frechet distance and nearest neighbours of sets of embeddings.

A few lines each on numpy and scipy, in place of two libraries: scikit-image (32 MB) gives the same SSIM
(`structural_similarity(gaussian_weights=True, use_sample_covariance=False, data_range=255, full=True)`, mean of its
map); torchmetrics' Frechet distance works on images and a network, not on embeddings that are there already.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]
_ROWS = 1024
"""Rows of a distance matrix that are held at once."""


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal to noise ratio in dB of two images of one size; infinite where they are equal."""
    error = np.square(a.astype(np.float64) - b).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(a: Pixels, b: Pixels) -> float:
    """Structural similarity (Wang et al., 2004, Eq. 13): Gaussian window of sigma 1.5 px, mean over colours."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def mean(values: Doubles) -> Doubles:
        return np.asarray(gaussian_filter(values, (1.5, 1.5, 0), truncate=3.5), np.float64)

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y, covariance = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2, mean(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def frechet_distance(a: Doubles, b: Doubles) -> float:
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of embeddings (n, C) (Heusel et al., 2017, Eq. 6).

    Raises ValueError for fewer than two embeddings. It is biased upwards while n is not far above C.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"expected at least 2 images on either side, found {len(a)} and {len(b)}")
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (
        vectors * np.sqrt(np.maximum(values, 0))
    ) @ vectors.T  # tr (C_a C_b)^(1/2) = tr (R C_b R)^(1/2), R^2 = C_a
    root = np.sqrt(np.maximum(np.linalg.eigvalsh(root_a @ cov_b @ root_a), 0)).sum()
    distance = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root
    return float(max(distance, 0.0))


def cosines(a: Doubles, b: Doubles) -> Doubles:
    """Cosine (n, m) of every embedding of a (n, C) with every one of b (m, C)."""
    unit_a, unit_b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
    return np.asarray(unit_a @ unit_b.T, np.float64)


@dataclass(frozen=True)
class Memorisation:
    """share: of painted embeddings that are nearer to a real one than `limit`, the 1 % quantile of distances of real
    ones to their nearest other. nearest, distance: (n,), row of the real one nearest to each painted one, and its
    distance.

    The share is about 0.01 or less where nothing is copied; near 1 where training images are repeated.
    """

    share: float
    limit: float
    nearest: NDArray[np.int64]
    distance: Doubles


def memorisation(painted: Doubles, real: Doubles) -> Memorisation:
    """Copies among painted embeddings (n, C) of real ones (m, C). Raises ValueError for fewer than two real ones."""
    if len(real) < 2:
        raise ValueError(f"expected at least 2 real embeddings, found {len(real)}")
    limit = float(np.quantile(nearest_neighbours(real, real, others=True)[1], 0.01))
    nearest, distance = nearest_neighbours(painted, real)
    return Memorisation(float((distance < limit).mean()), limit, nearest, distance)


def nearest_neighbours(a: Doubles, b: Doubles, others: bool = False) -> tuple[NDArray[np.int64], Doubles]:
    """For each row of a (n, C) the index of the nearest row of b (m, C), and its distance, (n,) each.

    others: leave out the row of the same index, where a and b are one set.

    Found by products of matrices, a thousand rows at a time: (n, m, C) numbers never exist.
    """
    centre = b.mean(0)
    x, y = (a - centre).astype(np.float32), (b - centre).astype(np.float32)
    squares, nearest = np.square(y).sum(1), np.empty(len(a), np.int64)
    for start in range(0, len(a), _ROWS):
        part = x[start : start + _ROWS]
        score = squares - 2 * part @ y.T  # the distance's square, less that of the row itself
        if others:
            own = np.arange(start, start + len(part))
            score[own - start, own] = np.inf
        nearest[start : start + _ROWS] = score.argmin(1)
    distance = np.concatenate(
        [np.linalg.norm(a[i : i + _ROWS] - b[nearest[i : i + _ROWS]], axis=1) for i in range(0, len(a), _ROWS)]
    )
    return nearest, distance

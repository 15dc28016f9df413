"""Rows of figures and squares of painted beside real fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.evaluation.comparison import Comparison, rows_of, squares_of
from everslide.model.pyramid.wavelet import box_mean
from tests.model.pictures import section, tissue


def compared(painted: NDArray[np.uint8], real: NDArray[np.uint8]) -> Comparison:
    out = Comparison("drawn", same_place=True)
    out.add(0, painted, real, box_mean(painted), "a")
    return out


def test_rows_of_perfect_and_of_blurred_paintings() -> None:
    real = tissue(256, 256)
    (row,) = rows_of(compared(real, real))
    assert row["magnification"] == 20 and row["patches"] == [16, 16]
    assert row["laplacian"] == 1 and row["spectrum"] == [1, 1, 1, 1] and row["stain_mean_over_real"] == [1, 1]
    flat = ndimage.gaussian_filter(real, (0.8, 0.8, 0))
    (row,) = rows_of(compared(flat, real))
    assert row["laplacian"] < 0.8 and row["spectrum"][0] < 0.8


def test_scales_with_little_tissue_are_left_out() -> None:
    real = tissue(128, 128)
    assert rows_of(compared(real, real)) == []


def test_intervals_hold_the_ratios() -> None:
    real = tissue(512, 512)
    (row,) = rows_of(compared(tissue(512, 512, 1), real))
    for ratio, (low, high) in zip(row["spectrum"], row["spectrum_interval"], strict=True):
        assert low < ratio < high and low > 0.5 and high < 1.6
    for ratio, (low, high) in zip(row["stain_mean_over_real"], row["stain_mean_over_real_interval"], strict=True):
        assert low < ratio < high


def test_squares_are_tissue_of_the_same_places() -> None:
    real = section(512, 200)
    found = squares_of(compared(np.ascontiguousarray(real[:, ::-1]), real), 0)
    assert found.painted.shape == found.real.shape == (len(found.images), 128, 128, 3)
    assert 4 <= found.apart < 16 and len(found.images) > 3 * found.apart, "few squares overlap"
    assert any(np.array_equal(square, real[128:256, 128:256]) for square in found.real)
    assert set(found.images) == {"a"}


def test_many_squares_lie_side_by_side() -> None:
    real = tissue(1024, 1024)
    found = squares_of(compared(real, real), 0)
    assert len(found.images) == found.apart == 64


def test_glass_has_no_squares() -> None:
    glass = np.full((256, 256, 3), 243, np.uint8)
    found = squares_of(compared(glass, glass), 0)
    assert found.painted.shape == (0, 128, 128, 3) and found.images == [] and found.apart == 0

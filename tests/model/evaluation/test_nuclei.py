"""Drawn discs of hematoxylin are counted and measured as drawn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.evaluation.nuclei import compare_nuclei, find_nuclei, nuclear_threshold, otsu
from everslide.model.stain import STAIN_VECTORS, from_optical_density

Pixels = NDArray[np.uint8]
SIDE = 512


def grid(apart: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(apart // 2, SIDE, apart) for x in range(apart // 2, SIDE, apart)]


def discs(middles: list[tuple[int, int]], radius: float, density: float = 0.6) -> Pixels:
    """Pink ground with blue discs (SIDE, SIDE, 3)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    blue = np.full((SIDE, SIDE), 0.03)
    for row, column in middles:
        blue[np.hypot(y - row, x - column) < radius] = density
    stains = blue[..., None] * STAIN_VECTORS[0] + 0.3 * STAIN_VECTORS[1]
    return from_optical_density(stains.astype(np.float32))


def test_discs_are_counted_and_measured() -> None:
    middles = grid(64)
    found = find_nuclei(discs(middles, 8))
    assert len(found.area_um2) == len(middles) == 64
    assert found.area_um2.mean() == pytest.approx(np.pi * (8 * 0.5) ** 2, rel=0.25)
    assert 0.4 < found.density.mean() < 0.62
    np.testing.assert_allclose(sorted(map(tuple, found.middle.round().astype(int))), middles, atol=1)


def test_touching_discs_are_parted() -> None:
    middles = [(y, x + shift) for y, x in grid(128) for shift in (-8, 8)]
    assert len(find_nuclei(discs(middles, 9)).area_um2) == len(middles) == 32


def test_specks_and_large_stains_are_no_nuclei() -> None:
    assert len(find_nuclei(discs(grid(128), 1.5)).area_um2) == 0
    assert len(find_nuclei(discs([(256, 256)], 60)).area_um2) == 0


def test_a_field_without_nuclei() -> None:
    bare = discs([], 0)
    assert len(find_nuclei(bare).area_um2) == 0
    assert nuclear_threshold(bare) == 0.06
    with pytest.raises(ValueError, match="expected nuclei on both sides"):
        compare_nuclei([bare], [discs(grid(64), 8)], np.random.default_rng(0))


def test_otsu_parts_two_classes() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(1, 0.2, 900), rng.normal(5, 0.2, 100)]).astype(np.float32)
    assert 1.5 < otsu(values) < 4.5


def test_half_as_many_nuclei_of_twice_the_area() -> None:
    real, painted = discs(grid(32), 6), discs(grid(32)[::2], 6 * np.sqrt(2))
    found = compare_nuclei([painted], [real], np.random.default_rng(0))
    assert found["count_per_mm2_real"].value == pytest.approx(256 / 0.256**2, rel=0.01)
    assert found["count_per_mm2_ratio"].value == pytest.approx(0.5)
    assert found["area_um2_ratio"].value == pytest.approx(2, rel=0.15)
    low, high = found["count_per_mm2_ratio"].interval
    assert low == pytest.approx(0.5) and high == pytest.approx(0.5), "every cell of 256 px lacks one half"


def test_pale_nuclei_are_measured_by_the_yardstick_of_the_real_field() -> None:
    real, pale = discs(grid(64), 8), discs(grid(64), 8, density=0.15)
    assert len(find_nuclei(pale).area_um2) == 64, "its own threshold finds them"
    with pytest.raises(ValueError, match="none on one"):
        compare_nuclei([pale], [real], np.random.default_rng(0))
    darker = discs(grid(64), 8, density=0.4)
    found = compare_nuclei([darker], [real], np.random.default_rng(0))
    assert 0.62 < found["density_ratio"].value < 0.8, "two thirds, but for the rims that no longer count"

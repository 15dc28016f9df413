"""Optical density, stains and tissue masks."""

from __future__ import annotations

import numpy as np

from everslide.model.stain import (
    STAIN_VECTORS,
    from_optical_density,
    hematoxylin_eosin,
    jitter_stain,
    optical_density,
    tissue_mask,
)
from tests.model.pictures import section, tissue

ALL = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)


def test_known_densities() -> None:
    assert optical_density(np.array([245, 255], np.uint8)).tolist() == [0, 0]
    np.testing.assert_allclose(
        optical_density(np.array([0, 1, 49], np.uint8)), [2.389166, 2.389166, 0.69897], atol=1e-5
    )
    assert from_optical_density(np.array([0, 1, 0.69897, 9], np.float32)).tolist() == [245, 25, 49, 0]


def test_density_and_back() -> None:
    expected = ALL.clip(1, 245)
    np.testing.assert_array_equal(from_optical_density(optical_density(ALL)), expected)


def test_stain_vectors_have_unit_length() -> None:
    np.testing.assert_allclose(np.square(STAIN_VECTORS).sum(1), 1, atol=5e-3)


def test_stains_are_taken_apart() -> None:
    mixed = np.array([[0.8, 0.0], [0.0, 0.5], [0.4, 0.3]], np.float32)
    pixels = from_optical_density(mixed @ STAIN_VECTORS[:2])
    np.testing.assert_allclose(hematoxylin_eosin(pixels), mixed, atol=0.02)
    np.testing.assert_allclose(hematoxylin_eosin(np.full((2, 3, 3), 250, np.uint8)), np.zeros((2, 3, 2)), atol=1e-6)


def test_jitter_of_nothing_changes_nothing() -> None:
    pixels = tissue(40, 40)
    same = jitter_stain(pixels, np.ones(3, np.float32), np.zeros(3, np.float32))
    assert int(np.abs(same.astype(int) - pixels.clip(1, 245).astype(int)).max()) <= 1


def test_jitter_scales_a_stain_and_leaves_glass() -> None:
    pixels = tissue(40, 40)
    stronger = jitter_stain(pixels, np.array([1.2, 1.0, 1.0], np.float32), np.zeros(3, np.float32))
    before, after = hematoxylin_eosin(pixels).mean((0, 1)), hematoxylin_eosin(stronger).mean((0, 1))
    np.testing.assert_allclose(after / before, [1.2, 1.0], atol=0.03)
    glass = np.full((4, 4, 3), 245, np.uint8)
    np.testing.assert_array_equal(jitter_stain(glass, np.full(3, 1.5, np.float32), np.full(3, 0.1, np.float32)), glass)


def test_tissue_mask_finds_the_section() -> None:
    mask = tissue_mask(section(200, 60))
    y, x = np.mgrid[:200, :200] - 99.5
    radius = np.hypot(x, y)
    assert mask.shape == (200, 200) and mask.dtype == bool
    assert mask[radius < 54].all() and not mask[radius > 66].any()
    assert not tissue_mask(np.full((50, 50, 3), 240, np.uint8)).any()
    assert tissue_mask(tissue(64, 64)).mean() > 0.95

"""Bands as channels of the network, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everslide.model.mini.bands import (
    COLOURS,
    from_channels,
    parent_input,
    rotate_colours,
    unrotate_colours,
)
from everslide.model.pyramid.wavelet import merge, smooth_bands


def test_the_rotation_is_orthonormal() -> None:
    np.testing.assert_allclose(COLOURS @ COLOURS.T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1, 1, 1), (1.7320508, 0, 0)),
        ((1, 0, -1), (0, 1.4142135, 0)),
        ((1, -2, 1), (0, 0, 2.4494898)),
        ((255, 0, 0), (147.22432, 180.31223, 104.10332)),
    ],
)
def test_known_colours(rgb: tuple[int, int, int], expected: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(rotate_colours(np.array(rgb, np.float32)), expected, atol=1e-4)


def test_channels_are_band_major_and_divided_by_their_deviation() -> None:
    channels = np.zeros((9, 4, 6), np.float32)
    channels[3, 2, 5] = 2 * 3**0.5
    deviation = np.full((3, 3), 2, np.float32)
    deviation[1, 0] = 5
    bands = unrotate_colours(from_channels(channels, deviation))
    assert bands.shape == (4, 6, 3, 3) and bands.dtype == np.float32
    expected = np.zeros((4, 6, 3, 3), np.float32)
    expected[2, 5, 1] = 10  # grey, in the band v
    np.testing.assert_allclose(bands, expected, atol=1e-5)


def test_colours_and_back() -> None:
    bands = np.random.default_rng(1).normal(0, 20, (8, 6, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(unrotate_colours(rotate_colours(bands)), bands, atol=1e-4)


def test_parent_input() -> None:
    parent = np.array([[[0, 51, 255]]], np.uint8)
    given = parent_input(parent)
    assert given.shape == (3, 1, 1) and given.dtype == torch.float32
    np.testing.assert_allclose(given.ravel().numpy(), [-1, -0.6, 1], atol=1e-6)


def test_smooth_bands_of_a_slope() -> None:
    """Eight grey levels a pixel to the right, sixteen downwards: the halves of a pixel lie 2 and 4 off its mean."""
    y, x = np.mgrid[:6, :8]
    parent = (8 * x + 16 * y)[..., None].repeat(3, axis=2).astype(np.float32)
    bands = smooth_bands(parent)
    assert bands.shape == (6, 8, 3, 3) and bands.dtype == np.float32
    np.testing.assert_array_equal(bands[1:-1, 1:-1], np.broadcast_to(np.array([[-2], [-4], [0]]), (4, 6, 3, 3)))
    child = merge(parent, bands)[2:-2, 2:-2, 0]
    np.testing.assert_array_equal(np.diff(child, axis=1), 4)
    np.testing.assert_array_equal(np.diff(child, axis=0), 8)
    assert not smooth_bands(np.full((4, 4, 3), 77, np.float32)).any()

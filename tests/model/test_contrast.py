"""The regression that keeps the contrast of painted detail steady."""

from __future__ import annotations

import numpy as np

from everslide.model.bands import rotate_colours, smooth_bands
from everslide.model.contrast import DEPTHS, FEATURES, GAIN_RANGE, ContrastModel, features, fit, local_power


def constant(power: float) -> ContrastModel:
    """Predicts the same power everywhere."""
    coefficients = np.zeros((12, 3, FEATURES), np.float32)
    coefficients[..., 0] = np.log(power)
    return ContrastModel(coefficients)


def test_painted_detail_gets_the_predicted_power() -> None:
    rng = np.random.default_rng(2)
    parent = np.full((96, 96, 3), 160, np.float32)
    smooth = rotate_colours(smooth_bands(parent))
    for deviation in (5.0, 8.0, 14.0):
        painted = rng.normal(0, deviation, (96, 96, 3, 3)).astype(np.float32)
        scaled = painted * constant(64.0).gains(0, parent, smooth, painted)
        assert abs(float(local_power(smooth + scaled)[30:60, 30:60].mean()) / 64 - 1) < 0.08


def test_farther_below_a_picture_more_may_be_asked_for() -> None:
    """Right below it nothing is; four octaves below as much as at any depth beyond."""
    rng = np.random.default_rng(2)
    parent = np.full((64, 64, 3), 160, np.float32)
    smooth = rotate_colours(smooth_bands(parent))
    painted = rng.normal(0, 8.0, (64, 64, 3, 3)).astype(np.float32)
    below = np.zeros((12, DEPTHS), np.float32)
    below[5] = np.log([1.2, 1.5, 0.6])
    plain, model = constant(64.0), ContrastModel(constant(64.0).coefficients, below)
    base = plain.gains(5, parent, smooth, painted)
    for octaves, more in ((1, 1.0), (2, 1.2), (3, 1.5), (4, 0.6), (7, 0.6)):
        gains = model.gains(5, parent, smooth, painted, octaves)
        np.testing.assert_allclose(gains[..., 0], base[..., 0] * np.sqrt(more), rtol=1e-5)
        np.testing.assert_array_equal(gains[..., 1:], base[..., 1:])


def test_below_the_finest_scale_contrast_is_the_networks_own() -> None:
    parent, painted = np.full((64, 64, 3), 160, np.float32), np.ones((64, 64, 3, 3), np.float32)
    model = ContrastModel(constant(64.0).coefficients, finest=4)
    assert (model.gains(3, parent, 0 * painted, painted) == 1).all()
    assert (model.gains(4, parent, 0 * painted, painted) > 1).any()


def test_gains_stay_in_range() -> None:
    parent = np.full((64, 64, 3), 160, np.float32)
    smooth = rotate_colours(smooth_bands(parent))
    silent, loud = np.zeros((64, 64, 3, 3), np.float32), np.full((64, 64, 3, 3), 200, np.float32)
    assert float(constant(1e4).gains(1, parent, smooth, silent).max()) <= np.float32(GAIN_RANGE[1])
    assert float(constant(1e-4).gains(1, parent, smooth, loud).min()) >= np.float32(GAIN_RANGE[0])


def test_features_know_glass_from_texture() -> None:
    rng = np.random.default_rng(3)
    glass = np.full((48, 48, 3), 243, np.float32)
    texture = (glass - 90 + rng.normal(0, 20, (48, 48, 1))).astype(np.float32)
    a, b = features(glass)[24, 24], features(texture)[24, 24]
    assert a.shape == (FEATURES,) and a[0] == b[0] == 1
    assert b[1] > a[1] + 3 and b[2] > a[2] + 2 and b[3] > a[3] + 0.5


def test_fit_finds_a_known_law_and_shrinks_its_slope() -> None:
    rng = np.random.default_rng(4)
    rows = np.concatenate([np.ones((4000, 1)), rng.normal(0, 1, (4000, 4))], axis=1).astype(np.float32)
    law = np.array([2.0, 0.8, 0.1, 0.3, -0.2])
    power = np.exp(rows @ law)[:, None].repeat(3, axis=1).astype(np.float32)
    whole, shrunk = fit(rows, power, 1.0), fit(rows, power, 0.5)
    np.testing.assert_allclose(whole[1], law, atol=0.05)
    np.testing.assert_allclose(shrunk[1, 1:3], whole[1, 1:3] / 2, atol=1e-5)
    assert abs(float(np.exp(rows @ shrunk[0]).mean() / power[:, 0].mean()) - 1) < 0.01, "brightness: right on average"

"""Measures see blur, noise and other stain, and nothing where there is nothing to see."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.evaluation.image_statistics import (
    FREQUENCY_BANDS,
    Texture,
    all_patches,
    lattice,
    octave_power,
    ratios,
    texture,
    tissue_patches,
    tissue_share,
)
from everslide.model.stain import jitter_stain
from tests.model.pictures import GLASS, section, tissue

Pixels = NDArray[np.uint8]


def measured(pixels: Pixels) -> Texture:
    return texture(tissue_patches(pixels))


@pytest.fixture(scope="module")
def real() -> Pixels:
    return tissue(384, 384)


def number(value: float | list[float]) -> float:
    assert isinstance(value, float)
    return value


def numbers(value: float | list[float]) -> list[float]:
    assert isinstance(value, list)
    return value


def test_the_same_tissue_has_the_ratio_one(real: Pixels) -> None:
    found = ratios(measured(tissue(384, 384, seed=1)), measured(real))
    assert number(found["laplacian"]) == pytest.approx(1, abs=0.1)
    assert numbers(found["spectrum"]) == pytest.approx([1] * 4, abs=0.2)
    assert numbers(found["stain_deviation"]) == pytest.approx([1, 1], abs=0.1)
    assert ratios(measured(real), measured(real))["spectrum"] == [1, 1, 1, 1]


def test_blur_is_seen(real: Pixels) -> None:
    blurred = ndimage.gaussian_filter(real, (0.7, 0.7, 0))
    found = ratios(measured(blurred), measured(real))
    assert number(found["laplacian"]) < 0.6
    spectrum = numbers(found["spectrum"])
    assert spectrum[0] < 0.5 and spectrum[0] < spectrum[1] < spectrum[2]


def test_noise_is_seen(real: Pixels) -> None:
    noise = np.random.default_rng(1).normal(0, 12, real.shape)
    noisy = (real + noise).clip(0, 255).astype(np.uint8)
    found = ratios(measured(noisy), measured(real))
    assert number(found["laplacian"]) > 1.3
    assert numbers(found["spectrum"])[0] > 1.3 > numbers(found["spectrum"])[3]


@pytest.mark.parametrize("period", [2, 4, 8, 16])
def test_a_lattice_fainter_than_the_grain_is_seen(period: int) -> None:
    grain = np.random.default_rng(2).normal(150, 12, (384, 384, 3))
    latticed = grain.copy()
    latticed[:, ::period] -= 3
    clean, found = (lattice([x.clip(0, 255).astype(np.uint8)]) for x in (grain, latticed))
    assert clean < 0.4 and found > 2 * clean


def test_other_stain_is_seen(real: Pixels) -> None:
    gains = np.array([1.4, 1.0, 1.0], np.float32)
    found = ratios(measured(jitter_stain(real, gains, np.zeros(3, np.float32))), measured(real))
    assert numbers(found["stain_deviation"])[0] == pytest.approx(1.4, abs=0.1)
    assert numbers(found["stain_deviation"])[1] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("period", "octave"), [(3, 0), (6, 1), (12, 2), (24, 3)])
def test_a_wave_lies_in_its_octave(period: int, octave: int) -> None:
    wave = np.broadcast_to(np.sin(2 * np.pi * np.arange(96) / period) * 40, (96, 96))
    power = octave_power(wave)
    assert len(power) == len(FREQUENCY_BANDS) == 4
    assert int(np.argmax(power)) == octave
    others = np.delete(power, octave)
    assert float(others.max()) < 0.1 * float(power[octave])


def test_white_noise_is_flat() -> None:
    rng = np.random.default_rng(2)
    power = np.mean([octave_power(rng.normal(0, 10, (64, 64))) for _ in range(30)], axis=0)
    np.testing.assert_allclose(power / power[0], 1, atol=0.12)


def test_the_laplacian_is_written_out() -> None:
    patch = np.full((3, 3, 3), 100, np.uint8)
    patch[1, 1] = 110
    assert texture([np.pad(patch, ((0, 61), (0, 61), (0, 0)), "edge")]).laplacian == pytest.approx(
        (40**2 + 2 * 10**2) / 62**2
    )


def test_patches() -> None:
    pixels = section(200, 92)
    assert len(all_patches(pixels)) == 9 and len(all_patches(pixels, 50)) == 16
    np.testing.assert_array_equal(all_patches(pixels, 50)[6], pixels[50:100, 100:150])
    assert len(tissue_patches(pixels, 50)) == 12, "all but the corners"
    assert tissue_patches(np.broadcast_to(np.array(GLASS, np.uint8), (128, 128, 3))) == []


def test_tissue_share() -> None:
    assert tissue_share(tissue(64, 64)) > 0.95
    assert tissue_share(np.full((8, 8, 3), 240, np.uint8)) == 0
    half = np.full((8, 8, 3), 240, np.uint8)
    half[:4] = 120
    assert tissue_share(half) == 0.5


def test_no_patch_is_no_texture() -> None:
    with pytest.raises(ValueError, match="at least one tissue patch"):
        texture([])

"""Measures of painted against real tissue: sharpness, power spectrum, stain. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everslide.model.stain import hematoxylin_eosin, optical_density

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]
PATCH_PX = 64
"""Side of the patches that statistics are taken of."""
MIN_TISSUE = 0.6
"""Share of a patch that must be tissue for it to count."""
LATTICE_PX = 16
"""Side of the cells in which a lattice of 2, 4, 8 or 16 px shows."""
FREQUENCY_BANDS = ((1 / 4, 1 / 2), (1 / 8, 1 / 4), (1 / 16, 1 / 8), (1 / 32, 1 / 16))
"""Bands of spatial frequency, an octave each, in cycles per pixel; finest first."""


@dataclass(frozen=True)
class Texture:
    """What a set of tissue patches looks like on average.

    patches: how many. laplacian: mean squared Laplacian of grey levels. spectrum: power per band of FREQUENCY_BANDS.
    stain_mean, stain_deviation: of hematoxylin and eosin density.
    """

    patches: int
    laplacian: float
    spectrum: tuple[float, ...]
    stain_mean: tuple[float, float]
    stain_deviation: tuple[float, float]


def tissue_patches(pixels: Pixels, size: int = PATCH_PX) -> list[Pixels]:
    """Patches (size, size, 3) of a grid over `pixels` that are mostly tissue."""
    return [patch for patch in all_patches(pixels, size) if tissue_share(patch) >= MIN_TISSUE]


def all_patches(pixels: Pixels, size: int = PATCH_PX) -> list[Pixels]:
    """Every whole patch (size, size, 3) of a grid over `pixels`, row by row."""
    high, wide = pixels.shape[:2]
    return [
        pixels[y : y + size, x : x + size]
        for y in range(0, high - size + 1, size)
        for x in range(0, wide - size + 1, size)
    ]


def tissue_share(pixels: Pixels) -> float:
    """Share, in [0, 1], of pixels (H, W, 3) whose mean optical density is above that of glass, 0.06."""
    return float((optical_density(pixels).mean(-1) > 0.06).mean())


def texture(patches: Iterable[Pixels]) -> Texture:
    """Average texture of patches of one size. Raises ValueError where there is none."""
    rows = [patch_numbers(patch) for patch in patches]
    if not rows:
        raise ValueError("expected at least one tissue patch")
    mean = np.mean(rows, axis=0)
    bands = len(FREQUENCY_BANDS)
    stain = mean[1 + bands :]
    return Texture(
        len(rows), float(mean[0]), tuple(map(float, mean[1 : 1 + bands])),
        (float(stain[0]), float(stain[1])), (float(stain[2]), float(stain[3])),
    )  # fmt: skip


def patch_numbers(patch: Pixels) -> Doubles:
    """Nine numbers of one patch (N, N, 3): mean squared Laplacian, power per frequency band, mean and deviation of the
    density of hematoxylin and of eosin."""
    grey = patch.astype(np.float64).mean(-1)
    inner = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    stains = hematoxylin_eosin(patch).reshape(-1, 2).astype(np.float64)
    return np.concatenate([[np.square(inner).mean()], octave_power(grey), stains.mean(0), stains.std(0)])


def lattice(fields: Iterable[Pixels]) -> float:
    """How far what is painted depends on where it lies in cells of LATTICE_PX, in grey levels.

    All cells of a field (H, W, 3) are averaged into one, and its deviation taken; the root mean square over fields.
    That of real tissue is what is left of its grain.
    """
    return float(np.sqrt(np.mean([np.square(_mean_cell(field).std()) for field in fields])))


def _mean_cell(field: Pixels) -> Doubles:
    """The mean (LATTICE_PX, LATTICE_PX) of all whole cells of a field, grey levels."""
    high, wide = (side // LATTICE_PX for side in field.shape[:2])
    grey = field[: high * LATTICE_PX, : wide * LATTICE_PX].astype(np.float64).mean(-1)
    mean: Doubles = grey.reshape(high, LATTICE_PX, wide, LATTICE_PX).mean((0, 2))
    return mean


def octave_power(grey: Doubles) -> Doubles:
    """Radially averaged power (4,) of a grey patch (N, N) per band of FREQUENCY_BANDS, under a Hann window."""
    side = grey.shape[0]
    hann = np.hanning(side)
    power = np.abs(np.fft.fft2((grey - grey.mean()) * hann[:, None] * hann[None, :])) ** 2
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    return np.array([power[(radius >= low) & (radius < high)].mean() for low, high in FREQUENCY_BANDS])


def ratios(painted: Texture, real: Texture) -> dict[str, float | list[float]]:
    """Painted over real: Laplacian, every band of the spectrum, deviation of both stains. Ready for JSON."""
    return {
        "laplacian": painted.laplacian / real.laplacian,
        "spectrum": [a / b for a, b in zip(painted.spectrum, real.spectrum, strict=True)],
        "stain_deviation": [a / b for a, b in zip(painted.stain_deviation, real.stain_deviation, strict=True)],
    }

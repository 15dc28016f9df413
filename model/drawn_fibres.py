"""Fibres below a real picture: along its grain, as fine as a pixel shows them.

The grain is that of its structure tensor (Bigun and Granlund, "Optimal orientation detection of linear symmetry",
1987); fibres are keyed noise that is averaged along it (Cabral and Leedom, "Imaging vector fields using line integral
convolution", 1993). Both are functions of the place and of the picture alone, so that all planes show the same fibres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.enlarged import cubic, linear, means
from everslide.model.geometry import Rect, mpp
from everslide.model.picture_view import PictureView
from everslide.model.value_noise import fractal, lattice

Floats = NDArray[np.float32]
Integers = NDArray[np.intp]
STEP_UM = 2.0
"""Fibres are traced on a lattice of this spacing; finer pixels show a smooth surface through it."""
STEPS = 12
"""How far they are traced to either side: 24 um."""
GRAIN_SALT, WAVE_SALT = 7000, 801
THICKNESS, STRENGTH = 0.7, np.float32(2.0 * 0.7 * 2.0 * np.pi**0.5 / 3**-0.5)
"""Deviation of the Gaussian over the noise, in steps, and what makes the traced noise about as strong as one."""
WAVE_UM, WAVE, STRAIGHT = 60.0, 0.9, 1.6
"""Fibres are wavy: over so much, by so many radians, and less the plainer the grain."""
AIMLESS = 0.09
"""Where a picture shows no grain at all, fibres run along one direction."""
BAND, BAND_EDGE, CRACK, CRACK_WIDTH, FIBRIL, FIBRILS = 0.25, 2.0, 0.5, 0.25, 0.15, 14.0
"""Fibres are so much denser than what is between; how sharp; a pale crack runs where one gives way to the next, so pale
and so wide; each has fibrils, so strong and so many."""


@dataclass(frozen=True)
class Fibres:
    """density: (H, W), over that of plain tissue, about -0.75 to 0.4. grain: (H, W), how plainly the picture shows a
    direction, 0 to 1."""

    density: Floats
    grain: Floats


def draw_fibres(seed: int, view: PictureView, s: int, rect: Rect) -> Fibres:
    """Those of `rect` of plane s."""
    um = mpp(s)
    fine = STEP_UM if um > STEP_UM else min(um, 0.5 * STEP_UM)
    left, right = (int(np.floor(x * um / STEP_UM)) for x in (rect.x, rect.right))
    top, bottom = (int(np.floor(y * um / STEP_UM)) for y in (rect.y, rect.bottom))
    rim = STEPS + 2
    traced = Rect(left - rim, top - rim, right - left + 1 + 2 * rim, bottom - top + 1 + 2 * rim)
    along, across = view.grain(traced, STEP_UM)
    noise = smoothed_noise(seed, GRAIN_SALT, traced.grown(STEPS + 1), THICKNESS)
    x = ((np.arange(traced.width, dtype=np.float64) + traced.x + 0.5) * STEP_UM)[None]
    y = ((np.arange(traced.height, dtype=np.float64) + traced.y + 0.5) * STEP_UM)[:, None]
    wave = np.float32(WAVE) * fractal(seed, WAVE_SALT, x, y, WAVE_UM, 2, turned=True).astype(np.float32)
    grain = np.hypot(along, across)
    wave *= np.maximum(np.float32(1.0) - np.float32(STRAIGHT) * grain, np.float32(0.15))
    angle = np.float32(0.5) * np.arctan2(across + np.float32(AIMLESS), along + np.float32(AIMLESS)) + wave
    phase = STRENGTH * trace(noise, angle)
    spacing = STEP_UM
    while spacing > fine:
        phase, grain, spacing = cubic(phase), linear(grain), spacing / 2
    each = round(um / fine)
    first_y, first_x = (
        round(a * um / fine) - round(b * STEP_UM / fine) for a, b in ((rect.y, traced.y), (rect.x, traced.x))
    )
    part = slice(first_y, first_y + each * rect.height), slice(first_x, first_x + each * rect.width)
    return Fibres(means(_profile(phase[part], um), each), means(grain[part], each))


def trace(noise: Floats, angle: Floats) -> Floats:
    """Noise averaged along the lines of direction `angle` (H, W), radians, with weights that fall to either side.

    noise: (H + 2 STEPS + 2, W + 2 STEPS + 2), of the same places and so many more around. What is within STEPS + 1 of
    the rim of `angle` is traced as if the rim went on.
    """
    high, wide = angle.shape
    rim = (noise.shape[0] - high) // 2
    rows, cols = np.arange(high)[:, None], np.arange(wide)[None]
    cosine, sine = np.cos(angle), np.sin(angle)
    total, weights = noise[rim : rim + high, rim : rim + wide].copy(), 1.0
    for sense in (np.float32(1.0), np.float32(-1.0)):
        ahead_y, ahead_x = sense * sine, sense * cosine
        dy, dx = np.zeros_like(angle), np.zeros_like(angle)
        for step in range(1, STEPS + 1):
            dy += ahead_y
            dx += ahead_x
            weight = 1.0 - step / (STEPS + 1)
            total += np.float32(weight) * _between(noise, rows + rim, cols + rim, dy, dx)
            weights += weight
            at = _at(rows, dy, high - 1), _at(cols, dx, wide - 1)
            next_y, next_x = sine[at], cosine[at]
            turn = np.where(next_y * ahead_y + next_x * ahead_x < 0, np.float32(-1.0), np.float32(1.0))
            ahead_y, ahead_x = turn * next_y, turn * next_x
    return np.asarray(total / np.float32(weights))


def _at(index: Integers, by: Floats, last: int) -> Integers:
    return np.clip(index + np.rint(by).astype(np.intp), 0, last)


def _between(plane: Floats, rows: Integers, cols: Integers, dy: Floats, dx: Floats) -> Floats:
    """A plane at samples `dy`, `dx` away from its pixels, straight between them."""
    down, aside = np.floor(dy), np.floor(dx)
    fy, fx = dy - down, dx - aside
    at = (rows + down.astype(np.intp)) * plane.shape[1] + (cols + aside.astype(np.intp))
    flat = plane.ravel()
    upper = flat.take(at)
    upper += fx * (flat.take(at + 1) - upper)
    at += plane.shape[1]
    lower = flat.take(at)
    lower += fx * (flat.take(at + 1) - lower)
    return np.asarray(upper + fy * (lower - upper))


def smoothed_noise(seed: int, salt: int, rect: Rect, deviation: float) -> Floats:
    """Keyed noise of a lattice (H, W), under a Gaussian of that deviation that reaches 3 of its points."""
    rim = 3
    cols, rows = np.meshgrid(np.arange(rect.x - rim, rect.right + rim), np.arange(rect.y - rim, rect.bottom + rim))
    values = lattice(seed, salt, cols, rows).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(values, deviation, radius=rim)[rim:-rim, rim:-rim])


def _profile(phase: Floats, um_per_px: float) -> Floats:
    """Density across fibres."""
    crack = np.exp(-np.square(phase / np.float32(CRACK_WIDTH)))
    density = np.float32(BAND) * np.tanh(np.float32(BAND_EDGE) * phase) - np.float32(CRACK) * crack
    if um_per_px <= 1.0:
        density = density + np.float32(FIBRIL) * np.tanh(np.float32(2.0) * np.sin(np.float32(FIBRILS) * phase))
    return np.asarray(density, np.float32)

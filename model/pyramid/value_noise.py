"""Value noise and sums of its octaves: smooth random functions of a place in um, keyed by a seed.

The values at the points of an integer lattice are keyed; between them it is interpolated. Coordinates x and y have one
shape (H, W), or, on a regular grid, (1, W) and (H, 1), which is faster and gives the same bits.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
F = TypeVar("F", np.float32, np.float64)
TURN = (0.8, 0.6)
"""Cosine and sine by which the axes of each octave are turned against those of the one above it."""


def fractal(
    seed: int, salt: int, x: Doubles, y: Doubles, size: float, octaves: int, keep: float = 0.5, *, turned: bool = False
) -> Doubles:
    """Sum of `octaves` octaves of value noise at x, y in um: float64 (H, W), about -1 to 1.

    size: um between lattice points of the first octave, halved in each further one. keep: amplitude of an octave over
    that of the one before. seed, salt: key. turned: the lattice of each octave is rotated against the one before, so
    that features are not aligned with the axes; (1, W) and (H, 1) are not faster then.
    """
    total, weight, norm = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32), 1.0, 0.0
    for octave in range(octaves):
        if turned:
            x, y = TURN[0] * x - TURN[1] * y, TURN[1] * x + TURN[0] * y
        total += np.float32(weight) * _value_noise(seed, salt * 8 + octave, x / size, y / size)
        norm += weight
        weight, size = weight * keep, size * 0.5
    return (total * np.float32(1.6 / norm)).astype(np.float64)


def _value_noise(seed: int, salt: int, x: Doubles, y: Doubles) -> Floats:
    """Smoothly interpolated keyed values of the integer lattice, -1 to 1."""
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = _smooth((x - x0).astype(np.float32)), _smooth((y - y0).astype(np.float32))
    left, up = int(x0.min()), int(y0.min())
    cols, rows = np.meshgrid(np.arange(left, int(x0.max()) + 2), np.arange(up, int(y0.max()) + 2))
    values = lattice(seed, salt, cols, rows).astype(np.float32)  # far fewer points than samples
    col, row = (x0 - left).astype(np.intp), (y0 - up).astype(np.intp)
    if x.shape[0] == 1 and y.shape[1] == 1:
        between = values[:, col[0]] + (values[:, col[0] + 1] - values[:, col[0]]) * fx
        first, second = between[row[:, 0]], between[row[:, 0] + 1]
        return np.asarray(first + (second - first) * fy)
    steps = (values[:, 1:] - values[:, :-1]).ravel()
    row *= cols.shape[1] - 1
    row += col
    top = steps.take(row)
    top *= fx
    top += values[:, :-1].ravel().take(row)
    row += cols.shape[1] - 1
    bottom = steps.take(row)
    bottom *= fx
    bottom += values[:, :-1].ravel().take(row)
    bottom -= top
    bottom *= fy
    bottom += top
    return bottom


def step(value: NDArray[F], edge: NDArray[F] | float, width: float) -> NDArray[F]:
    """Smoothstep: 0 below edge - width / 2, 1 above edge + width / 2; shape and type of `value`."""
    t = np.clip((value - edge) / width + 0.5, 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), value.dtype)


def _smooth(f: Floats) -> Floats:
    """6 f^5 - 15 f^4 + 10 f^3."""
    out = f * np.float32(6.0)
    out -= np.float32(15.0)
    out *= f
    out += np.float32(10.0)
    out *= f * f * f
    return out


def lattice(seed: int, salt: int, col: NDArray[np.int64], row: NDArray[np.int64]) -> Doubles:
    """Keyed values float64 in [-1, 1) of lattice points col, row of one shape, which is returned.

    A hash of seed, salt, col and row; its last step is the finaliser of splitmix64 (Steele, Lea and Flood, 2014).
    """
    with np.errstate(over="ignore"):
        h = np.uint64((seed ^ (salt * 0x9E3779B97F4A7C15)) & (2**64 - 1)) + col.astype(np.uint64) * np.uint64(
            0xD1B54A32D192ED03
        )
        h = (h ^ (h >> np.uint64(32))) * np.uint64(0xDABA0B6EB09322E3) + row.astype(np.uint64) * np.uint64(
            0x8CB92BA72F3D8DD7
        )
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
    return (h >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0

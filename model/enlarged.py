"""Planes at twice their size: each child is a function of the few pixels around its parent, wherever that lies."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
F = TypeVar("F", np.float32, np.float64)
CUBIC = tuple(np.float32(x / 128) for x in (-3, 29, 111, -9))
"""Weights of two pixels before, the one before, the own and the next one, a quarter before the middle of a pixel
(Keys, "Cubic convolution interpolation for digital image processing", 1981, Eq. 15, a = -1/2)."""
LINEAR = (np.float32(0.25), np.float32(0.75))


def linear(plane: Floats) -> Floats:
    """(H, W) -> (2H, 2W), straight between the middles of pixels; what lies outside is as the rim."""
    for axis in (0, 1):
        before, here, after = _shifted(plane, axis, (-1, 0, 1))
        plane = _woven(LINEAR[0] * before + LINEAR[1] * here, LINEAR[1] * here + LINEAR[0] * after, axis)
    return plane


def cubic(plane: Floats) -> Floats:
    """(H, W) or (H, W, C) -> (2H, 2W, ...), through the middles of pixels; what lies outside is as the rim."""
    a, b, c, d = CUBIC
    for axis in (0, 1):
        farther, before, here, after, beyond = _shifted(plane, axis, (-2, -1, 0, 1, 2))
        first = a * farther + b * before + c * here + d * after
        second = d * before + c * here + b * after + a * beyond
        plane = _woven(first, second, axis)
    return plane


def means(plane: NDArray[F], side: int = 2) -> NDArray[F]:
    """Means of squares of `side` pixels, (H, W, ...) -> (H / side, W / side, ...)."""
    out = plane[0::side, 0::side].copy()
    for row in range(side):
        for col in range(side):
            if row or col:
                out += plane[row::side, col::side]
    return np.asarray(out * plane.dtype.type(1 / side**2))


def within(plane: Floats) -> Floats:
    """What differs in a plane (2H, 2W, ...) from the smooth surface through the means of its 2x2 squares."""
    return np.asarray(plane - cubic(means(plane)))


def _shifted(plane: Floats, axis: int, by: tuple[int, ...]) -> list[Floats]:
    most = max(by)
    padded = np.pad(plane, [(most, most) if i == axis else (0, 0) for i in range(plane.ndim)], mode="edge")
    return [np.take(padded, range(most + x, most + x + plane.shape[axis]), axis) for x in by]


def _woven(first: Floats, second: Floats, axis: int) -> Floats:
    """Alternately one of `first` and one of `second` along an axis."""
    shape = list(first.shape)
    shape[axis] *= 2
    return np.stack([first, second], axis + 1).reshape(shape)

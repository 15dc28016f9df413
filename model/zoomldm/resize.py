"""The operator A that relates an image to its coarser version: box mean, bicubic, or the authors' resizer.

Each has `down` (A) and `up` (its way back: the pseudo-inverse of the box, an interpolation for the others). Images are
(B, C, H, W) of any float type. Painted slides agree by the box alone, since the others couple neighbouring blocks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

OperatorName = Literal["box", "bicubic", "resizer"]


class Operator(Protocol):
    """A between an image and its version that is `factor` times coarser."""

    factor: int

    def down(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / factor, W / factor)."""
        ...

    def up(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H factor, W factor)."""
        ...


class Box:
    """Mean of factor x factor pixels; up is the pseudo-inverse A+, which repeats them."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def down(self, image: Tensor) -> Tensor:
        """See `Operator.down`."""
        return F.avg_pool2d(image, self.factor)

    def up(self, image: Tensor) -> Tensor:
        """See `Operator.up`."""
        return image.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)


class Bicubic:
    """torch's bicubic interpolation, with anti-aliasing on the way down."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def down(self, image: Tensor) -> Tensor:
        """See `Operator.down`."""
        return F.interpolate(image, scale_factor=1 / self.factor, mode="bicubic", antialias=True)

    def up(self, image: Tensor) -> Tensor:
        """See `Operator.up`."""
        return F.interpolate(image, scale_factor=self.factor, mode="bicubic")


class Resizer:
    """The authors' resizer: Keys' cubic kernel (a = -0.5), widened on the way down, borders mirrored."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def down(self, image: Tensor) -> Tensor:
        """See `Operator.down`."""
        return _separable(image, 1 / self.factor)

    def up(self, image: Tensor) -> Tensor:
        """See `Operator.up`."""
        return _separable(image, float(self.factor))


def make_operator(name: OperatorName, factor: int) -> Operator:
    """The operator of a name, for a whole `factor` of at least 2."""
    kinds: dict[OperatorName, type[Box | Bicubic | Resizer]] = {"box": Box, "bicubic": Bicubic, "resizer": Resizer}
    return kinds[name](factor)


def _separable(image: Tensor, scale: float) -> Tensor:
    rows, cols = (
        torch.from_numpy(_weights(length, scale)).to(image.device, image.dtype) for length in image.shape[-2:]
    )
    return rows @ image @ cols.T


@lru_cache(maxsize=32)
def _weights(length: int, scale: float) -> NDArray[np.float32]:
    """Matrix (round(length scale), length) of cubic weights; each row sums to one."""
    stretch = min(scale, 1.0)
    centres = (np.arange(round(length * scale)) + 0.5) / scale - 0.5
    reach = int(np.ceil(2 / stretch)) + 1
    near = np.floor(centres)[:, None] + np.arange(-reach, reach + 1)
    weights = _cubic(stretch * (centres[:, None] - near))
    weights /= weights.sum(1, keepdims=True)
    folded = near.astype(np.int64) % (2 * length)
    mirrored = np.where(folded < length, folded, 2 * length - 1 - folded)
    matrix = np.zeros((len(centres), length))
    np.add.at(matrix, (np.arange(len(centres))[:, None], mirrored), weights)
    return matrix.astype(np.float32)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys (1981), Eq. 15."""
    x = np.abs(x)
    inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))

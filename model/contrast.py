"""How strong detail is, given its parent: a small regression on real tissue that keeps the chain of scales steady.

A network that saw only real parents takes what was painted a little wrong for structure and paints more of it, octave
after octave. Here the local power of real detail is predicted from the parent alone (its own two finest octaves and
its density), per scale and colour; what the network paints is scaled, locally and within bounds, to that power.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.bands import rotate_colours

Floats = NDArray[np.float32]
FEATURES = 5
REACH_PX = 25
"""Side of the neighbourhood, in pixels of the parent, over which power is averaged."""
FLOOR = 0.3
"""Power of the noise of quantisation, in squared grey levels: below it there is nothing to tell."""
GAIN_RANGE = (0.1, 1.8)
DEPTHS = 3
"""Two, three, and four or more octaves below a real picture, where its detail would come out too weak."""


@dataclass(frozen=True)
class ContrastModel:
    """coefficients: (12 scales, 3 colours, FEATURES) float32, for the logarithm of the power of detail.

    below: (12 scales, DEPTHS) float32, what is added to that of brightness farther below a real picture, where the
    parent is painted itself.
    """

    coefficients: Floats
    below: Floats = field(default_factory=lambda: np.zeros((12, DEPTHS), np.float32))
    finest: int = 0

    def gains(self, s: int, parent: Floats, smooth: Floats, painted: Floats, octaves: int = 1) -> Floats:
        """Factors (H, W, 1, 3 colours) for `painted`, so that smooth + factor * painted has the predicted power.

        1 below the finest scale.

        parent: (H, W, RGB) grey levels; smooth, painted: bands (H, W, 3, 3 colours), see `rotate_colours`. octaves: how
        far below a real picture; 1 where the parent is one, or where there is none.
        """
        if s < self.finest:
            return np.ones((1, 1, 1, 1), np.float32)
        wanted = np.exp(features(parent) @ self.coefficients[s].T)  # (H, W, 3)
        if octaves > 1:
            wanted[..., 0] *= np.exp(self.below[s, min(octaves - 2, DEPTHS - 1)])
        missing = np.maximum(wanted - local_power(smooth), 0.05 * wanted)
        gain = np.sqrt(missing / (local_power(painted) + FLOOR))
        clipped: Floats = np.clip(gain, *GAIN_RANGE)[:, :, None, :].astype(np.float32)
        return clipped


def local_power(bands: Floats) -> Floats:
    """Bands (H, W, 3, 3 colours) -> mean square over bands and neighbourhood, (H, W, 3 colours)."""
    return _average(np.square(bands).mean(2))


def features(parent: Floats) -> Floats:
    """What is known of a parent (H, W, RGB) in grey levels around each pixel, (H, W, FEATURES)."""
    grey = rotate_colours(parent)
    bright = grey[..., :1]
    coarse = ndimage.uniform_filter(bright, (2, 2, 1), mode="nearest")
    logs = [np.log(_average(_steps(plane, step)) + FLOOR) for plane, step in ((bright, 1), (coarse, 2))]
    darkness = _average(np.maximum(np.float32(243.0) - parent, 0).mean(-1, keepdims=True)) / np.float32(100.0)
    stack = [np.ones_like(darkness), *logs, darkness, np.square(darkness)]
    return np.concatenate(stack, axis=-1).astype(np.float32)


def _steps(plane: Floats, step: int) -> Floats:
    """Mean squared difference of each pixel to those `step` to its left and above."""
    padded = np.pad(plane, ((step, 0), (step, 0), (0, 0)), mode="edge")
    across, down = plane - padded[step:, :-step], plane - padded[:-step, step:]
    return np.asarray((np.square(across) + np.square(down)) * np.float32(0.5))


def _average(plane: Floats) -> Floats:
    return np.asarray(ndimage.uniform_filter(plane, (REACH_PX, REACH_PX, 1), mode="nearest"))


def fit(rows: Floats, power: Floats, shrink: float) -> Floats:
    """Coefficients (3, FEATURES) of the logarithm of `power` (N, 3) on `rows` (N, FEATURES), by least squares.

    shrink: factor on the slopes of the parent's own octaves. Below one, an error of the parent's power dies out.
    """
    target = np.log(power + 0.02)
    spread = np.diag([0.0, *[0.02 * len(rows)] * (FEATURES - 1)])
    solved = np.linalg.solve(rows.T @ rows + spread, rows.T @ target)  # (FEATURES, 3)
    solved[1:3] *= shrink
    solved[0] += (target - rows @ solved).mean(0)
    solved[0, 0] += np.log(power[:, 0].mean() / np.exp(rows @ solved[:, 0]).mean())  # brightness: right on average
    return np.ascontiguousarray(solved.T, dtype=np.float32)

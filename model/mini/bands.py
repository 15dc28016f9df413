"""Detail bands as the network sees them: decorrelated colours, about equally strong at every scale.

The three Haar bands of red, green and blue are rotated to brightness, red-blue and green-magenta (orthonormal), then
divided by the deviation that whole detail has on tissue at that scale: nine channels, band-major.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]
COLOURS = np.array(
    [[1 / 3**0.5] * 3, [1 / 2**0.5, 0.0, -(1 / 2**0.5)], [1 / 6**0.5, -2 / 6**0.5, 1 / 6**0.5]], dtype=np.float32
)
"""Rows: brightness, red minus blue, magenta minus green."""


def rotate_colours(bands: Floats) -> Floats:
    """(..., RGB) -> (..., brightness, red-blue, magenta-green), an orthonormal change of basis."""
    return _turned(bands, COLOURS.T)


def unrotate_colours(bands: Floats) -> Floats:
    """(..., brightness, red-blue, magenta-green) -> (..., RGB): the inverse of `rotate_colours`."""
    return _turned(bands, COLOURS)


def _turned(bands: Floats, by: Floats) -> Floats:
    """(..., 3) times (3, 3), as one product: of a stack of small ones numpy makes a loop."""
    out: Floats = (bands.reshape(-1, 3) @ by).reshape(bands.shape)
    return out


def from_channels(channels: Floats, deviation: Floats) -> Floats:
    """The network's channels (9, H, W) -> bands (H, W, 3 bands, 3 rotated colours) in grey levels.

    deviation: (3 bands, 3 rotated colours) of detail at that scale, in grey levels. See `unrotate_colours` for RGB.
    """
    height, width = channels.shape[1:]
    return channels.transpose(1, 2, 0).reshape(height, width, 3, 3) * deviation


def parent_input(parent: NDArray[np.uint8]) -> Tensor:
    """[0, 255] uint8 (H, W, 3) -> [-1, 1] float32 (3, H, W)."""
    scaled = parent.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))

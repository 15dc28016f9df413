"""The 2x2 Haar transform between a plane and its parent, and exact agreement of the two in integers.

A child block [[a, b], [c, d]] has the mean m and three details: h = (a - b + c - d) / 4 (left minus right),
v = (a + b - c - d) / 4 (top minus bottom), g = (a - b - c + d) / 4 (diagonal). Then a = m + h + v + g and so on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def box_mean(child: Pixels) -> Pixels:
    """(2H, 2W, C) uint8 -> (H, W, C) uint8: mean of each 2x2 block, rounded half up."""
    blocks = child.astype(np.uint16)
    total = blocks[0::2, 0::2] + blocks[0::2, 1::2] + blocks[1::2, 0::2] + blocks[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


def details(child: Floats) -> Floats:
    """(2H, 2W, C) -> (H, W, 3, C): the bands h, v, g of every 2x2 block."""
    a, b = child[0::2, 0::2], child[0::2, 1::2]
    c, d = child[1::2, 0::2], child[1::2, 1::2]
    bands = np.stack([a - b + c - d, a + b - c - d, a - b - c + d], axis=-2)
    return (bands * np.float32(0.25)).astype(np.float32)


def merge(mean: Floats, bands: Floats) -> Floats:
    """(H, W, C) and (H, W, 3, C) -> (2H, 2W, C): the inverse of box mean and `details`."""
    h, v, g = bands[..., 0, :], bands[..., 1, :], bands[..., 2, :]
    child = np.empty((2 * mean.shape[0], 2 * mean.shape[1], mean.shape[2]), np.float32)
    child[0::2, 0::2] = mean + h + v + g
    child[0::2, 1::2] = mean - h + v - g
    child[1::2, 0::2] = mean + h - v - g
    child[1::2, 1::2] = mean - h - v + g
    return child


def enforce_parent_mean(child: Floats, parent: Pixels) -> Pixels:
    """Round `child` (2H, 2W, C) to uint8 so that its box mean *is* `parent` (H, W, C), with the smallest nudges.

    Saturated blocks are first pulled towards the parent until they fit. Each block is then rounded; what its sum lacks
    or has too much (the allowed sums are 4p - 2 .. 4p + 1) goes, one grey level at a time, to the children whose
    rounding error it reduces most, ties by index; children at 0 or 255 are skipped. Always feasible.
    """
    height, width, channels = parent.shape
    blocks = child.reshape(height, 2, width, 2, channels).transpose(0, 2, 4, 1, 3).reshape(height, width, channels, 4)
    mean = parent.astype(np.float32)[..., None]
    blocks = _fit_range(blocks, mean)
    rounded = np.clip(np.floor(blocks + np.float32(0.5)), 0, 255).astype(np.int16)
    low = 4 * parent.astype(np.int16) - 2
    total = rounded.sum(-1, dtype=np.int16)
    missing = np.where(total < low, low - total, np.where(total > low + 3, low + 3 - total, 0)).astype(np.int16)
    touched = np.nonzero(missing)
    if touched[0].size:
        rounded[touched] = _spread(rounded[touched], blocks[touched], missing[touched])
    out = rounded.astype(np.uint8).reshape(height, width, channels, 2, 2).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(out.reshape(2 * height, 2 * width, channels))


def _fit_range(blocks: Floats, mean: Floats) -> Floats:
    """Shrink the deviations of a block from its mean until it lies within [0, 255]."""
    deviation = blocks - mean
    room_up = 255.0 - mean
    peak, dip = deviation.max(-1, keepdims=True), -deviation.min(-1, keepdims=True)
    tiny = np.float32(1e-6)
    scale = np.minimum(1.0, np.minimum(room_up / np.maximum(peak, tiny), mean / np.maximum(dip, tiny)))
    fitted: Floats = (mean + deviation * scale).astype(np.float32)
    return fitted


def _spread(rounded: NDArray[np.int16], wanted: Floats, missing: NDArray[np.int16]) -> NDArray[np.int16]:
    """Move every row of `rounded` (N, 4) by `missing` (N,) grey levels in total, one at a time."""
    rounded, missing = rounded.copy(), missing.copy()
    rows = np.arange(len(missing))
    while np.any(missing):
        step = np.sign(missing)
        gain = (wanted - rounded) * step[:, None]
        blocked = np.where(step[:, None] > 0, rounded >= 255, rounded <= 0)
        best = np.argmax(np.where(blocked, -np.inf, gain), axis=1)
        rounded[rows, best] += step
        missing -= step
    return rounded


def smooth_bands(parent: Floats) -> Floats:
    """Detail of the smooth surface through the parent's means, (H, W, RGB) -> (H, W, 3, RGB), in the parent's units.

    Along a row the left half of a pixel lies (m[x+1] - m[x-1]) / 8 below its mean where a straight slope passes
    through its neighbours. The network paints what differs from this: a child never shows the squares of its parent.
    """
    padded = np.pad(parent, ((1, 1), (1, 1), (0, 0)), mode="edge")
    h = (padded[1:-1, :-2] - padded[1:-1, 2:]) * np.float32(1 / 8)
    v = (padded[:-2, 1:-1] - padded[2:, 1:-1]) * np.float32(1 / 8)
    g = (padded[:-2, :-2] - padded[:-2, 2:] - padded[2:, :-2] + padded[2:, 2:]) * np.float32(1 / 64)
    return np.stack([h, v, g], axis=-2).astype(np.float32)

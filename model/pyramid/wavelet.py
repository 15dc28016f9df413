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
    """(H, W, C) means and (H, W, 3, C) bands -> (2H, 2W, C) float32: the inverse Haar transform."""
    h, v, g = bands[..., 0, :], bands[..., 1, :], bands[..., 2, :]
    child = np.empty((2 * mean.shape[0], 2 * mean.shape[1], mean.shape[2]), np.float32)
    child[0::2, 0::2] = mean + h + v + g
    child[0::2, 1::2] = mean - h + v - g
    child[1::2, 0::2] = mean + h - v - g
    child[1::2, 1::2] = mean - h - v + g
    return child


def children_of(parent: Pixels, bands: Floats, brightest: Pixels | int = 255) -> Pixels:
    """(H, W, C) uint8 and detail (H, W, 3, C) in grey levels -> (2H, 2W, C) uint8 whose box mean *is* the parent.

    brightest: glass, (C,) or for all channels: no tissue is brighter, since it takes light away (law of Beer and
    Lambert). A parent as bright as glass has children that are, so glass stays as even as its parent.

    `merge(parent, bands)`, rounded with the smallest nudges. Saturated blocks are first pulled towards the parent until
    they fit. Each block is then rounded; what its sum lacks or has too much (the allowed sums are 4p - 2 .. 4p + 1)
    goes, one grey level at a time, to the children whose rounding error it reduces most, ties by index; children at 0
    or at the brightest are skipped. Always feasible. Channels come first here: numpy is slow along axes of three or
    four.
    """
    height, width, channels = parent.shape
    mean = np.ascontiguousarray(parent.reshape(-1, channels).T).astype(np.float32)  # (C, HW)
    h, v, g = np.ascontiguousarray(bands.reshape(len(mean.T), 3 * channels).T).reshape(3, channels, -1)
    corners = np.empty((4, *mean.shape), np.float32)
    left, right = mean + h, mean - h
    for corner, half, vertical, diagonal in (
        (0, left, np.add, np.add), (1, right, np.add, np.subtract),
        (2, left, np.subtract, np.subtract), (3, right, np.subtract, np.add),
    ):  # fmt: skip
        vertical(half, v, out=corners[corner])
        diagonal(corners[corner], g, out=corners[corner])
    ceiling = np.maximum(mean, np.reshape(brightest, (-1, 1)).astype(np.float32))
    rounded = _enforce_parent_mean(corners.reshape(4, -1), mean.reshape(-1), ceiling.reshape(-1))
    blocks = rounded.reshape(2, 2, channels, height, width).transpose(3, 0, 4, 1, 2)  # (H, 2, W, 2, C)
    return np.ascontiguousarray(blocks.reshape(2 * height, 2 * width, channels))


def _enforce_parent_mean(corners: Floats, mean: Floats, ceiling: Floats) -> Pixels:
    """The children (4, N) of N means (N,), whole numbers, rounded as `children_of` says. Changes `corners`."""
    fitted = _fit_range(corners, mean, ceiling)
    rounded = np.clip(np.floor(fitted + np.float32(0.5)), 0, ceiling).astype(np.int16)
    low = 4 * mean.astype(np.int16) - 2
    total = rounded[0] + rounded[1] + rounded[2] + rounded[3]
    missing = np.maximum(low - total, 0) + np.minimum(low + 3 - total, 0)
    (touched,) = np.nonzero(missing)
    if touched.size:
        rounded[:, touched] = _spread(rounded[:, touched], fitted[:, touched], missing[touched], ceiling[touched])
    exact: Pixels = rounded.astype(np.uint8)
    return exact


def _fit_range(corners: Floats, mean: Floats, ceiling: Floats) -> Floats:
    """Shrink the deviations (4, N) of blocks from their means (N,) until they lie within [0, ceiling], in place."""
    deviation = np.subtract(corners, mean, out=corners)
    tiny, room = np.float32(1e-6), ceiling - mean
    peak = np.maximum(np.maximum(deviation[0], deviation[1]), np.maximum(deviation[2], deviation[3]))
    dip = -np.minimum(np.minimum(deviation[0], deviation[1]), np.minimum(deviation[2], deviation[3]))
    peak, dip = np.maximum(peak, tiny), np.maximum(dip, tiny)
    (out,) = np.nonzero((room < peak) | (mean < dip))
    if out.size:
        deviation[:, out] *= np.minimum(np.float32(1.0), np.minimum(room[out] / peak[out], mean[out] / dip[out]))
    deviation += mean
    return deviation


def _spread(
    rounded: NDArray[np.int16], wanted: Floats, missing: NDArray[np.int16], ceiling: Floats
) -> NDArray[np.int16]:
    """Move every column of `rounded` (4, N) by `missing` (N,) grey levels in total, one at a time."""
    columns = np.arange(len(missing))
    while np.any(missing):
        step = np.sign(missing)
        gain = (wanted - rounded) * step
        gain[np.where(step > 0, rounded >= ceiling, rounded <= 0)] = -np.inf
        rounded[np.argmax(gain, axis=0), columns] += step
        missing = missing - step
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

"""Nuclei that the parent shows as blue spots: where its pixels are too coarse for their outline, a disc for each spot;
where they are finer, the outline that its own blue has, made sharp. Each is a function of the pixels around it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from everslide.model.enlarged import linear
from everslide.model.geometry import Rect
from everslide.model.value_noise import lattice, step

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
RADIUS_UM = 3.0
"""Of a disc of a typical spot; it varies by a fifth, and with how plain the spot is."""
SPOT, LEAST = 0.3, 0.03
"""A spot stands out so many deviations from its neighbourhood, and has so much hematoxylin."""
APART = 0.46
"""No disc reaches farther than this part of the way to the next one."""
REACH_PX = 7
"""A disc reaches no farther than this, in pixels of the child."""
GRID = 64.0
"""The middle of a spot lies on a grid of this part of a pixel, so that distances are exact wherever it lies."""
OUTLINE, SHARPNESS = 0.5, {1: 0.35, 0: 0.25}
"""How far a nucleus stands out at its outline, in deviations, and over how much the outline is drawn at 10x and 20x."""
SALTS = (500, 600, 700)


def discs(
    seed: int, rect: Rect, blue: Floats, excess: Floats, grain: tuple[Floats, Floats], um_per_px: float
) -> Floats:
    """How far children are within the disc of a spot, (2H, 2W), 0 to 1.

    rect: of the parent's plane. blue, excess, grain: (H, W) of it: hematoxylin, by how many deviations it exceeds its
    neighbourhood, and see `PictureView.grain`. um_per_px: of the children.
    """
    high, wide = blue.shape
    spots = (blue == ndimage.maximum_filter(blue, 3)) & (excess > SPOT) & (blue > LEAST)
    spots[[0, -1]] = spots[:, [0, -1]] = False
    rows, cols = np.nonzero(spots)
    mask = np.zeros((2 * high, 2 * wide), np.float32)
    if not len(rows):
        return mask
    dy = _peak(blue[rows - 1, cols], blue[rows, cols], blue[rows + 1, cols])
    dx = _peak(blue[rows, cols - 1], blue[rows, cols], blue[rows, cols + 1])
    y, x = 2.0 * (rows + dy) + 0.5, 2.0 * (cols + dx) + 0.5  # of the children
    own, longer, askew = (lattice(seed, salt, cols + rect.x, rows + rect.y) for salt in SALTS)
    plain = excess[rows, cols].astype(np.float64)
    radius = RADIUS_UM / um_per_px * (1.0 + 0.2 * own) * (0.75 + 0.25 * plain).clip(0.7, 1.3)
    if len(rows) > 1:
        places = np.stack([y, x], 1)
        apart = np.asarray(cKDTree(places).query(places, k=2)[0])[:, 1]
        radius = np.minimum(radius, APART * apart)
    along, across = (one[rows, cols].astype(np.float64) for one in grain)
    stretch = 1.125 + 0.125 * longer + 1.2 * np.hypot(along, across).clip(0, 1) * (1.2 - 0.3 * plain).clip(0, 1)
    angle = 0.5 * np.arctan2(across, along) + 0.5 * askew
    long, short = radius * np.sqrt(stretch), radius / np.sqrt(stretch)
    within = np.arange(-REACH_PX, REACH_PX + 1)
    at_y = np.rint(y).astype(np.intp)[:, None, None] + within[:, None]
    at_x = np.rint(x).astype(np.intp)[:, None, None] + within
    down, aside = at_y - y[:, None, None], at_x - x[:, None, None]
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    ahead = (aside * cosine + down * sine) / long[:, None, None]
    beside = (down * cosine - aside * sine) / short[:, None, None]
    inside = ((1.0 - np.hypot(ahead, beside)) * short[:, None, None] + 0.5).clip(0, 1).astype(np.float32)
    shown = (at_y >= 0) & (at_y < 2 * high) & (at_x >= 0) & (at_x < 2 * wide) & (inside > 0)
    where = np.broadcast_to(at_y * 2 * wide + at_x, inside.shape)
    np.maximum.at(mask.reshape(-1), where[shown], inside[shown])
    return mask


def outlined(s: int, excess: Floats) -> Floats:
    """How far children of scale s are within a nucleus, (2H, 2W), 0 to 1. excess: see `discs`."""
    return step(linear(excess), OUTLINE, SHARPNESS[s])


def _peak(before: Floats, here: Floats, after: Floats) -> Doubles:
    """Where, within half a pixel, the parabola through three pixels has its peak."""
    bend = np.minimum(before - 2 * here + after, np.float32(-1e-6)).astype(np.float64)
    return np.asarray(np.rint((0.5 * (before - after) / bend).clip(-0.5, 0.5) * GRID) / GRID)

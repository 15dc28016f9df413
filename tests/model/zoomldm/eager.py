"""Joint sampling of everything at once, which sampling window by window is held against; and looks at a plane."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from everslide.model.geometry import Rect, WindowIndex, windows_touching
from everslide.model.zoomldm.lazy import JointPlane


@torch.inference_mode()
def sample_together(plane: JointPlane, windows: Iterable[WindowIndex]) -> dict[WindowIndex, Tensor]:
    """Last latents of windows of one scale: every step of all their contexts before the next one, as the paper does."""
    levels = [sorted(set(windows))]
    while levels[0][0].s < plane._top:
        levels.insert(0, sorted({above for window in levels[0] for above in plane._contexts(window)}))
    z = [plane._noise(level, "start") for level in levels]
    c = [plane._condition(level) for level in levels]
    for i in range(len(plane._settings.times)):
        guides: dict[WindowIndex, Tensor] = {}
        for k, level in enumerate(levels):
            z[k], z0 = plane._step(level, i, z[k], c[k], guides)
            guides = dict(zip(level, z0, strict=True))
    return dict(zip(levels[-1], z[-1], strict=True))


def last_latents(plane: JointPlane, window: WindowIndex) -> Tensor:
    """(3, h, w): sampled lazily."""
    return plane.trajectories([window])[window].last


@torch.inference_mode()
def image_of(plane: JointPlane, s: int, rect: Rect) -> Tensor:
    """Pixels (3, rect.height, rect.width) of plane s, in about [-1, 1]: decoded windows, blended."""
    paths = plane.trajectories(windows_touching(s, rect, plane._grid))
    return plane._blended(plane._decoded({window: path.last for window, path in paths.items()}), rect)

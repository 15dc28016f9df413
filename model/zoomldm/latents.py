"""Between the painter's pixels and a latent model's tensors: places of windows in latents, keyed noise, images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.errors import WeightsError
from everslide.model.geometry import Rect, WindowGrid, WindowIndex
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.zoomldm.latent_model import LatentModel

OVERLAP = 4
"""A window overlaps its neighbour by a quarter: 64 latents every 48."""


def window_grid(model: LatentModel) -> WindowGrid:
    """The windows that frozen weights can paint: as large as their training images, three quarters of a side apart.

    Raises WeightsError where windows of that size would not align with tiles and latents.
    """
    side = model.image_px
    if side % (4 * OVERLAP):
        raise WeightsError(f"images of {side} px: expected a multiple of {4 * OVERLAP}, or windows would not align")
    return WindowGrid(side, side - side // OVERLAP)


def window_noise(model: LatentModel, seed: int, stream: str, windows: Sequence[WindowIndex]) -> Tensor:
    """Standard normals (B, C, h, w) for the latents of each window, keyed by place: equal where windows overlap."""
    channels = model.latent_channels
    rects = [_in_latents(window.rect, model.factor) for window in windows]
    arrays = [
        keyed.normals_anywhere(seed, f"zoomldm {stream}", w.s, r, channels) for w, r in zip(windows, rects, strict=True)
    ]
    return torch.from_numpy(np.stack(arrays)).to(model.device, model.dtype)


def to_image(model: LatentModel, pixels: NDArray[np.uint8]) -> Tensor:
    """[0, 255] uint8 (B, H, W, 3) -> [-1, 1] (B, 3, H, W)."""
    scaled = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(model.device, model.dtype)
    return scaled / 127.5 - 1


def to_grey_levels(image: Tensor) -> NDArray[np.float32]:
    """[-1, 1] (B, 3, H, W) -> [0, 255] float32 (B, H, W, 3)."""
    levels = ((image + 1) * 127.5).permute(0, 2, 3, 1).to("cpu", torch.float32)
    return np.ascontiguousarray(levels.numpy())


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """[-1, 1] (B, 3, H, W) -> [0, 255] uint8 (B, H, W, 3), rounded."""
    pixels: NDArray[np.uint8] = np.clip(np.floor(to_grey_levels(image) + 0.5), 0, 255).astype(np.uint8)
    return pixels


def _in_latents(rect: Rect, factor: int) -> Rect:
    return Rect(rect.x // factor, rect.y // factor, rect.width // factor, rect.height // factor)

"""What samplers and painters of windows ask of a latent diffusion model, whoever published it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from everslide.model.zoomldm.schedule import Schedule


@dataclass
class Calls:
    """Evaluations of denoiser, encoder and decoder, counted per image of a batch."""

    denoiser: int = 0
    encode: int = 0
    decode: int = 0


class LatentModel(ABC):
    """Denoiser, autoencoder and schedule. All tensors in and out are of `dtype` and on `device`.

    digest: of the weights. autoencoder: diffusers' `VQModel` or `AutoencoderKL`. schedule: that of time t, 1 .. T, at
    index t - 1. latent_channels, latent_side: shape of the latents of a training image; factor: pixels per latent.
    magnifications: scales that it knows, 0 .. n - 1. embedding_channels: of the embeddings that condition it. autocast:
    type in which the networks compute where it is worth it; samplers, schedules and guidance stay in `dtype`.
    """

    digest: str
    dtype: torch.dtype
    device: torch.device
    autocast: torch.dtype | None
    schedule: Schedule
    calls: Calls
    autoencoder: Any
    latent_channels: int
    latent_side: int
    factor: int
    magnifications: int
    embedding_channels: int

    @property
    def image_px(self) -> int:
        """Side of a training image in pixels."""
        return self.latent_side * self.factor

    @property
    def patch_px(self) -> int:
        """Side of the patches of 20x that are embedded."""
        return self.image_px // self.grid_side(0)

    @abstractmethod
    def grid_side(self, s: int) -> int:
        """Side k of the grid of embeddings (C, k, k) that conditions an image of scale s."""

    @abstractmethod
    def eps(self, z_t: Tensor, t: Tensor | float, c: Tensor) -> Tensor:
        """Predicted noise of latents z_t (B, C, h, w) at time t (one for all, or (B,)) given c (B, tokens, width)."""

    @abstractmethod
    def encode(self, image: Tensor) -> Tensor:
        """Image (B, 3, H, W) in [-1, 1] -> latents (B, C, H / factor, W / factor), without randomness."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> image (B, 3, h factor, w factor), about [-1, 1]."""

    @abstractmethod
    def condition(self, grids: Tensor, magnification: int | Sequence[int]) -> Tensor:
        """Embedding grids (B, C, k, k) -> c (B, tokens, width). Raises WeightsError for an unknown magnification."""

    @abstractmethod
    def unconditional(self, count: int) -> Tensor:
        """c (count, tokens, width) of no condition: what it was replaced with in a share of training."""

    def guided_eps(self, z_t: Tensor, t: Tensor | float, c: Tensor, w: float) -> Tensor:
        """Classifier-free guidance (Ho and Salimans, 2022, Eq. 6): (1 + w) eps(c) - w eps(unconditional).

        Both in one batch of twice as many; w = 0 needs no second half.
        """
        if w == 0:
            return self.eps(z_t, t, c)
        times = torch.as_tensor(t, dtype=torch.float32, device=self.device).expand(len(z_t))
        both = self.eps(torch.cat([z_t, z_t]), torch.cat([times, times]), torch.cat([c, self.unconditional(len(c))]))
        eps_c, eps_u = both.chunk(2)
        return (1 + w) * eps_c - w * eps_u

    def precision(self) -> AbstractContextManager[object]:
        """The context in which the networks run: autocast, or nothing."""
        return torch.autocast(self.device.type, self.autocast) if self.autocast else nullcontext()

"""Noise schedules: the denoiser's `scaled_linear` one, and the CDM's cosine one with fewer steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """beta_t and alpha_bar_t = prod(1 - beta), both (T,), in the working precision."""

    betas: Tensor
    alpha_bar: Tensor

    def __len__(self) -> int:
        return len(self.betas)

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> Schedule:
        """The schedule in another precision, on another device."""
        return Schedule(self.betas.to(device, dtype), self.alpha_bar.to(device, dtype))


def scaled_linear(start: float, end: float, steps: int) -> Schedule:
    """beta = linspace(sqrt start, sqrt end)^2, computed in float64 and stored in float32 as the authors do."""
    betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    return Schedule(betas.float(), torch.cumprod(1.0 - betas, 0).float())


def cosine_betas(steps: int = 1000) -> NDArray[np.float64]:
    """beta_t of the cosine schedule (Nichol and Dhariwal, 2021, Eq. 17), at most 0.999."""

    def alpha_bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    return np.array([min(1 - alpha_bar((i + 1) / steps) / alpha_bar(i / steps), 0.999) for i in range(steps)])


def respaced(steps: int, total: int = 1000) -> tuple[list[int], NDArray[np.float64]]:
    """`steps` of `total` times (0 .. total - 1, rising), evenly from first to last; alpha_bar of the cosine schedule
    there, (steps,). Nichol and Dhariwal (2021), section 4."""
    stride = (total - 1) / (steps - 1) if steps > 1 else 1.0
    kept = [round(stride * i) for i in range(steps)]
    alpha_bar = np.cumprod(1.0 - cosine_betas(total), dtype=np.float64)
    return kept, np.asarray(alpha_bar[kept], np.float64)

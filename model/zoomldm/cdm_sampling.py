"""Sampling the Summarizer's output with the CDM: DDIM with x0-prediction (Song et al., 2021, Eq. 12)."""

from __future__ import annotations

import torch
from torch import Tensor

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.config import ZoomLDMConfig
from everslide.model.zoomldm.schedule import respaced

STEPS = 200
"""DDIM steps, as many as the authors take."""


def check_match(cdm: CDM, config: ZoomLDMConfig) -> None:
    """Raise WeightsError where the CDM samples conditions of another shape than the checkpoint's denoiser takes."""
    found = (cdm.config.tokens, cdm.config.channels)
    if found != config.context_shape:
        raise WeightsError(
            f"the CDM samples {found[0]} vectors of {found[1]}, the checkpoint expects {config.context_shape[0]} of "
            f"{config.context_shape[1]}: give the CDM that belongs to it"
        )


def sample_conditions(cdm: CDM, z: Tensor, magnification: Tensor, steps: int = STEPS) -> Tensor:
    """Noise z (B, channels, tokens) and scales (B,) int64, 0 for 20x -> conditions c (B, tokens, channels)."""
    times, alpha_bar = respaced(steps)
    x = z
    for i in reversed(range(steps)):
        t = torch.full((len(z),), times[i], device=z.device)
        x0 = cdm(x, t, magnification)[:, : z.shape[1]]
        here, after = float(alpha_bar[i]), float(alpha_bar[i - 1]) if i else 1.0
        eps = (x - here**0.5 * x0) / (1 - here) ** 0.5
        x = after**0.5 * x0 + (1 - after) ** 0.5 * eps
    return x.transpose(1, 2)

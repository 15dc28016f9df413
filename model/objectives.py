"""What the network is trained for: to walk from noise to detail.

The velocity of the straight path between detail and noise (Liu et al., "Flow straight and fast", 2022), t from a
logit-normal (Esser et al., "Scaling rectified flow transformers", 2024, section 3.1), with noise of a random strength
on the parent (Ho et al., "Cascaded diffusion models", 2022).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from everslide.model.dataset import Batch

Forward = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
COLOUR_SHARES = (2.0, 0.5, 0.5)
"""Weight of brightness and of the two colour differences in the velocity loss."""
TIME_SHIFT = 0.5
"""Mean of the logit of t: structure is decided early, near pure noise."""
MAX_STRENGTH = 0.16
"""Strongest noise put on the parent, as a deviation in [-1, 1] units: 0.08 of the full range."""


def velocity_loss(batch: Batch, forward: Forward, generator: torch.Generator | None) -> Tensor:
    """Mean squared error of the velocity at random times, a scalar."""
    seen, strength = _augmented(batch, generator)
    count, device = len(batch.s), batch.detail.device
    t = torch.sigmoid(torch.randn(count, generator=generator) + TIME_SHIFT).to(device)
    noise = torch.randn(batch.detail.shape, generator=generator).to(device)
    z_t = torch.lerp(batch.detail, noise, t[:, None, None, None])
    velocity = forward(z_t, seen, t, batch.s, strength, batch.cells, batch.known)
    error = (velocity.float() - (noise - batch.detail)).square().mean((0, 2, 3))  # (9,)
    return (error * torch.tensor(COLOUR_SHARES * 3, device=device)).mean()


def _augmented(batch: Batch, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """The parent with noise of a random strength (none for a fifth of the examples), and that strength (B,)."""
    drawn = torch.rand(len(batch.s), generator=generator).to(batch.parent.device)
    strength = (drawn * 1.25 - 0.25).clamp(min=0) * MAX_STRENGTH
    grain = torch.randn(batch.parent.shape, generator=generator).to(batch.parent.device)
    return batch.parent + grain * strength[:, None, None, None], strength

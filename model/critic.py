"""The critic: tells painted from real tissue, patch by patch, and so teaches the network what tissue looks like.

It is only used in training. It sees a child as the network does (its parent's colours and nine bands of detail, each
over the deviation of its scale), judges neighbourhoods of about 24 and 52 child pixels, and is told the scale. A
bounded reach keeps it at its own octave: what is wrong in the parent is the business of the critic one scale up.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.network import DETAIL_CHANNELS, PARENT_CHANNELS

Judge = Callable[[Tensor, Tensor], list[Tensor]]
PENALTY_DEVIATION = 0.1
"""Deviation of the noise that probes the slope of the critic, in units of its inputs."""


class Critic(nn.Module):
    """Scores of painted detail; higher is more real."""

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 96), scales: int = 12) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.enter = nn.Conv2d(DETAIL_CHANNELS + PARENT_CHANNELS, fine, 3, padding=1)
        self.scale = nn.Embedding(scales, 2 * fine)
        self.fine = nn.Conv2d(fine, fine, 3, padding=1)
        self.shrink = nn.Conv2d(fine, middle, 4, stride=2, padding=1)
        self.middle = nn.Conv2d(middle, middle, 3, padding=1)
        self.shrink_again = nn.Conv2d(middle, coarse, 4, stride=2, padding=1)
        self.coarse = nn.Conv2d(coarse, coarse, 3, padding=1)
        self.judge_middle = nn.Conv2d(middle, 1, 1)
        self.judge_coarse = nn.Conv2d(coarse, 1, 1)
        self.expect_middle = nn.Embedding(scales, middle)
        self.expect_coarse = nn.Embedding(scales, coarse)
        for table in (self.scale, self.expect_middle, self.expect_coarse):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, seen: Tensor, s: Tensor) -> list[Tensor]:
        """seen: (B, 12, H, W), see `critic_input`; s: (B,) int64 -> scores (B, H/2, W/2) and (B, H/4, W/4)."""
        gain, shift = self.scale(s)[:, :, None, None].chunk(2, dim=1)
        x = _bend(self.enter(seen) * (1 + gain) + shift)
        x = _bend(self.fine(x))
        x = _bend(self.shrink(x))
        middle = _bend(self.middle(x)) + x
        x = _bend(self.shrink_again(middle))
        coarse = _bend(self.coarse(x)) + x
        return [
            self.judge_middle(middle)[:, 0] + torch.einsum("bchw,bc->bhw", middle, self.expect_middle(s)),
            self.judge_coarse(coarse)[:, 0] + torch.einsum("bchw,bc->bhw", coarse, self.expect_coarse(s)),
        ]


def critic_input(bands: Tensor, parent: Tensor) -> Tensor:
    """Whole detail (B, 9, H, W) over its deviation and its parent (B, 3, H, W) in [-1, 1] -> (B, 12, H, W)."""
    return torch.cat([bands, 2 * parent], 1)


def relative_loss(better: list[Tensor], worse: list[Tensor]) -> Tensor:
    """softplus(worse - better), mean over patches: each real patch against a painted one of its own scale.

    Jolicoeur-Martineau, "The relativistic discriminator", 2018; with the two penalties below as in Huang et al., "The
    GAN is dead; long live the GAN!", 2024, Eq. 4.
    """
    return torch.stack([F.softplus(w - b).mean() for b, w in zip(better, worse, strict=True)]).mean()


def slope_penalty(judge: Judge, seen: Tensor, s: Tensor, scores: list[Tensor]) -> Tensor:
    """Mean squared slope of the scores at `seen`, by finite differences: |D(x + n) - D(x)|^2 / (2 deviation^2).

    Stands for the R1 and R2 penalties without second derivatives (Lin et al., "Diffusion adversarial post-training",
    2025, section 3.4).
    """
    probed: list[Tensor] = judge(seen + PENALTY_DEVIATION * torch.randn_like(seen), s)
    slopes = [(p - q).square().mean() for p, q in zip(probed, scores, strict=True)]
    return torch.stack(slopes).mean() / (2 * PENALTY_DEVIATION**2)


def _bend(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)

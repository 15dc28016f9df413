"""The critic: tells painted from real detail, at every scale and at three sizes of what it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.network import DETAIL_CHANNELS, FOLD, PARENT_CHANNELS

SLOPE = 0.2
"""Of the leaky rectifiers below zero."""


@dataclass(frozen=True)
class CriticConfig:
    """channels: width per resolution, finest first, of two parent pixels, four, and so on. scales: embeddings."""

    channels: tuple[int, ...] = (64, 128, 192)
    scales: int = 12


class _Block(nn.Module):
    """x + conv(act(conv(act(x)))), nearly the identity at first; no normalisation (Huang et al., 2024, section 3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)
        nn.init.normal_(self.conv_out.weight, std=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.conv_in(F.leaky_relu(x, SLOPE)), SLOPE)
        out: Tensor = x + self.conv_out(h)
        return out


class Critic(nn.Module):
    """Verdicts on detail and its parent: large where they look real. Told the scale; sees no place and no time."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        self.enter = nn.Conv2d((DETAIL_CHANNELS + PARENT_CHANNELS) * FOLD * FOLD, widths[0], 3, padding=1)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.blocks = nn.ModuleList(_Block(width) for width in widths)
        self.scale = nn.ModuleList(nn.Embedding(config.scales, width) for width in widths)
        self.verdict = nn.ModuleList(nn.Conv2d(width, 1, 3, padding=1) for width in widths)
        for embedding in self.scale:
            nn.init.normal_(embedding.weight, std=0.1)  # type: ignore[arg-type]

    def forward(self, bands: Tensor, parent: Tensor, s: Tensor) -> list[Tensor]:
        """bands (B, 9, H, W) over their deviation, smooth part included; parent (B, 3, H, W) in [-1, 1]; s (B,) int64.

        A map of verdicts (B, 1, h, w) for every resolution. H and W are multiples of 2 ** len(channels).
        """
        x = self.enter(F.pixel_unshuffle(torch.cat([bands, 2 * parent], 1), FOLD))
        verdicts = []
        for level, block in enumerate(self.blocks):
            if level:
                x = self.shrink[level - 1](x)
            x = block(x + self.scale[level](s)[:, :, None, None])
            verdicts.append(self.verdict[level](F.leaky_relu(x, SLOPE)).float())
        return verdicts

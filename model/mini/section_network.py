"""The network that fills sections: pixels of whole sections at 128 um per pixel, from their silhouette and organ.

A section is 20 to 160 px there and is seen whole, so that a bowel can have a wall around its lumen and skin its surface
on one side. As `everslide.model.mini.network`, it draws one sample at a time from noise at every resolution; eight more
numbers, common to all sections of a slide, say what that slide's stain and case are like.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.mini.network import FOLD, ResidualBlock, pixel_norm

CANVAS_PX = 160
"""Side of the square that a section, or a group of them, is painted in."""
SHAPE_CHANNELS = 2
LATENT = 8
DEPTH_PX = 12.0
"""Distances from the outline are told up to about this one."""
FINE_NOISE = 2


@dataclass(frozen=True)
class SectionConfig:
    """channels: width per resolution, finest first, half of the canvas's and on. noise: channels of noise at each.
    fine: width of the convolutions at the canvas's own resolution. organs: names of those with an embedding."""

    channels: tuple[int, ...] = (48, 96, 128, 160)
    noise: tuple[int, ...] = (4, 8, 8, 8)
    fine: int = 16
    embedding: int = 128
    organs: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class SectionUNet(nn.Module):
    """Colours of sections given their silhouettes."""

    def __init__(self, config: SectionConfig) -> None:
        super().__init__()
        self.config = config
        widths, emb = config.channels, config.embedding
        assert len(config.noise) == len(widths)
        self.latent = nn.Sequential(nn.Linear(LATENT, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.organ = nn.Linear(len(config.organs), emb, bias=False) if config.organs else None
        self.enter = nn.Conv2d(SHAPE_CHANNELS * FOLD * FOLD, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            shrink = nn.Conv2d(widths[level - 1], width, 2, stride=2) if level else nn.Identity()
            grow = nn.Conv2d(width, widths[level - 1] * 4, 1) if level else nn.Identity()
            join = nn.Conv2d(2 * width, width, 1) if level < len(widths) - 1 else nn.Identity()
            drawn = nn.Conv2d(config.noise[level], width, 1, bias=False)
            nn.init.normal_(drawn.weight, std=0.3)
            self.down.append(nn.ModuleDict({"shrink": shrink, "noise": drawn, "block": ResidualBlock(width, emb)}))
            self.up.append(nn.ModuleDict({"join": join, "block": ResidualBlock(width, emb), "grow": grow}))
        self.leave = nn.Conv2d(widths[0] // (FOLD * FOLD) + SHAPE_CHANNELS + FINE_NOISE, config.fine, 3, padding=1)
        self.film = nn.Linear(emb, 2 * config.fine)
        self.colours = nn.Conv2d(config.fine, 3, 3, padding=1)

    def forward(self, shape: Tensor, noise: tuple[Tensor, ...], latent: Tensor, organ: Tensor) -> Tensor:
        """Colours (B, 3, N, N) in [-1, 1], those of glass where no tissue is.

        shape: (B, 2, N, N), see `shape_channels`. noise: standard normals (B, 2, N, N), then (B, C, N/2, N/2) and so on
        of the channels in `config.noise`. latent: (B, 8) standard normals. organ: (B, organs), shares.
        """
        e = self.latent(latent)
        if self.organ is not None:
            e = e + self.organ(organ)
        e = F.silu(e)
        x, skips = self.enter(F.pixel_unshuffle(shape, FOLD)), list[Tensor]()
        for stage, drawn in zip(self.down, noise[1:], strict=True):
            x = stage["shrink"](x) + stage["noise"](drawn)  # type: ignore[index]
            x = stage["block"](x, e)  # type: ignore[index]
            skips.append(x)
        skips.pop()
        for level in reversed(range(len(self.up))):
            stage = self.up[level]
            if level < len(self.up) - 1:
                x = stage["join"](torch.cat([x, skips.pop()], 1))  # type: ignore[index]
            x = stage["block"](x, e)  # type: ignore[index]
            if level:
                x = F.pixel_shuffle(stage["grow"](x), 2)  # type: ignore[index]
        h = self.leave(torch.cat([F.pixel_shuffle(F.silu(pixel_norm(x)), FOLD), shape, noise[0]], 1))
        scale, shift = self.film(e)[:, :, None, None].chunk(2, dim=1)
        h = F.silu(pixel_norm(h) * (1 + scale) + shift)
        cover = shape[:, :1]
        return torch.tanh(self.colours(h)) * cover + GLASS * (1 - cover)


GLASS = 242 / 127.5 - 1
"""Brightness of glass in [-1, 1]."""


def noise_sides(config: SectionConfig, side: int) -> tuple[tuple[int, int], ...]:
    """(channels, side) of each of the noises that `SectionUNet.forward` takes for a canvas of `side` px."""
    return ((FINE_NOISE, side), *((count, side >> (level + 1)) for level, count in enumerate(config.noise)))

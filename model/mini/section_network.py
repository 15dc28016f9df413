"""The network of whole sections: the colours of tissue at 512 um per pixel, from a silhouette, an organ and a palette.

A section is 5 to 40 px there and is seen whole, so that a bowel can have a wall around its lumen and skin its surface
on one side. As `everslide.model.mini.network`, it draws a sample in one evaluation from noise at every resolution.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.mini.network import ResidualBlock, pixel_norm
from everslide.model.style_reference import COLOURS

SHAPE_CHANNELS = 2
PALETTE = 3 * COLOURS


@dataclass(frozen=True)
class SectionConfig:
    """channels: width at each resolution, finest first. noise: channels of noise at each. embedding: length E of the
    embedding of palette and organ. organs: names of those that have one."""

    channels: tuple[int, ...] = (40, 80, 128)
    noise: tuple[int, ...] = (8, 8, 8)
    embedding: int = 128
    organs: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class SectionUNet(nn.Module):
    """Colours of the tissue of sections, given their silhouettes."""

    def __init__(self, config: SectionConfig) -> None:
        super().__init__()
        self.config = config
        widths, emb = config.channels, config.embedding
        assert len(config.noise) == len(widths)
        self.palette = nn.Sequential(nn.Linear(PALETTE, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.organ = nn.Linear(len(config.organs), emb, bias=False) if config.organs else None
        self.enter = nn.Conv2d(SHAPE_CHANNELS, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            shrink = nn.Conv2d(widths[level - 1], width, 2, stride=2) if level else nn.Identity()
            grow = nn.Conv2d(width, widths[level - 1], 3, padding=1) if level else nn.Identity()
            join = nn.Conv2d(2 * width, width, 1) if level < len(widths) - 1 else nn.Identity()
            drawn = nn.Conv2d(config.noise[level], width, 1, bias=False)
            nn.init.normal_(drawn.weight, std=0.3)
            self.down.append(nn.ModuleDict({"shrink": shrink, "noise": drawn, "block": ResidualBlock(width, emb)}))
            self.up.append(nn.ModuleDict({"join": join, "block": ResidualBlock(width, emb), "grow": grow}))
        self.leave = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, shape: Tensor, noise: tuple[Tensor, ...], palette: Tensor, organ: Tensor) -> Tensor:
        """Colours of tissue (B, 3, N, N) in [-1, 1]; they mean something where there is tissue.

        shape: (B, 2, N, N), see `everslide.model.mini.sections.shape_channels`. noise: standard normals (B, C, N, N),
        (B, C, N/2, N/2) and so on, C as in `config.noise`. palette: (B, 15) in [-1, 1], the colours of a
        `everslide.model.style_reference.Style`. organ: (B, organs), shares; zeros: unknown.
        """
        e = self.palette(palette)
        if self.organ is not None:
            e = e + self.organ(organ)
        e = F.silu(e)
        x, skips = self.enter(shape), list[Tensor]()
        for stage, drawn in zip(self.down, noise, strict=True):
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
                x = stage["grow"](F.interpolate(x, scale_factor=2.0, mode="bilinear"))  # type: ignore[index]
        return torch.tanh(self.leave(F.silu(pixel_norm(x))))

    def noise_shapes(self, side: int) -> list[tuple[int, int, int]]:
        """(C, height, width) of each of the noises for silhouettes of `side` px."""
        return [(channels, side >> level, side >> level) for level, channels in enumerate(self.config.noise)]

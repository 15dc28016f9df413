"""A plain vision transformer (Dosovitskiy et al., 2021) that reads the published weights of UNI, HIPT and DINOv2.

Written here because neither timm nor torchvision belongs to the environment. Parameter names are timm's, which all
three share.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.zoomldm.transformer import Attention, GatedMlp, Mlp


@dataclass(frozen=True)
class ViTConfig:
    """patch: side of a token in pixels; grid: side of the stored position grid; layer_scale: has learned gates;
    offset: what DINOv2 adds to the grid's side when it interpolates positions; antialias: it does so with a filter.
    registers: learned tokens between the class token and the patches, which have no position (Darcet et al., 2024).
    gated: inner width of a gated perceptron, both halves; 0 for a plain one. class_position: the class token has one.
    """

    patch: int
    width: int
    depth: int
    heads: int
    grid: int
    layer_scale: bool
    offset: float = 0.0
    registers: int = 0
    antialias: bool = False
    gated: int = 0
    class_position: bool = True


class _Gate(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class _Block(nn.Module):
    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, config.heads)
        self.mlp: nn.Module = GatedMlp(width, config.gated) if config.gated else Mlp(width, 4 * width, "none")
        self.ls1: nn.Module = _Gate(width) if config.layer_scale else nn.Identity()
        self.ls2: nn.Module = _Gate(width) if config.layer_scale else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class _PatchEmbed(nn.Module):
    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch, stride=config.patch)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class VisionTransformer(nn.Module):
    """Image -> class token, after the last layer norm."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        if config.registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, config.width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, config.class_position + config.grid**2, config.width))
        self.patch_embed = _PatchEmbed(config)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised, sides multiples of the patch -> class token (B, width)."""
        return self.tokens(image)[:, 0]

    def tokens(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised -> all tokens (B, 1 + registers + h w, width), the class token first."""
        x = self.patch_embed(image)  # (B, width, h, w)
        x = x + self._positions(x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2)
        first = self.cls_token + self.pos_embed[:, :1] if self.config.class_position else self.cls_token
        first = first.expand(len(x), -1, -1)
        extra = [self.register_tokens.expand(len(x), -1, -1)] if self.config.registers else []
        x = torch.cat([first, *extra, x], 1)  # (B, 1 + registers + h w, width)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def _positions(self, height: int, width: int) -> Tensor:
        """Learned positions (1, width, h, w), interpolated where the image is of another size than in training."""
        grid, offset = self.config.grid, self.config.offset
        stored = self.pos_embed[:, int(self.config.class_position) :].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        if (height, width) == (grid, grid):
            return stored
        if offset:  # DINOv2 gives factors a little above the ratio of the sides
            factors = ((height + offset) / grid, (width + offset) / grid)
            return F.interpolate(stored, scale_factor=factors, mode="bicubic")
        return F.interpolate(stored, (height, width), mode="bicubic", antialias=self.config.antialias)

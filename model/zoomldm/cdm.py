"""The Conditioning Diffusion Model: a DiT on 65 one-dimensional tokens (Peebles and Xie, 2023, adaLN-Zero).

It samples the Summarizer's output of one image, given the magnification alone. An own module with the authors'
parameter names: diffusers' DiT takes two-dimensional patches.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.zoomldm.config import CDMConfig
from everslide.model.zoomldm.transformer import Attention, Mlp

FREQUENCIES = 256
"""Numbers that a time is given to the network in: cosines and sines of 128 frequencies each."""


class _Block(nn.Module):
    def __init__(self, config: CDMConfig) -> None:
        super().__init__()
        width = config.hidden
        self.attn = Attention(width, config.heads)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), "tanh")
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))  # the authors' name

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c)[:, None].chunk(6, dim=2)
        x = x + gate_a * self.attn(_norm(x) * (1 + scale_a) + shift_a)
        out: Tensor = x + gate_m * self.mlp(_norm(x) * (1 + scale_m) + shift_m)
        return out


class _Last(nn.Module):
    def __init__(self, config: CDMConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.hidden, 2 * config.channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.hidden, 2 * config.hidden))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(c)[:, None].chunk(2, dim=2)
        out: Tensor = self.linear(_norm(x) * (1 + scale) + shift)
        return out


class _Time(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        half = FREQUENCIES // 2
        rate = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
        angle = t.float()[:, None] * rate
        waves = torch.cat([angle.cos(), angle.sin()], 1)
        out: Tensor = self.mlp(waves.to(next(self.mlp.parameters()).dtype))
        return out


class _Label(nn.Module):
    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(classes, width)

    def forward(self, y: Tensor) -> Tensor:
        out: Tensor = self.embedding_table(y)
        return out


class CDM(nn.Module):
    """Predicts clean Summarizer outputs (x0), and the variance of the reverse step, from noised ones."""

    def __init__(self, config: CDMConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens, config.hidden), requires_grad=False)
        self.x_embedder = nn.Linear(config.channels, config.hidden)
        self.t_embedder = _Time(config.hidden)
        self.y_embedder = _Label(config.classes, config.hidden)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.final_layer = _Last(config)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """x (B, channels, tokens), noised to t (B,) in 0 .. 999, y (B,) int64 scale -> (B, 2 channels, tokens).

        The first half is x0, the second the variance as v in [-1, 1] (Nichol and Dhariwal, 2021, Eq. 15).
        """
        assert x.shape[1:] == (self.config.channels, self.config.tokens)
        h = self.x_embedder(x.transpose(1, 2)) + self.pos_embed
        c = self.t_embedder(t) + self.y_embedder(y)
        for block in self.blocks:
            h = block(h, c)
        out: Tensor = self.final_layer(h, c).transpose(1, 2)
        return out


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)

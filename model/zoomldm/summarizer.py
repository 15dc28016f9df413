"""The Summarizer: a grid of SSL embeddings and a magnification -> the 65 vectors that the U-Net attends to.

An own module with the authors' parameter names: a pre-norm transformer over 64 places plus one token for the
magnification. Fewer than 64 embeddings sit in the middle, the other places hold one learned pad token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.zoomldm.config import SummarizerConfig

GRID = 8
"""Largest side of a grid of embeddings; larger ones are pooled to it."""


def grid_side(magnification: int) -> int:
    """Side of the embedding grid of an image: it covers 2^m x 2^m patches of 20x, pooled to at most 8x8."""
    return min(int(2**magnification), GRID)


def prepare_grid(raw: Tensor) -> Tensor:
    """Pool a grid of embeddings (..., C, k, k) to at most 8x8, then normalise each place over its channels.

    (x - mean_c) / (std_c + 1e-8) with the unbiased deviation, as the authors' data loader does.
    """
    pooled = F.adaptive_avg_pool2d(raw, (GRID, GRID)) if max(raw.shape[-2:]) > GRID else raw
    mean, deviation = pooled.mean(-3, keepdim=True), pooled.std(-3, keepdim=True)
    return (pooled - mean) / (deviation + 1e-8)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps=1e-6)
        # names mlp.0 and mlp.3: the authors' dropouts, which do nothing here, are modules 2 and 4
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_dim), nn.GELU(), nn.Identity(), nn.Linear(mlp_dim, width), nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.ln_1(x)
        attended, _ = self.self_attention(h, h, h, need_weights=False)
        x = x + attended
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class _Encoder(nn.Module):
    def __init__(self, config: SummarizerConfig) -> None:
        super().__init__()
        width = config.hidden_channels
        self.pos_embedding = nn.Parameter(0.02 * torch.randn(1, config.tokens + 1, width))
        self.layers = nn.ModuleDict(
            {f"encoder_layer_{i}": _Layer(width, config.heads, config.mlp_dim) for i in range(config.layers)}
        )
        self.ln = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embedding
        for layer in self.layers.values():
            x = layer(x)
        out: Tensor = self.ln(x)
        return out


class Summarizer(nn.Module):
    """c = Summarizer(u, m): the published transformer."""

    def __init__(self, config: SummarizerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_channels
        self.pad_token = nn.Parameter(torch.randn(1, 1, width))
        self.mag_embedding = nn.Embedding(config.magnifications, width)
        self.dim_reduce = nn.Linear(config.input_channels, width)
        self.encoder = _Encoder(config)
        self.final_proj = nn.Linear(width, config.output_channels)
        self.layer_norm = nn.LayerNorm(config.output_channels)

    def forward(self, grid: Tensor, magnification: Tensor) -> Tensor:
        """grid (B, C, k, k), already prepared, 1 <= k <= 8; magnification (B,) int64 -> (B, 65, output_channels)."""
        assert grid.ndim == 4 and grid.shape[1] == self.config.input_channels and max(grid.shape[2:]) <= GRID
        tokens = self.dim_reduce(grid.flatten(2).transpose(1, 2))  # (B, k k, hidden), row by row
        x = torch.cat(
            [self.mag_embedding(magnification)[:, None], centred(tokens, self.pad_token, self.config.tokens)], 1
        )  # (B, 65, hidden)
        out: Tensor = self.layer_norm(self.final_proj(self.encoder(x)))
        return out


class _Convolution(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv(F.silu(self.norm(x)))
        return out


class CNNSummarizer(nn.Module):
    """What the transformer is compared with: convolutions over the grid, which see as far as their layers reach."""

    def __init__(self, config: SummarizerConfig) -> None:
        super().__init__()
        self.config, width = config, config.hidden_channels
        self.pad_token = nn.Parameter(torch.randn(1, 1, width))
        self.mag_embedding = nn.Embedding(config.magnifications, width)
        self.dim_reduce = nn.Conv2d(config.input_channels, width, 1)
        self.layers = nn.ModuleList(_Convolution(width) for _ in range(config.layers))
        self.final_proj = nn.Linear(width, config.output_channels)
        self.layer_norm = nn.LayerNorm(config.output_channels)

    def forward(self, grid: Tensor, magnification: Tensor) -> Tensor:
        """See `Summarizer.forward`."""
        assert grid.ndim == 4 and grid.shape[1] == self.config.input_channels and max(grid.shape[2:]) <= GRID
        own = self.mag_embedding(magnification)
        x = self.dim_reduce(grid) + own[:, :, None, None]
        for layer in self.layers:
            x = layer(x)
        tokens = torch.cat([own[:, None], centred(x.flatten(2).transpose(1, 2), self.pad_token, self.config.tokens)], 1)
        out: Tensor = self.layer_norm(self.final_proj(tokens))
        return out


def make_summarizer(config: SummarizerConfig) -> Summarizer | CNNSummarizer:
    """The Summarizer of a configuration, with random weights."""
    return CNNSummarizer(config) if config.kind == "cnn" else Summarizer(config)


def centred(tokens: Tensor, pad_token: Tensor, total: int) -> Tensor:
    """Tokens (B, n, hidden) -> (B, total, hidden): from place total // 2 - n // 2 on, the pad token at the others."""
    count = tokens.shape[1]
    before = total // 2 - count // 2
    pad = pad_token.expand(tokens.shape[0], -1, -1)
    return torch.cat([pad.expand(-1, before, -1), tokens, pad.expand(-1, total - before - count, -1)], 1)

"""The Summarizer of `mini`: embeddings of the cells of an image -> what its denoiser is told of the tissue.

As in ZoomLDM (CVPR 2025, section 3.2) a transformer reads at most 8 x 8 embeddings and a token of the magnification.
Unlike there, cells have no learned place: a window and its neighbour see the same cell alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 4
LAYERS = 2


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.second = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) -> the same."""
        x = x + self.joined(attend(self.attention(self.first(x))))
        out: Tensor = x + self.mlp(self.second(x))
        return out


def attend(qkv: Tensor) -> Tensor:
    """Attention of HEADS heads: (B, N, 3 width) -> (B, N, width)."""
    batch, count, width = qkv.shape
    q, k, v = qkv.reshape(batch, count, 3, HEADS, width // 3 // HEADS).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, width // 3)


class Summarizer(nn.Module):
    """Embeddings (B, E, k, k) and scales (B,) -> one vector (B, width) for the whole, and a map (B, width, k, k)."""

    def __init__(self, embedding: int, width: int, scales: int) -> None:
        super().__init__()
        self.enter = nn.Linear(embedding, width)
        self.magnification = nn.Embedding(scales, width)
        self.layers = nn.Sequential(*(Layer(width) for _ in range(LAYERS)))
        self.leave = nn.LayerNorm(width)

    def forward(self, cells: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        batch, _, high, wide = cells.shape
        places = self.enter(cells.flatten(2).transpose(1, 2))  # (B, k k, width)
        x = torch.cat([self.magnification(s)[:, None], places], 1)
        x = self.leave(self.layers(x))
        return x[:, 0], x[:, 1:].transpose(1, 2).reshape(batch, -1, high, wide)

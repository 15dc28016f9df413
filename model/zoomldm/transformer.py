"""The two parts that UNI, HIPT, DINOv2 and the CDM's DiT have in common, under timm's parameter names."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention over (B, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        count, length, width = x.shape
        split = self.qkv(x).reshape(count, length, 3, self._heads, width // self._heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each (B, heads, T, width / heads)
        out: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))
        return out


class GatedMlp(nn.Module):
    """SwiGLU (Shazeer, 2020), (..., width) -> (..., width): half of `inner` channels gates the other, as in timm."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner // 2, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.fc1(x).chunk(2, dim=-1)
        out: Tensor = self.fc2(F.silu(gate) * value)
        return out


class Mlp(nn.Module):
    """Two linear layers, (..., width) -> (..., width), with GELU between them: exact (none) or approximated (tanh)."""

    def __init__(self, width: int, inner: int, gelu: Literal["none", "tanh"]) -> None:
        super().__init__()
        self._gelu = gelu
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x), approximate=self._gelu))
        return out

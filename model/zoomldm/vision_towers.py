"""The image halves of CLIP (Radford et al., 2021) and CONCH (Lu et al., 2024), under the names of published files.

Own modules: a state dict is all that is read, so that nothing in a file is run. Sizes are those of the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.checkpoint import check_names
from everslide.model.zoomldm.vit import VisionTransformer, ViTConfig

N = TypeVar("N", bound=nn.Module)
HEAD_WIDTH = 64
"""Channels of an attention head in both."""


class _QuickGELU(nn.Module):
    """x sigmoid(1.702 x), as CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class _ClipBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, max(width // HEAD_WIDTH, 1), batch_first=True)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", _QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.ln_1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class _Blocks(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(_ClipBlock(width) for _ in range(depth))


class ClipVision(nn.Module):
    """CLIP's vision transformer: image (B, 3, side, side), normalised -> (B, embedding)."""

    def __init__(self, patch: int, width: int, depth: int, grid: int, embedding: int) -> None:
        super().__init__()
        self.input_px = patch * grid
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(0.02 * torch.randn(1 + grid**2, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = _Blocks(width, depth)
        self.proj = nn.Parameter(width**-0.5 * torch.randn(width, embedding))

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv1(image).flatten(2).transpose(1, 2)  # (B, h w, width)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x)
        out: Tensor = self.ln_post(x[:, 0]) @ self.proj
        return out


class _Pooler(nn.Module):
    """One learned query that attends to all tokens."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, width))
        self.attn = nn.MultiheadAttention(width, 8, kdim=context, vdim=context, batch_first=True)
        self.ln_q, self.ln_k = nn.LayerNorm(width), nn.LayerNorm(context)

    def forward(self, tokens: Tensor) -> Tensor:
        keys, query = self.ln_k(tokens), self.ln_q(self.query).expand(len(tokens), -1, -1)
        out: Tensor = self.attn(query, keys, keys, need_weights=False)[0][:, 0]
        return out


class ConchVision(nn.Module):
    """CONCH's vision transformer and its contrastive pooling: image (B, 3, side, side), normalised -> (B, width)."""

    def __init__(self, trunk: ViTConfig, width: int) -> None:
        super().__init__()
        self.input_px = trunk.patch * trunk.grid
        self.trunk = VisionTransformer(trunk)
        self.attn_pool_contrast = _Pooler(width, trunk.width)
        self.ln_contrast = nn.LayerNorm(width)
        self.proj_contrast = nn.Parameter(width**-0.5 * torch.randn(width, width))

    def forward(self, image: Tensor) -> Tensor:
        pooled = self.ln_contrast(self.attn_pool_contrast(self.trunk.tokens(image)))
        return F.normalize(pooled @ self.proj_contrast, dim=-1)


def make_clip(path: Path, tensors: Mapping[str, Tensor]) -> ClipVision:
    """CLIP's image half from a whole state dict (`visual.*`). path: named in errors. Raises WeightsError."""
    own = _below("visual.", tensors)
    try:
        width, _, patch, _ = own["conv1.weight"].shape
        depth = _depth("transformer.resblocks.", own)
        grid = round((own["positional_embedding"].shape[0] - 1) ** 0.5)
        with torch.device("meta"):
            network = ClipVision(patch, width, depth, grid, own["proj"].shape[1])
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"{path}: expected CLIP's vision transformer (visual.*), lacks {error}") from error
    return _filled(path, network, own, "CLIP")


def make_conch(path: Path, tensors: Mapping[str, Tensor]) -> ConchVision:
    """CONCH's image half from a whole state dict (`visual.*`). path: named in errors. Raises WeightsError."""
    unused = ("attn_pool_caption.", "ln_caption.", "head.")
    own = {name: t for name, t in _below("visual.", tensors).items() if not name.startswith(unused)}
    try:
        width, _, patch, _ = own["trunk.patch_embed.proj.weight"].shape
        depth = _depth("trunk.blocks.", own)
        grid = round((own["trunk.pos_embed"].shape[1] - 1) ** 0.5)
        trunk = ViTConfig(patch, width, depth, max(width // HEAD_WIDTH, 1), grid, layer_scale=False)
        with torch.device("meta"):
            network = ConchVision(trunk, own["proj_contrast"].shape[0])
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"{path}: expected CONCH's vision transformer (visual.trunk.*), lacks {error}") from error
    return _filled(path, network, own, "CONCH")


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor.float() for name, tensor in tensors.items() if name.startswith(prefix)}


def _depth(prefix: str, tensors: Mapping[str, Tensor]) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)})


def _filled(path: Path, network: N, tensors: dict[str, Tensor], what: str) -> N:
    check_names(path, network.state_dict().keys(), tensors.keys(), set())
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{path}: expected the weights of {what}: {error}") from error
    return network.requires_grad_(False).eval()

"""The conditioning diffusion model of `mini`: samples the embeddings of an image's cells.

ZoomLDM's CDM (CVPR 2025, section 3.3) samples what the Summarizer gives for one image, from its magnification alone:
two neighbouring images have nothing to do with each other, nor a child with its parent. This one samples the embeddings
themselves, cell by cell, given what the encoder sees in the parent that is to be painted upon, from noise that a
child's cell shares with its parent's. So conditions agree across windows and down the pyramid without any real slide.
Told no parent, it draws from the magnification, as ZoomLDM's does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.conditions.cells import CELL_PX
from everslide.model.conditions.encoder import EMBEDDING
from everslide.model.conditions.summarizer import attend
from everslide.model.network import fourier
from everslide.model.sampler import Sampler

SEEN_PX = CELL_PX // 2
"""Side of a cell in its parent's plane."""
STEPS = 4


@dataclass(frozen=True)
class CDMConfig:
    """width, depth: of the transformer over cells. scales: with an embedding of their own."""

    embedding: int = EMBEDDING
    width: int = 128
    depth: int = 3
    scales: int = 12

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class _Block(nn.Module):
    """A transformer layer that is scaled, shifted and gated by time and magnification (Peebles and Xie, 2023)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.normal_(self.modulation.weight, std=1e-2)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(e)[:, None].chunk(6, dim=2)
        x = x + gate_a * self.joined(attend(self.attention(_norm(x) * (1 + scale_a) + shift_a)))
        out: Tensor = x + gate_m * self.mlp(_norm(x) * (1 + scale_m) + shift_m)
        return out


class CDM(nn.Module):
    """Velocity of the straight path between the embeddings of cells and noise."""

    def __init__(self, config: CDMConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.enter = nn.Linear(config.embedding, width)
        self.look = nn.Linear(config.embedding, width)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.scale = nn.Embedding(config.scales, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(config.depth))
        self.leave = nn.Linear(width, config.embedding)
        nn.init.normal_(self.leave.weight, std=1e-2)

    def seen(self, hint: Tensor) -> Tensor:
        """What the parent shows of each cell, (B, k k, width), from the encoder's `glance` at it, (B, E, k, k)."""
        out: Tensor = self.look(hint.flatten(2).transpose(1, 2))
        return out

    def forward(self, z_t: Tensor, t: Tensor, s: Tensor, seen: Tensor) -> Tensor:
        """z_t (B, E, k, k), t (B,) in [0, 1], s (B,), `seen` (zeros for no parent) -> velocity (B, E, k, k)."""
        batch, _, high, wide = z_t.shape
        at = t.float()[:, None, None, None]
        length = (at.square() + (1 - at).square()).sqrt()
        e = F.silu(self.time(fourier(t).to(seen.dtype)) + self.scale(s))
        x = self.enter((z_t / length).to(seen.dtype).flatten(2).transpose(1, 2)) + seen
        for block in self.blocks:
            x = block(x, e)
        out = self.leave(_norm(x)).transpose(1, 2).reshape(batch, -1, high, wide)
        velocity: Tensor = z_t * ((2 * at - 1) / length.square()) - out / length
        return velocity

    @torch.no_grad()
    def sample(self, noise: Tensor, s: Tensor, hint: Tensor | None) -> Tensor:
        """Embeddings (B, E, k, k) from `noise` of that shape; hint: the encoder's `glance` at the parent, if any."""
        count, _, high, wide = noise.shape
        width = self.config.width
        seen = noise.new_zeros((count, high * wide, width)) if hint is None else self.seen(hint)

        def velocity(z_t: Tensor, t: float) -> Tensor:
            out: Tensor = self(z_t, torch.full((count,), t, device=noise.device), s, seen).float()
            return out

        return Sampler(Sampler.falling(STEPS)).walk(velocity, noise)


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)

"""Painting as training does it: octave below octave, on tensors, so that the loss of one reaches those above it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from everslide.model.mini.bands import COLOURS
from everslide.model.mini.network import DETAIL_CHANNELS
from everslide.model.training.places import PARENT_PX, Batch

Network = Callable[[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...], Tensor], Tensor]
PARTIAL_SHARE = 0.3
"""Share of the chains whose first octave starts with a part of its noise only, as later steps of a sampler do."""
LEAST_T = 0.1
TOLD_SHARE = 0.75
"""Share of the chains whose first octave is told that its parent is real. From the others the network learns what
belongs below a painted parent at the topmost scale, which is only ever the first octave of a chain."""
SAMPLES = 2


@dataclass(frozen=True)
class Brush:
    """network: see `DetailUNet.forward`. noise: its channels of noise. deviation: (scales, 9) of detail."""

    network: Network
    noise: tuple[int, ...]
    deviation: Tensor

    def child(
        self,
        parent: Tensor,
        s: Tensor,
        condition: Tensor,
        z_t: Tensor | None = None,
        t: Tensor | None = None,
        *,
        brightest: Tensor | None = None,
    ) -> Tensor:
        """One child (B, 3, 2H, 2W) of parents (B, 3, H, W), grey levels that are whole numbers in [0, 255].

        z_t, t: start from this, see `DetailUNet`; from noise alone by default. brightest: (B, 3), the colour of glass,
        which no child exceeds; see `everslide.model.pyramid.wavelet.children_of`.
        """
        count, _, high, wide = parent.shape
        device = parent.device
        if z_t is None or t is None:
            z_t = torch.randn((count, DETAIL_CHANNELS, high, wide), device=device)
            t = torch.ones(count, device=device)
        noise = tuple(
            torch.randn((count, channels, high >> halvings, wide >> halvings), device=device)
            for halvings, channels in enumerate(self.noise)
        )
        detail = self.network(z_t, parent / 127.5 - 1, t, s, noise, condition).float()
        bands = smooth_bands(parent) + unrotated(detail * self.deviation[s][:, :, None, None])
        child = merge(parent, bands)
        return whole(child if brightest is None else limited(child, parent, brightest))

    def detail(self, child: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Parents (B, 3, H, W) of real children (B, 3, 2H, 2W), whole numbers, and their detail (B, 9, H, W)."""
        parent = whole(F.avg_pool2d(child, 2))
        bands = rotated(details(child) - smooth_bands(parent))
        return parent, bands / self.deviation[s][:, :, None, None]


def limited(child: Tensor, parent: Tensor, brightest: Tensor) -> Tensor:
    """Children (B, 3, 2H, 2W) pulled towards their parents (B, 3, H, W) until none is brighter than (B, 3)."""
    enlarged = F.interpolate(parent, scale_factor=2)
    deviation = child - enlarged
    room = (brightest[:, :, None, None] - parent).clamp(min=0)
    share = (room / F.max_pool2d(deviation, 2).clamp(min=1e-3)).clamp(max=1)
    return enlarged + deviation * F.interpolate(share, scale_factor=2)


def paint_chains(brush: Brush, batch: Batch, partial: float = PARTIAL_SHARE) -> list[Tensor]:
    """Every chain painted SAMPLES times: for each octave (SAMPLES * B, 3, CROP_PX, CROP_PX), sample by sample.

    partial: share of the chains whose first octave starts with a part of its noise only; its samples start alike.
    """
    count = batch.s.shape[1]
    s = batch.s.repeat(1, SAMPLES)
    told = torch.rand(count, device=batch.condition.device) < TOLD_SHARE
    below_picture = below(batch.condition, told).repeat(SAMPLES, 1)
    condition = batch.condition.repeat(SAMPLES, 1)
    parent, truth = brush.detail(batch.reals[0], batch.s[0])
    z_t, t = _starts(truth, partial)
    parent = parent.repeat(SAMPLES, 1, 1, 1)
    painted = []
    for octave in range(len(s)):
        if octave == 0:
            child = brush.child(parent, s[octave], below_picture, z_t, t)
        else:
            child = brush.child(parent, s[octave], condition)
        painted.append(child)
        offsets = batch.offsets[octave].tolist() * SAMPLES
        parent = torch.stack(
            [child[i, :, y : y + PARENT_PX, x : x + PARENT_PX] for i, (y, x) in enumerate(offsets[: SAMPLES * count])]
        )
    return painted


def below(condition: Tensor, real: Tensor | bool) -> Tensor:
    """A condition (B, C) of painted parents made that of real ones, where they are real (B,)."""
    last = torch.as_tensor(real, device=condition.device).expand(len(condition))[:, None]
    return torch.cat([condition[:, :-1], last.to(condition.dtype)], 1)


def _starts(truth: Tensor, partial: float) -> tuple[Tensor, Tensor]:
    """z_t (SAMPLES * B, 9, H, W) and t (SAMPLES * B,): noise alone, or a part of it, the same for all samples."""
    count, device = len(truth), truth.device
    some = torch.rand(count, device=device) < partial
    t = torch.where(
        some, LEAST_T + (1 - LEAST_T) * torch.rand(count, device=device), torch.ones_like(truth[:, 0, 0, 0])
    )
    common, at = torch.randn_like(truth), t[:, None, None, None]
    shared = (1 - at) * truth + at * common
    own = torch.randn((SAMPLES, *truth.shape), device=device)
    z_t = torch.where(some[None, :, None, None, None], shared[None], own)
    return z_t.flatten(0, 1), t.repeat(SAMPLES)


def whole(grey: Tensor) -> Tensor:
    """Grey levels as a store keeps them, whole and in [0, 255]; gradients pass as if they were not rounded.

    Otherwise an octave could hide in fractions of a grey level what the next one shall paint.
    """
    return grey + (torch.floor(grey + 0.5).clamp(0, 255) - grey).detach()


def merge(parent: Tensor, bands: Tensor) -> Tensor:
    """(B, 3, H, W) and bands (B, 3, 3, H, W) -> (B, 3, 2H, 2W); see `everslide.model.pyramid.wavelet.merge`."""
    h, v, g = bands.unbind(1)
    quads = torch.stack([parent + h + v + g, parent - h + v - g, parent + h - v - g, parent - h - v + g], 2)
    return F.pixel_shuffle(quads.flatten(1, 2), 2)


def details(child: Tensor) -> Tensor:
    """(B, 3, 2H, 2W) -> bands (B, 3, 3, H, W); see `everslide.model.pyramid.wavelet.details`."""
    a, b, c, d = torch.unflatten(F.pixel_unshuffle(child, 2), 1, (3, 4)).unbind(2)
    return torch.stack([a - b + c - d, a + b - c - d, a - b - c + d], 1) * 0.25


def smooth_bands(parent: Tensor) -> Tensor:
    """(B, 3, H, W) -> bands (B, 3, 3, H, W); see `everslide.model.pyramid.wavelet.smooth_bands`."""
    padded = F.pad(parent, (1, 1, 1, 1), mode="replicate")
    h = (padded[:, :, 1:-1, :-2] - padded[:, :, 1:-1, 2:]) / 8
    v = (padded[:, :, :-2, 1:-1] - padded[:, :, 2:, 1:-1]) / 8
    corners = padded[:, :, :-2, :-2] - padded[:, :, :-2, 2:] - padded[:, :, 2:, :-2] + padded[:, :, 2:, 2:]
    return torch.stack([h, v, corners / 64], 1)


def rotated(bands: Tensor) -> Tensor:
    """Bands (B, 3, RGB, H, W) -> channels (B, 9, H, W), the colours decorrelated."""
    colours = torch.from_numpy(COLOURS).to(bands.device)
    return torch.einsum("nbrhw,cr->nbchw", bands, colours).flatten(1, 2)


def unrotated(channels: Tensor) -> Tensor:
    """The inverse of `rotated`."""
    colours = torch.from_numpy(COLOURS).to(channels.device)
    return torch.einsum("nbchw,cr->nbrhw", torch.unflatten(channels, 1, (3, 3)), colours)


@torch.no_grad()
def paint_down(
    brush: Brush, parent: NDArray[np.uint8], s: int, octaves: int, seed: int, conditions: int
) -> list[NDArray[np.uint8]]:
    """Pictures (2H, 2W, 3), (4H, 4W, 3) and so on below a real parent (H, W, 3) of scale s, each in one piece.

    conditions: length of what the network is conditioned on; it is shown none.
    """
    device = brush.deviation.device
    plane = torch.from_numpy(parent.astype(np.float32).transpose(2, 0, 1))[None].to(device)
    unconditional = torch.zeros((1, conditions), device=device)
    out = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for octave in range(1, octaves + 1):
            condition = below(unconditional, octave == 1)
            plane = brush.child(plane, torch.tensor([s - octave], device=device), condition)
            out.append(plane[0].permute(1, 2, 0).cpu().numpy().astype(np.uint8))
    return out

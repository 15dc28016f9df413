"""The denoiser of `mini`: a convolutional U-Net that paints Haar detail given the parent's pixels.

One network for all magnifications (ZoomLDM, CVPR 2025): the scale is an embedding, so is the strength of the noise put
on the parent (conditioning augmentation), and which tissue the cells of the image are is told by the Summarizer.
Between pixels there is no attention and no normalisation over space: apart from those conditions a pixel depends on a
bounded neighbourhood and never on how large its window is, which is what keeps the borders of windows invisible.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.conditions.encoder import EMBEDDING
from everslide.model.conditions.summarizer import Summarizer

DETAIL_CHANNELS = 9
PARENT_CHANNELS = 3
FOLD = 2
"""Pixels of the parent plane are folded 2x2 into channels before the first convolution."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the U-Net.

    channels: width per resolution, finest first; each resolution halves the one before.
    blocks: residual blocks per resolution, on the way down and again on the way up.
    scales: number of scales with an embedding of their own.
    cells: length of the embedding of a cell. context: width of the Summarizer.
    """

    channels: tuple[int, ...] = (96, 160, 224)
    blocks: int = 1
    embedding: int = 256
    scales: int = 12
    cells: int = EMBEDDING
    context: int = 128

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class ResidualBlock(nn.Module):
    """x + conv(act(film(norm(conv(act(norm(x))))))); the embedding scales and shifts between the two convolutions."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * width)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)
        nn.init.normal_(self.conv_out.weight, std=1e-3)  # nearly the identity; exact zeros would run through denormals
        nn.init.normal_(self.film.weight, std=1e-2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x: (B, C, H, W), embedding: (B, E) -> (B, C, H, W)."""
        h = self.conv_in(F.silu(pixel_norm(x)))
        scale, shift = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        h = F.silu(pixel_norm(h) * (1 + scale) + shift)
        out: Tensor = x + self.conv_out(h)
        return out


def pixel_norm(x: Tensor) -> Tensor:
    """Unit root mean square over the channels of each pixel, (B, C, H, W)."""
    return F.rms_norm(x.permute(0, 2, 3, 1), (x.shape[1],), eps=1e-4).permute(0, 3, 1, 2)


class DetailUNet(nn.Module):
    """Predicts the velocity of the straight path between detail and noise.

    z_t = (1 - t) detail + t noise, velocity = noise - detail (Liu et al., "Flow straight and fast", 2022, Eq. 1). What
    the layers see and give has about unit deviation at every time (Karras et al., "Elucidating the design space of
    diffusion-based generative models", 2022, section 5, on this path): at t = 1 they give the detail itself, at t = 0
    the noise that is left.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths, emb = config.channels, config.embedding
        folded = FOLD * FOLD
        self.enter = nn.Conv2d((DETAIL_CHANNELS + PARENT_CHANNELS) * folded, widths[0], 3, padding=1)
        self.time = nn.Sequential(nn.Linear(64, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.augmentation = nn.Linear(64, emb)
        self.scale = nn.Embedding(config.scales, emb)
        self.summarizer = Summarizer(config.cells, config.context, config.scales)
        self.context = nn.Linear(config.context, emb, bias=False)
        self.context_map = nn.Conv2d(config.context, widths[-1], 1, bias=False)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, width in enumerate(widths):
            blocks = nn.ModuleList(ResidualBlock(width, emb) for _ in range(config.blocks))
            mirror = nn.ModuleList(ResidualBlock(width, emb) for _ in range(config.blocks))
            shrink = nn.Conv2d(widths[level - 1], width, 2, stride=2) if level else nn.Identity()
            grow = nn.Conv2d(width, widths[level - 1] * 4, 1) if level else nn.Identity()
            join = nn.Conv2d(2 * width, width, 1) if level < len(widths) - 1 else nn.Identity()
            self.down.append(nn.ModuleDict({"shrink": shrink, "blocks": blocks}))
            self.up.append(nn.ModuleDict({"join": join, "blocks": mirror, "grow": grow}))
        self.leave = nn.Conv2d(widths[0], DETAIL_CHANNELS * folded, 3, padding=1)
        for layer in (self.leave, self.context, self.context_map):
            nn.init.normal_(layer.weight, std=1e-3)

    @property
    def multiple(self) -> int:
        """Height and width of the parent plane must be multiples of this."""
        return int(FOLD * 2 ** (len(self.config.channels) - 1))

    def forward(
        self,
        z_t: Tensor,
        parent: Tensor,
        t: Tensor,
        s: Tensor,
        strength: Tensor,
        cells: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Velocity (B, 9, H, W) of detail z_t (B, 9, H, W) given its parent (B, 3, H, W) in [-1, 1].

        t: (B,) in [0, 1]; s: (B,) int64 scale of the child; strength: (B,) noise on the parent, in units of [-1, 1];
        cells: (B, config.cells, k, k), embeddings of the cells of the child, or None for none; known: (B,), 0 where
        they are to be ignored. H and W are multiples of `multiple`.
        """
        assert z_t.shape[1] == DETAIL_CHANNELS and parent.shape[1] == PARENT_CHANNELS
        assert z_t.shape[2] % self.multiple == 0 and z_t.shape[3] % self.multiple == 0
        dtype = self.enter.weight.dtype
        at = t.float()[:, None, None, None]
        length = (at.square() + (1 - at).square()).sqrt()  # deviation of z_t, whose parts have unit deviation
        e = self.time(fourier(t).to(dtype)) + self.augmentation(fourier(strength * 4).to(dtype)) + self.scale(s)
        tissue: Tensor | None = None
        if cells is not None:
            whole, tissue = self.summarizer(cells.to(dtype), s)
            if known is not None:
                whole, tissue = whole * known.to(dtype)[:, None], tissue * known.to(dtype)[:, None, None, None]
            e = e + self.context(whole)
        e = F.silu(e)
        x = self.enter(
            F.pixel_unshuffle(torch.cat([(z_t / length).to(dtype), parent.to(dtype)], 1), FOLD)
        )  # (B, C0, H/2, W/2)
        skips: list[Tensor] = []
        for stage in self.down:
            x = stage["shrink"](x)  # type: ignore[index]
            if tissue is not None and stage is self.down[-1]:
                there = F.interpolate(tissue, x.shape[2:], mode="bilinear", align_corners=False)
                x = x + self.context_map(there)
            for block in stage["blocks"]:  # type: ignore[index]
                x = block(x, e)
            skips.append(x)
        x = skips.pop()
        for level in reversed(range(len(self.up))):
            stage = self.up[level]
            if skips and level < len(self.up) - 1:
                x = stage["join"](torch.cat([x, skips.pop()], 1))  # type: ignore[index]
            for block in stage["blocks"]:  # type: ignore[index]
                x = block(x, e)
            if level:
                x = F.pixel_shuffle(stage["grow"](x), 2)  # type: ignore[index]
        out = F.pixel_shuffle(self.leave(F.silu(pixel_norm(x))), FOLD)  # (B, 9, H, W)
        velocity: Tensor = z_t * ((2 * at - 1) / length.square()) - out / length
        return velocity


def fourier(x: Tensor) -> Tensor:
    """(B,) -> (B, 64): sines and cosines of 32 octave-spaced frequencies."""
    frequency = torch.exp(torch.arange(32, device=x.device) * (math.log(1000.0) / 31))
    angle = x.float()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], 1)

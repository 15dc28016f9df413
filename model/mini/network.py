"""The network of `mini`: a convolutional U-Net that paints Haar detail given the parent's pixels and noise.

One network for all magnifications, as in ZoomLDM (Yellapragada et al., CVPR 2025): the scale enters as an embedding,
and so do the reference picture, the organ, and whether the parent is a real picture: what is right below a real parent
need not be below a painted one. Noise enters at every resolution of the U-Net, so that it can decide where a nucleus
lies at the resolution at which nuclei are seen.
There is no attention and no normalisation over space: apart from the embeddings, an output pixel depends on a bounded
neighbourhood and not on the size of the window. That keeps the borders of windows invisible.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.style_reference import REFERENCE_CHANNELS

DETAIL_CHANNELS = 9
PARENT_CHANNELS = 3
FOLD = 2
"""Pixels of the parent plane are folded 2x2 into channels before the first convolution."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the U-Net.

    channels: width at each resolution, finest first: half the parent's resolution, a quarter, an eighth.
    blocks: how many residual blocks each of them has, on the way down and again on the way up.
    noise: channels of noise, first at the parent's resolution, then at each resolution of the U-Net.
    fine: width of the convolutions at the parent's own resolution. embedding: length E of the embedding of time, scale
    and condition. scales: number of scales that have an embedding. organs: names of the organs that have one.
    """

    channels: tuple[int, ...] = (96, 160, 224)
    blocks: tuple[int, ...] = (1, 1, 1)
    noise: tuple[int, ...] = (2, 4, 8, 8)
    fine: int = 32
    embedding: int = 256
    scales: int = 12
    organs: tuple[str, ...] = ()

    @property
    def conditions(self) -> int:
        """Length of the condition: the embedding of a reference, share of each organ, and 1 below a picture."""
        return REFERENCE_CHANNELS + len(self.organs) + 1

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


PIXEL_NORM_EPS = 1e-4
MOST_BLOCKS = 64
"""At one resolution, on one way: what asks for more is no network."""


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
    """(B, C, H, W) -> (B, C, H, W) with root mean square 1 over the channels of each pixel."""
    if x.requires_grad and x.device.type == "cpu":
        out: Tensor = _PixelNorm.apply(x)  # type: ignore[no-untyped-call]
        return out
    return F.rms_norm(x.permute(0, 2, 3, 1), (x.shape[1],), eps=PIXEL_NORM_EPS).permute(0, 3, 1, 2)


class _PixelNorm(torch.autograd.Function):
    """`pixel_norm` with its gradient in closed form: on CPUs torch's own takes two to five times as long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        precise = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=precise)
        factor = (norm.square() / x.shape[1] + PIXEL_NORM_EPS).rsqrt().to(x.dtype)
        out: Tensor = x * factor
        ctx.save_for_backward(out, factor)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        saved: tuple[Tensor, Tensor] = ctx.saved_tensors
        out, factor = saved
        along = (gradient * out).mean(1, keepdim=True)
        return torch.addcmul(gradient, out, along, value=-1) * factor


class DetailUNet(nn.Module):
    """Samples clean detail x, given z_t = (1 - t) x + t noise, the parent, and more noise.

    A distributional diffusion model (De Bortoli et al., "Distributional diffusion models with scoring rules", 2025,
    section 3): where a denoiser returns the mean of x given z_t, it returns a sample of that distribution. So one step
    from t = 1, where z_t is pure noise, is a complete sample.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths, emb, noise = config.channels, config.embedding, config.noise
        assert len(noise) == len(widths) + 1, f"noise for {len(noise)} resolutions, expected {len(widths) + 1}"
        assert len(config.blocks) == len(widths), f"blocks of {len(config.blocks)} resolutions, expected {len(widths)}"
        assert all(type(count) is int and 0 < count <= MOST_BLOCKS for count in config.blocks), (
            f"blocks {config.blocks!r:.60}: expected 1 to {MOST_BLOCKS} at each resolution"
        )
        folded = FOLD * FOLD
        self.enter = nn.Conv2d((DETAIL_CHANNELS + PARENT_CHANNELS) * folded, widths[0], 3, padding=1)
        self.time = nn.Sequential(nn.Linear(64, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.scale = nn.Embedding(config.scales, emb)
        self.reference = nn.Linear(REFERENCE_CHANNELS, emb, bias=False)
        self.organ = nn.Linear(len(config.organs), emb, bias=False) if config.organs else None
        self.below_picture = nn.Embedding(config.scales, emb)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, (width, count) in enumerate(zip(widths, config.blocks, strict=True)):
            blocks = nn.ModuleList(ResidualBlock(width, emb) for _ in range(count))
            mirror = nn.ModuleList(ResidualBlock(width, emb) for _ in range(count))
            shrink = nn.Conv2d(widths[level - 1], width, 2, stride=2) if level else nn.Identity()
            grow = nn.Conv2d(width, widths[level - 1] * 4, 1) if level else nn.Identity()
            join = nn.Conv2d(2 * width, width, 1) if level < len(widths) - 1 else nn.Identity()
            drawn = nn.Conv2d(noise[level + 1], width, 1, bias=False)
            nn.init.normal_(drawn.weight, std=1e-2)
            self.down.append(nn.ModuleDict({"shrink": shrink, "noise": drawn, "blocks": blocks}))
            self.up.append(nn.ModuleDict({"join": join, "blocks": mirror, "grow": grow}))
        self.leave = nn.Conv2d(widths[0], DETAIL_CHANNELS * folded, 3, padding=1)
        sharp = widths[0] // folded + DETAIL_CHANNELS + PARENT_CHANNELS + noise[0]
        self.fine_in = nn.Conv2d(sharp, config.fine, 3, padding=1)
        self.fine_film = nn.Linear(emb, 2 * config.fine)
        self.fine_out = nn.Conv2d(config.fine, DETAIL_CHANNELS, 3, padding=1)
        nn.init.normal_(self.fine_film.weight, std=1e-2)
        for layer in (self.leave, self.fine_out, self.reference):
            nn.init.normal_(layer.weight, std=1e-3)
        nn.init.zeros_(self.below_picture.weight)
        if self.organ is not None:
            nn.init.zeros_(self.organ.weight)  # an organ that was never seen changes nothing

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
        noise: tuple[Tensor, ...],
        condition: Tensor,
    ) -> Tensor:
        """A sample of clean detail (B, 9, H, W), of about unit deviation (see `everslide.model.mini.bands`).

        z_t: (B, 9, H, W). parent: (B, 3, H, W) in [-1, 1]. t: (B,) in [0, 1]. s: (B,) int64, scale of the child.
        noise: standard normals (B, C, H, W), (B, C, H/2, W/2) and so on, C as in `config.noise`.
        condition: (B, `config.conditions`), embedding of a reference and share of each organ, or zeros; last of all 1
        where the parent is a real picture, 0 where it is painted.
        H and W are multiples of `multiple`.
        """
        assert z_t.shape[1] == DETAIL_CHANNELS and parent.shape[1] == PARENT_CHANNELS
        assert z_t.shape[2] % self.multiple == 0 and z_t.shape[3] % self.multiple == 0
        dtype = self.enter.weight.dtype
        seen, e = self.seen(z_t, parent, t), self.embedded(t, s, condition)
        x = self.enter(F.pixel_unshuffle(seen, FOLD))  # (B, C0, H/2, W/2)
        skips: list[Tensor] = []
        for stage, drawn in zip(self.down, noise[1:], strict=True):
            x = stage["shrink"](x) + stage["noise"](drawn.to(dtype))  # type: ignore[index]
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
        x = F.silu(pixel_norm(x))
        out = F.pixel_shuffle(self.leave(x), FOLD)  # (B, 9, H, W)
        h = self.fine_in(torch.cat([F.pixel_shuffle(x, FOLD), seen, noise[0].to(dtype)], 1))
        scale, shift = self.fine_film(e)[:, :, None, None].chunk(2, dim=1)
        out = out + self.fine_out(F.silu(pixel_norm(h) * (1 + scale) + shift))
        return self.at_time(out, z_t, t)

    def seen(self, z_t: Tensor, parent: Tensor, t: Tensor) -> Tensor:
        """z_t in unit deviation beside the parent: (B, 12, H, W)."""
        dtype = self.enter.weight.dtype
        _, length = _time_and_length(t)
        return torch.cat([(z_t / length).to(dtype), parent.to(dtype)], 1)

    def embedded(self, t: Tensor, s: Tensor, condition: Tensor) -> Tensor:
        """The embedding (B, E) of time, scale and condition that every block is modulated by."""
        dtype = self.enter.weight.dtype
        told = self._conditioned(condition.to(dtype), s)
        return F.silu(self.time(fourier(t).to(dtype)) + self.scale(s) + told)

    def at_time(self, out: Tensor, z_t: Tensor, t: Tensor) -> Tensor:
        """Clean detail, given what was drawn and z_t, both (B, 9, H, W): z_t at t = 0, what was drawn at t = 1."""
        at, length = _time_and_length(t)
        detail: Tensor = out * (at / length) + z_t * ((1 - at) / length.square())
        return detail

    def _conditioned(self, condition: Tensor, s: Tensor) -> Tensor:
        """(B, `config.conditions`) and scales (B,) -> (B, E)."""
        reference, organs, real = condition.tensor_split((REFERENCE_CHANNELS, condition.shape[1] - 1), 1)
        embedded: Tensor = self.reference(reference) + self.below_picture(s) * real
        return embedded if self.organ is None else embedded + self.organ(organs)


def _time_and_length(t: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) -> t and the deviation of z_t, whose parts have unit deviation, (B, 1, 1, 1) each."""
    at = t.float()[:, None, None, None]
    return at, (at.square() + (1 - at).square()).sqrt()


def fourier(x: Tensor) -> Tensor:
    """(B,) -> (B, 64): sines and cosines of 32 frequencies, 1 to 1000 radians per unit, evenly spaced in logarithm."""
    frequency = torch.exp(torch.arange(32, device=x.device) * (math.log(1000.0) / 31))
    angle = x.float()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], 1)

"""A critic of features, trained beside the painter: it remembers what told painted tissue from real tissue.

The energy score compares a few places a step, and what single places say of a texture is mostly noise. A critic gathers
it over hundreds of steps: small networks upon features that stay as they are (Sauer and others, "Projected GANs
converge faster", 2021), for pairs of what is painted and what is real (Jolicoeur-Martineau, "The relativistic
discriminator", 2018), with a penalty on its slope on either side (Huang and others, "The GAN is dead; long live the
GAN!", 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.training.processes import average_gradients

WIDTH = 32
SLOPE = 0.2
SCALES = 12
SMALLEST_SIDE = 5
"""Maps narrower than this are left as they are by a convolution of 3 x 3."""
PENALTY = 1.0
PENALIZED_EVERY = 4
"""The penalty is reckoned in one of so many steps, and counts so many times as much there."""
LARGEST_GRADIENT = 5.0
LEAST_SHARE = 0.2
"""Its rate falls with that of the painter, but no lower than to this share of its own."""
LONE_STEPS, RISING_STEPS = 25, 100
"""Steps in which a new critic learns alone, and over which its word then rises to its full weight."""


class Critic(nn.Module):
    """How real each place of some maps of features looks, map by map."""

    def __init__(self, channels: Sequence[int], kinds: int) -> None:
        """channels: of each map. kinds: of places, which it tells apart: scales, or organs."""
        super().__init__()
        self.heads = nn.ModuleList(_Head(count, kinds) for count in channels)

    def forward(self, maps: Sequence[Tensor], kind: Tensor) -> list[Tensor]:
        """Maps (B, C, h, w) of kinds (B,) -> (B, 1, h', w') each, higher where it looks more real."""
        return [head(x.float(), kind) for head, x in zip(self.heads, maps, strict=True)]


class _Head(nn.Module):
    def __init__(self, channels: int, kinds: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, WIDTH, 1)
        self.mix = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3) for _ in range(2))
        self.leave = nn.Conv2d(WIDTH, 1, 1)
        self.kind = nn.Embedding(kinds, WIDTH)
        nn.init.normal_(self.kind.weight, std=0.1)

    def forward(self, x: Tensor, kind: Tensor) -> Tensor:
        h = F.leaky_relu(self.enter(x) + self.kind(kind)[:, :, None, None], SLOPE)
        for mix in self.mix:
            if min(h.shape[2:]) >= SMALLEST_SIDE:
                h = F.leaky_relu(mix(h), SLOPE)
        out: Tensor = self.leave(h)
        return out


class Opponent:
    """A critic in training: it tells what the painter has to answer, then learns from the same pairs."""

    def __init__(self, channels: Sequence[int], rate: float, device: torch.device, kinds: int = SCALES) -> None:
        """channels: of each map of features; rate: Adam's, at most; kinds: of places, by default scales."""
        self.critic = Critic(channels, kinds).to(device)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=rate, betas=(0.0, 0.99))
        self.steps = 0
        self._rate = rate
        self._pairs: list[tuple[list[Tensor], list[Tensor], Tensor]] = []

    @property
    def word(self) -> float:
        """The weight of what it says, from 0 while it is new to 1."""
        return min(1.0, max(0.0, (self.steps - LONE_STEPS) / RISING_STEPS))

    def against(self, painted: Sequence[Tensor], real: Sequence[Tensor], kind: Tensor) -> Tensor:
        """What the painter is to make small: that real places look more real than painted ones. Keeps the pairs.

        painted, real: maps (B, C, h, w) of pairs, of like colours at least; kind: (B,).
        """
        self._pairs.append(([x.detach().float() for x in painted], [x.detach().float() for x in real], kind))
        self.critic.requires_grad_(False)
        behind = _behind(self.critic(painted, kind), self.critic(real, kind))
        self.critic.requires_grad_(True)
        return behind

    def forget(self) -> None:
        """Drop the pairs that were kept."""
        self._pairs.clear()

    def learn(self, share: float) -> Mapping[str, float]:
        """One step on the pairs kept since the last one, at this share of the rate (LEAST_SHARE at least); its
        loss for the curve."""
        penalized = self.steps % PENALIZED_EVERY == 0
        losses = [self._loss(*pair, penalized) for pair in self._pairs]
        self.forget()
        torch.stack([loss + penalty for loss, penalty in losses]).mean().backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.critic.parameters() if p.grad is not None]
        average_gradients(gradients)
        norm = torch.nn.utils.clip_grad_norm_(self.critic.parameters(), LARGEST_GRADIENT)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate * max(LEAST_SHARE, share)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        return {"critic": float(torch.stack([loss for loss, _ in losses]).mean().detach())}

    def _loss(self, painted: list[Tensor], real: list[Tensor], kind: Tensor, penalized: bool) -> tuple[Tensor, Tensor]:
        """That painted places look more real than real ones, and the penalty: the squared slope of its word."""
        for x in (*painted, *real):
            x.requires_grad_(penalized)
        words = [(self.critic(maps, kind), maps) for maps in (painted, real)]
        loss = _behind(words[1][0], words[0][0])
        penalty = torch.zeros_like(loss)
        if penalized:
            for word, maps in words:
                slopes = torch.autograd.grad([x.sum() for x in word], maps, create_graph=True)
                each = [g.square().sum((1, 2, 3)).mean() / x[0].numel() for g, x in zip(slopes, word, strict=True)]
                penalty = penalty + 0.5 * PENALIZED_EVERY * PENALTY * torch.stack(each).mean() / 2
        return loss, penalty

    def state(self) -> dict[str, Any]:
        """All that it needs to go on."""
        return {"critic": self.critic.state_dict(), "optimizer": self.optimizer.state_dict(), "steps": self.steps}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`; where that travelled without its optimizer, with a new one."""
        self.critic.load_state_dict(state["critic"])
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]


def _behind(wanted: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """How far the words for `wanted` are from being above those for `others`, pair by pair and place by place."""
    return torch.stack([F.softplus(b - a).mean() for a, b in zip(wanted, others, strict=True)]).mean()

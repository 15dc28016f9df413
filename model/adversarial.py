"""Adversarial training of the chain of octaves: `everslide train --objective adversarial`.

A network that paints in one step is a generator: it learns against a critic, on real parents and on what it painted
itself, up to many octaves below real tissue (as Lin et al., "Diffusion adversarial post-training for one-step video
generation", 2025). What was painted of a place is held against the real tissue of that very place, so both see the same
tissues in the same stain: relativistic pairing (Jolicoeur-Martineau, "The relativistic discriminator", 2019, section
4.3; Huang et al., "The GAN is dead; long live the GAN!", 2024, Eq. 2), with the critic's slope held flat around real
and painted detail (their Eq. 4 for both, by finite differences as Lin et al., Eq. 4). The distance of patches keeps
colours and power.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.chain import ChainTrainer, Example, Shown, set_rate
from everslide.model.critic import Critic, CriticConfig
from everslide.model.dataset import SCALE_SHARES
from everslide.model.descents import Descents
from everslide.model.patches import patch_distance, with_relief
from everslide.model.wavelet import box_mean
from everslide.model.weights import Weights

DROPPED = 0.15
"""Share of examples without conditions, so that guidance has something to guide away from."""
REAL_SHARE = 0.35
"""Share of examples upon real parents; the others are painted upon painted ones."""
BLUR, FLATNESS, EVERY = 0.1, 1.0, 4
"""Deviation of the noise that must not change a verdict, the weight of the squared change, and how often it is told."""
FASTER = 20.0
"""The critic's learning rate over the painter's."""
AHEAD, SLOWLY = 200, 300
"""Steps that the critic learns alone, and over which the painter's rate then rises: a critic that begins beside it is
led in circles."""
PATCHES = 1.0
GRAIN, UNSEEN = 0.03, 1.0
"""Deviation of the noise on what the critic sees: on the parents, which it does not judge, in [-1, 1]; on the detail in
grey levels, so that no verdict rests on the rounding of real pixels."""


class AdversarialTrainer(ChainTrainer):
    """One run in `folder`, of weights that paint in one step."""

    checkpoint = "adversarial.pt"
    betas = (0.5, 0.99)

    @property
    def steps(self) -> int:
        """Those that the weights were trained for."""
        return self.start.sampler.steps

    def _begin(self) -> None:
        self.descents = Descents()
        self.critic = Critic(CriticConfig()).to(self.device)
        self.critic_optimizer = torch.optim.AdamW(
            self.critic.parameters(), lr=self.plan.rate, betas=self.betas, weight_decay=0.0, fused=True
        )

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.critic.load_state_dict(state["critic"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])

    def _state(self) -> dict[str, Any]:
        return {"critic": self.critic.state_dict(), "critic_optimizer": self.critic_optimizer.state_dict()}

    def shipped(self, weights: Weights) -> Weights:
        """With the teachers that they had."""
        return replace(weights, teacher=self.start.teacher)

    def _pace(self) -> None:
        set_rate(self.optimizer, self._rate(SLOWLY, AHEAD))

    @cached_property
    def deviations(self) -> Tensor:
        """Deviation of every band and colour in grey levels by scale, (12, 9, 1, 1)."""
        return torch.from_numpy(self.deviation).reshape(-1, 9, 1, 1).to(self.device)

    @cached_property
    def judge(self) -> Callable[[Tensor, Tensor, Tensor], list[Tensor]]:
        """The critic, compiled where the plan says so."""
        critic = self.critic.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return torch.compile(critic) if self.plan.compile else critic

    def _examples(self) -> list[Example]:
        present = self.examples.scales
        shares = np.array([SCALE_SHARES[s] for s in present])
        out = []
        for _ in range(self.plan.batch):
            s = int(self.rng.choice(present, p=shares / shares.sum()))
            drawn = self.descents.draw(s, self.rng) if self.rng.random() >= REAL_SHARE else None
            place = drawn.children if drawn else self.examples.place(s, self.rng)
            real = place.real()
            parent = drawn.pixels if drawn else box_mean(real)
            out.append(Example(parent, s, real, partial(self.descents.keep, place=place)))
        return out

    def _loss(self, shown: Shown) -> tuple[Tensor, Tensor, Mapping[str, float]]:
        """Teaches the critic, then gives the generator's loss."""
        detail = self._generate(shown)
        painted, real = shown.smooth + detail, shown.truth
        parents = [parent + GRAIN * torch.randn_like(parent) for parent in (shown.means, shown.parent)]
        s, count = shown.s, len(shown.s)

        noise = [UNSEEN / self.deviations[s] * torch.randn_like(real) for _ in range(2)]
        real, painted = real + noise[0], painted + noise[1]
        both = torch.cat([real, painted.detach()])
        given, scales = torch.cat(parents), torch.cat([s, s])
        verdicts = self.judge(both, given, scales)
        against = _mean(F.softplus(v[count:] - v[:count]) for v in verdicts)
        steep = against.new_zeros(())
        if self.clock.step % EVERY == 0:
            blurred = self.judge(both + BLUR * torch.randn_like(both), given, scales)
            steep = EVERY * FLATNESS * _mean((a - b).square() for a, b in zip(verdicts, blurred, strict=True))
        (against + steep).backward()  # type: ignore[no-untyped-call]
        set_rate(self.critic_optimizer, FASTER * self._rate(self.plan.warmup))
        self.critic_optimizer.step()
        self.critic_optimizer.zero_grad(set_to_none=True)

        with torch.no_grad():
            truth = self.judge(real, parents[0], s)
        self.critic.requires_grad_(False)
        verdicts = self.judge(painted, parents[1], s)
        self.critic.requires_grad_(True)
        fooled = _mean(F.softplus(a - b) for a, b in zip(truth, verdicts, strict=True))
        painted = shown.smooth + detail
        patches = patch_distance(with_relief(painted, shown.parent), with_relief(shown.truth, shown.means))
        power = painted.detach()[:, ::3].square().mean() / shown.truth[:, ::3].square().mean()
        said = {"critic": against, "steep": steep, "painter": fooled, "patches": patches, "power": power}
        return fooled + PATCHES * patches, detail, {name: float(value.detach()) for name, value in said.items()}

    def _generate(self, shown: Shown) -> Tensor:
        """Detail (B, 9, H, W) in one step."""
        count, _, high, wide = shown.parent.shape
        given = shown.parent + self.sampler.strength * torch.randn_like(shown.parent)
        strength = torch.full((count,), self.sampler.strength, device=self.device)
        cells, known = self.told(shown.parent, shown.s)
        known = known * (torch.rand(count, device=self.device) >= DROPPED)

        def velocity(z_t: Tensor, t: float) -> Tensor:
            now = torch.full((count,), t, device=self.device)
            return self.forward(z_t, given, now, shown.s, strength, cells, known).float()

        return self.sampler.walk(velocity, torch.randn((count, 9, high, wide), device=self.device))


def _mean(maps: Iterable[Tensor]) -> Tensor:
    """Of the means of several maps, a scalar."""
    return torch.stack([one.mean() for one in maps]).mean()

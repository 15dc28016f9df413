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

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.chain import DROPPED, ChainTrainer, Example, Shown, set_rate
from everslide.model.critic import Critic, CriticConfig
from everslide.model.dataset import SCALE_SHARES
from everslide.model.descents import Descents
from everslide.model.errors import WeightsError
from everslide.model.patches import patch_distance, with_relief
from everslide.model.wavelet import box_mean
from everslide.model.weights import Weights

REAL_SHARE = 0.35
"""Share of examples upon real parents; the others are painted upon painted ones."""
BLUR, FLATNESS, EVERY = 0.1, 0.3, 4
"""Deviation of the noise that must not change a verdict, the weight of the squared change, and how often it is told."""
FASTER = 40.0
"""The critic's learning rate over the painter's."""
AHEAD, SLOWLY = 200, 300
"""Steps that the critic learns alone, and over which the painter's rate then rises: a critic that begins beside it is
led in circles."""
HISTORY = 512
"""Pairs of earlier steps that the critic is shown again, so that it does not forget what it saw through (Shrivastava et
al., "Learning from simulated and unsupervised images through adversarial training", 2017, section 2.3)."""
PATCHES = 1.0
"""Weight of the distance of patches against the critic's verdict."""
GRAIN, UNSEEN = 0.03, 1.0
"""Deviation of the noise on what the critic sees: on the parents, which it does not judge, in [-1, 1]; on the detail in
grey levels, so that no verdict rests on the rounding of real pixels."""


class AdversarialTrainer(ChainTrainer):
    """One run in `folder`, of weights that paint in one step. Raises WeightsError for others."""

    checkpoint = "adversarial.pt"
    betas = (0.0, 0.99)

    @property
    def steps(self) -> int:
        """Those that the weights were trained for."""
        return self.start.sampler.steps

    def _begin(self) -> None:
        if self.steps != 1:
            raise WeightsError(
                f"weights that paint in {self.steps} steps: expected one; distil them first, with --objective distil"
            )
        self.descents, self.history = Descents(), deque[tuple[Tensor, ...]](maxlen=HISTORY)
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
        detail = self.setting(shown, DROPPED).walk(self.sampler, self.forward)
        s, unseen = shown.s, UNSEEN / self.deviations[shown.s]
        real, painted = (x + unseen * torch.randn_like(x) for x in (shown.truth, shown.smooth + detail))
        parents = [parent + GRAIN * torch.randn_like(parent) for parent in (shown.means, shown.parent)]
        pairs = [real, painted.detach(), *parents, s]
        truth, said = self._teach(
            [torch.cat([now, then]) for now, then in zip(pairs, self._recall(pairs), strict=True)]
        )
        self.critic.requires_grad_(False)
        verdicts = self.judge(painted, parents[1], s)
        self.critic.requires_grad_(True)
        fooled = _mean(F.softplus(a[: len(s)] - b) for a, b in zip(truth, verdicts, strict=True))
        patches = patch_distance(
            with_relief(shown.smooth + detail, shown.parent), with_relief(shown.truth, shown.means)
        )
        said |= {"painter": float(fooled.detach()), "patches": float(patches.detach())}
        return fooled + PATCHES * patches, detail, said

    def _recall(self, pairs: list[Tensor]) -> list[Tensor]:
        """As many pairs of earlier steps, which these then join."""
        now = list(zip(*(x.unbind() for x in pairs), strict=True))
        before = self.history or now
        drawn = [before[int(i)] for i in self.rng.integers(len(before), size=len(now))]
        self.history.extend(now)
        return [torch.stack(x) for x in zip(*drawn, strict=True)]

    def _teach(self, pairs: list[Tensor]) -> tuple[list[Tensor], dict[str, float]]:
        """A step of the critic on pairs of real and painted detail, of their parents, and their scale: its verdicts on
        the real ones, and figures for the curve."""
        real, painted, means, parents, s = pairs
        both, given, scales = torch.cat([real, painted]), torch.cat([means, parents]), torch.cat([s, s])
        verdicts = self.judge(both, given, scales)
        truth = [v[: len(s)] for v in verdicts]
        against = _mean(F.softplus(v[len(s) :] - t) for v, t in zip(verdicts, truth, strict=True))
        steep = against.new_zeros(())
        if self.clock.step % EVERY == 0:
            blurred = self.judge(both + BLUR * torch.randn_like(both), given, scales)
            steep = EVERY * FLATNESS * _mean((a - b).square() for a, b in zip(verdicts, blurred, strict=True))
        (against + steep).backward()  # type: ignore[no-untyped-call]
        set_rate(self.critic_optimizer, FASTER * self._rate(self.plan.warmup))
        self.critic_optimizer.step()
        self.critic_optimizer.zero_grad(set_to_none=True)
        return [t.detach() for t in truth], {"critic": float(against.detach()), "steep": float(steep.detach())}


def _mean(maps: Iterable[Tensor]) -> Tensor:
    """Of the means of several maps, a scalar."""
    return torch.stack([one.mean() for one in maps]).mean()

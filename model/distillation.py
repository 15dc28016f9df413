"""Distillation to fewer steps: `everslide train --objective distil`.

The walk from noise to detail is a function of the noise and the parent; a network that knows it from four evaluations
teaches a copy of itself to reach the same detail from the same noise in half as many (Salimans and Ho, "Progressive
distillation for fast sampling of diffusion models", 2022, Algorithm 2; here both halves at once, each start to end). It
learns on real parents and on its own work, as in `everslide.model.chain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from everslide.model.chain import DROPPED, ChainTrainer, Shown
from everslide.model.objectives import COLOUR_SHARES, Forward
from everslide.model.patches import patch_distance, with_relief
from everslide.model.weights import Weights


class Distiller(ChainTrainer):
    """One run of distillation in `folder`. The teacher is `start`, with its own sampler."""

    checkpoint = "distillation.pt"

    @property
    def steps(self) -> int:
        """Half of the teacher's."""
        return max(1, self.start.sampler.steps // 2)

    @cached_property
    def teacher(self) -> Forward:
        """The network as it was."""
        network = self.start.build().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return torch.compile(network) if self.plan.compile else network

    def shipped(self, weights: Weights) -> Weights:
        """With their teacher and its own, who go on painting for those that want more steps."""
        return replace(weights, teacher=replace(self.start, cdm=None))

    def _loss(self, shown: Shown) -> tuple[Tensor, Tensor, Mapping[str, float]]:
        setting = self.setting(shown, DROPPED)
        with torch.no_grad():
            wanted = setting.walk(self.start.sampler, self.teacher)
        detail = setting.walk(self.sampler, self.forward)
        shares = torch.tensor(COLOUR_SHARES * 3, device=self.device)
        error = ((detail - wanted).square().mean((0, 2, 3)) * shares).mean()
        patches = patch_distance(
            with_relief(shown.smooth + detail, shown.parent), with_relief(shown.smooth + wanted, shown.parent)
        )
        power = detail[:, ::3].square().mean() / wanted[:, ::3].square().mean()
        said = {"error": float(error.detach()), "patches": float(patches.detach()), "power": float(power.detach())}
        return error + self.plan.patches * patches, detail, said

"""Training of the conditioning diffusion model: `everslide train --objective cdm`.

Embeddings of the cells of real crops, given the encoder's glance at the crop's parent, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from everslide.model.bands import parent_input
from everslide.model.conditions.cdm import CDM, CDMConfig
from everslide.model.conditions.encoder import PatchEncoder
from everslide.model.dataset import Examples
from everslide.model.errors import DataError
from everslide.model.precision import autocast
from everslide.model.run import Run, follow
from everslide.model.wavelet import box_mean

WIDE_PX, NARROW_PX = 256, 128
"""Crops of 4 x 4 cells where planes are large enough, of 2 x 2 cells at coarser scales."""
SHARES = np.array([0.25, 0.22, 0.2, 0.15, 0.1, 0.08])
"""How often each scale is drawn, finest first."""
PARENT_SHARE = 0.85


@dataclass(frozen=True)
class CDMPlan:
    """minutes: over all sittings; the learning rate falls to zero along a cosine. batch: crops a step."""

    minutes: float
    batch: int = 16
    rate: float = 1e-3
    average: float = 0.998
    save_every_s: float = 120.0
    seed: int = 0


class CDMTrainer:
    """State of one run in `folder`; continues from its checkpoint where there is one.

    Raises DataError where no training image is sharp enough for the encoder.
    """

    def __init__(
        self, prepared: Path, folder: Path, plan: CDMPlan, encoder: PatchEncoder, threads: int, config: CDMConfig
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.plan = plan
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.by_scale: dict[int, Examples] = {}
        for side in (NARROW_PX, WIDE_PX):  # the wide ones take the place of the narrow ones where they can be cut
            examples = _examples(prepared, side, encoder)
            told = examples.told_scales if examples else []
            self.by_scale |= {s: examples for s in told if examples and s < len(SHARES)}
        if not self.by_scale:
            raise DataError(f"{prepared}: expected a training image of 10x or 20x, found none")
        torch.manual_seed(plan.seed)
        self.encoder = encoder.to(self.device)
        self.cdm = CDM(config).to(self.device)
        self.average = {name: p.detach().clone() for name, p in self.cdm.state_dict().items()}
        self.optimizer = torch.optim.AdamW(self.cdm.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.clock = Run(folder, "cdm.pt", plan.minutes, plan.save_every_s)
        state = self.clock.resume(self.device)
        if state:
            self.cdm.load_state_dict(state["cdm"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average = state["average"]
        self.rng = np.random.default_rng([plan.seed, 5, self.clock.step])

    def run(self) -> dict[str, Tensor]:
        """Train until the minutes are used up; the averaged weights."""
        self.clock.until_used_up(self._step, self._keep)
        return self.average

    def _step(self) -> Mapping[str, float]:
        rate = (
            self.plan.rate * min(1.0, (self.clock.step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * self.clock.progress))
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        cells, parent, s = self._batch()
        with autocast(self.device):
            loss = self.loss(cells, parent, s)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.cdm.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        follow(self.average, self.cdm.state_dict(), self.plan.average, self.clock.step)
        return {"loss": float(loss.detach())}

    def loss(self, cells: Tensor, parent: Tensor, s: Tensor) -> Tensor:
        """Mean squared error of the velocity at random times, a scalar."""
        count = len(cells)
        with torch.no_grad():
            hint = self.encoder.glance(parent.contiguous(memory_format=torch.channels_last), cells.shape[2])
        seen = self.cdm.seen(hint)
        seen = seen * (torch.rand(count) < PARENT_SHARE).to(seen)[:, None, None]
        t, noise = torch.sigmoid(torch.randn(count)).to(self.device), torch.randn(cells.shape).to(self.device)
        z_t = torch.lerp(cells, noise, t[:, None, None, None])
        velocity = self.cdm(z_t, t, s, seen)
        error: Tensor = (velocity.float() - (noise - cells)).square().mean()
        return error

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cells (B, E, k, k), parents (B, 3, h, h) in [-1, 1] and scales (B,); a batch is of one scale."""
        present = sorted(self.by_scale)
        shares = SHARES[present] / SHARES[present].sum()
        s = int(self.rng.choice(present, p=shares))
        cells: list[Tensor] = []
        parents: list[Tensor] = []
        while len(cells) < self.plan.batch:
            told = self.by_scale[s].told(s, self.rng)
            if told is not None:
                parents.append(parent_input(box_mean(told[0])))
                cells.append(torch.from_numpy(told[1].copy()))
        scales = torch.full((len(cells),), s)
        return torch.stack(cells).to(self.device), torch.stack(parents).to(self.device), scales.to(self.device)

    def _keep(self) -> tuple[dict[str, Any], Mapping[str, object]]:
        state = {"cdm": self.cdm.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average}
        return state, {}


def _examples(prepared: Path, side: int, encoder: PatchEncoder) -> Examples | None:
    try:
        return Examples(prepared, "train", side, encoder)
    except DataError:
        return None

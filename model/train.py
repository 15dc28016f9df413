"""Training of the denoiser: `everslide train`. Resumable, bounded by minutes, on a GPU where there is one.

What is shipped is an exponential moving average of the weights. See `everslide.model.objectives` for the loss.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from everslide.model.conditions.encoder import PatchEncoder
from everslide.model.dataset import Batch, Examples
from everslide.model.errors import DataError
from everslide.model.network import DetailUNet, NetworkConfig
from everslide.model.objectives import Forward, velocity_loss
from everslide.model.precision import autocast
from everslide.model.run import Run, follow
from everslide.model.sampler import Sampler
from everslide.model.weights import Weights, save_weights

log = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
SAMPLER_STEPS = 4


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast to train.

    minutes: total training time over all sittings; the learning rate falls to zero over the last `decay` of it.
    compile: fuse the network's elementwise work with torch.compile (a minute at the start, a quarter off each step).
    batch: crops a step. peak_rate: AdamW's learning rate after `warmup` steps. average: decay of the moving average.
    """

    minutes: float
    batch: int = 8
    peak_rate: float = 1e-3
    warmup: int = 200
    decay: float = 0.5
    average: float = 0.999
    seed: int = 0
    save_every_s: float = 180.0
    compile: bool = True


class Trainer:
    """State of one training run in `folder`; continues from its checkpoint where there is one, else from `start`."""

    def __init__(
        self,
        prepared: Path,
        folder: Path,
        plan: TrainingPlan,
        config: NetworkConfig,
        threads: int,
        start: Weights | None = None,
        encoder: PatchEncoder | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.plan, self.folder = plan, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.examples = Examples(prepared, "train", encoder=encoder)
        self.held_out = _held_out(prepared, encoder)
        torch.manual_seed(plan.seed)
        network = start.build() if start else DetailUNet(config)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: p.detach().clone() for name, p in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=plan.peak_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.forward: Forward = torch.compile(self.network) if plan.compile else self.network
        self.cdm = start.cdm if start else None
        self.clock = Run(folder, CHECKPOINT, plan.minutes, plan.save_every_s)
        state = self.clock.resume(self.device)
        if state:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.deviation = state["average"], state["deviation"].cpu().numpy()
        else:
            self.deviation = start.deviation if start else self.examples.deviations()
        self.rng = np.random.default_rng([plan.seed, self.clock.step])

    def run(self) -> None:
        """Train until the plan's minutes are used up; writes checkpoints and the averaged weights as it goes."""
        self.clock.until_used_up(
            lambda: self._step(self.examples.batch(self.plan.batch, self.rng, self.deviation)), self._keep
        )

    def _step(self, batch: Batch) -> Mapping[str, float]:
        rate = self.plan.peak_rate * min(1.0, (self.clock.step + 1) / self.plan.warmup)
        rate *= min(1.0, (1.0 - self.clock.progress) / self.plan.decay)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss(batch, self.forward)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        follow(self.average, self.network.state_dict(), self.plan.average, self.clock.step)
        return {"loss": float(loss.detach())}

    def loss(self, batch: Batch, forward: Forward, generator: torch.Generator | None = None) -> Tensor:
        """Velocity loss over the batch, a scalar."""
        with autocast(self.device):
            return velocity_loss(batch.to(self.device), forward, generator)

    def _keep(self) -> tuple[dict[str, Any], Mapping[str, object]]:
        """Write the averaged weights; the checkpoint, and held-out losses for the curve."""
        weights = Weights(
            self.network.config, self.average, self.deviation, Sampler(Sampler.falling(SAMPLER_STEPS)), cdm=self.cdm
        )
        save_weights(self.folder / "mini.safetensors", weights)
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "deviation": torch.from_numpy(self.deviation),
        }
        return state, self._validate()

    @torch.no_grad()
    def _validate(self, batches: int = 1) -> dict[str, object]:
        """Loss of the averaged weights on held-out files per scale, always on the same crops and noise."""
        if self.held_out is None:
            return {}
        live = {name: p.clone() for name, p in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        losses = {}
        for s in self.held_out.scales:
            rng, generator = np.random.default_rng([11, s]), torch.Generator().manual_seed(11)
            several = [
                float(self.loss(self.held_out.batch(8, rng, self.deviation, s), self.network, generator))
                for _ in range(batches)
            ]
            losses[str(s)] = round(float(np.mean(several)), 4)
        self.network.load_state_dict(live)
        return {"held_out": losses}


def _held_out(prepared: Path, encoder: PatchEncoder | None) -> Examples | None:
    try:
        return Examples(prepared, "held-out", encoder=encoder)
    except DataError:
        log.warning("%s holds no held-out images: the curve will have no validation", prepared)
        return None

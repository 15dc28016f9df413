"""Training of the denoiser: `everslide train`. Resumable, bounded by minutes, on a GPU where there is one.

What is shipped is an exponential moving average of the weights. See `everslide.model.objectives` for the loss.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from everslide.model.conditions.encoder import PatchEncoder
from everslide.model.dataset import Batch, Examples
from everslide.model.errors import DataError
from everslide.model.network import DetailUNet, NetworkConfig
from everslide.model.objectives import Forward, velocity_loss
from everslide.model.run import LONGEST_STEP_S, follow
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
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(plan.seed)
        network = start.build() if start else DetailUNet(config)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: p.detach().clone() for name, p in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=plan.peak_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.forward: Forward = torch.compile(self.network) if plan.compile else self.network
        self.step, self.seconds = 0, 0.0
        checkpoint = folder / CHECKPOINT
        if checkpoint.exists():
            self._resume(checkpoint)
        else:
            self.deviation = start.deviation if start else self.examples.deviations()
        self.cdm = start.cdm if start else None

    def _resume(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.deviation = state["average"], state["deviation"].cpu().numpy()
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        log.info("resumed at step %d after %.1f minutes", self.step, self.seconds / 60)

    def run(self) -> None:
        """Train until the plan's minutes are used up; saves a checkpoint and the averaged weights as it goes."""
        rng = np.random.default_rng([self.plan.seed, self.step])
        budget = self.plan.minutes * 60
        saved, smooth = time.monotonic(), 0.0
        with tqdm(total=round(budget), initial=round(self.seconds), unit="s", desc="training") as bar:
            while self.seconds < budget:
                started = time.monotonic()
                loss = self._step(self.examples.batch(self.plan.batch, rng, self.deviation), self.seconds / budget)
                smooth = loss if smooth == 0.0 else 0.99 * smooth + 0.01 * loss
                self.seconds += min(time.monotonic() - started, LONGEST_STEP_S)
                bar.update(round(self.seconds) - bar.n)
                bar.set_postfix(step=self.step, loss=f"{smooth:.4f}", refresh=False)
                if time.monotonic() - saved > self.plan.save_every_s or self.seconds >= budget:
                    self.save(smooth)
                    saved = time.monotonic()

    def _step(self, batch: Batch, progress: float) -> float:
        rate = self.plan.peak_rate * min(1.0, (self.step + 1) / self.plan.warmup)
        rate *= min(1.0, max(0.0, (1.0 - progress) / self.plan.decay))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss(batch, self.forward)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        follow(self.average, self.network.state_dict(), self.plan.average, self.step)
        return float(loss.detach())

    def loss(self, batch: Batch, forward: Forward, generator: torch.Generator | None = None) -> Tensor:
        """Velocity loss over the batch, a scalar."""
        with torch.autocast(self.device.type, torch.bfloat16):
            return velocity_loss(batch.to(self.device), forward, generator)

    def save(self, loss: float) -> None:
        """Write the checkpoint, the averaged weights, and a line of the training curve."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "deviation": torch.from_numpy(self.deviation),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.folder / (CHECKPOINT + ".part")
        torch.save(state, partial)
        partial.replace(self.folder / CHECKPOINT)
        sampler = Sampler(Sampler.falling(SAMPLER_STEPS))
        weights = Weights(self.network.config, self.average, self.deviation, sampler, cdm=self.cdm)
        save_weights(self.folder / "mini.safetensors", weights)
        point = {"step": self.step, "minutes": round(self.seconds / 60, 2), "loss": round(loss, 5), **self._validate()}
        with (self.folder / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps(point) + "\n")

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

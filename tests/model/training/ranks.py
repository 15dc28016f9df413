"""Trainers for tests: a tiny network, features that one can reckon, and one process of several."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.training import trainer as module
from everslide.model.training.plan import Plan
from everslide.model.training.processes import leave_processes, of_first
from everslide.model.training.trainer import Trainer
from tests.model.networks import tiny_weights

CPU = torch.device("cpu")


class PixelFeatures(nn.Module):
    """Patches of pixels and their means, instead of a network's."""

    def __init__(self) -> None:
        super().__init__()
        self.scales: list[Tensor] = []
        self.shares = (0.5, 0.5)

    def calibrate(self, pictures: Tensor) -> None:
        """See `Features.calibrate`."""
        self.scales = [F.pixel_unshuffle(pictures, 4).std((0, 2, 3))[None, :, None, None].clamp(min=1e-3)]

    def forward(self, pictures: Tensor) -> list[Tensor]:
        found = F.pixel_unshuffle(pictures, 4) / self.scales[0]
        return [found, F.avg_pool2d(found, 4)]


def small() -> None:
    """Trainers of this process are small ones."""
    vars(module).update(Features=PixelFeatures, CALIBRATION_CROPS=8)


def make(prepared: Path, folder: Path, plan: Plan, rank: int = 0) -> Trainer:
    return Trainer(prepared, folder, plan, CPU, tiny_weights(), rank)


def one_of_two(rank: int, prepared: Path, folder: Path, plan: Plan, steps: int) -> None:
    """A process that takes so many steps with another one, and leaves its weights in `folder`/rank<n>.pt."""
    small()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    trainer = make(prepared, folder / "run", plan, rank)
    trainer.optimizer.zero_grad()
    for _ in range(steps):
        trainer._step()
        trainer.clock.step += 1
    seconds = of_first(10.0 * rank + 1.0)
    left = {"network": trainer.network.state_dict(), "critic": trainer.opponent.critic.state_dict(), "seconds": seconds}
    torch.save(left, folder / f"rank{rank}.pt")
    leave_processes()

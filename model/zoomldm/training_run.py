"""What the trainings of denoiser and CDM share: settings, averages of weights, several processes, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from tqdm import tqdm

from everslide.model.whole_file import written_whole

Report = Callable[[int, float], None]
"""Called after each step, and after its checkpoint where there is one, with its number and loss."""


@dataclass(frozen=True)
class TrainSettings:
    """steps: in all. batch: images a step and process. rate, decay: learning rate and weight decay of AdamW (the CDM is
    trained without decay). warmup: steps to the full rate. ema: decay of the average. dropped: share of conditions set
    to zero. save: steps between checkpoints."""

    steps: int = 100_000
    batch: int = 16
    rate: float = 1e-4
    decay: float = 0.01
    warmup: int = 1000
    ema: float = 0.9999
    dropped: float = 0.1
    save: int = 1000
    seed: int = 1

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is due after so many steps."""
        return step % self.save == 0 or step == self.steps


class Losses:
    """Means of the loss from checkpoint to checkpoint: that of one step tells more of its images than of the network.

    Written to a .csv (step, loss), a line for each checkpoint; another call goes on below what is there.
    """

    def __init__(self, path: Path, settings: TrainSettings) -> None:
        self._path, self._settings = path, settings
        self._since: list[float] = []

    def add(self, step: int, loss: float) -> float:
        """The mean since the last checkpoint, written where this step ends with one. step: from 1."""
        self._since.append(loss)
        mean = sum(self._since) / len(self._since)
        if self._settings.saves_after(step):
            self._since.clear()
            if rank() == 0:
                new = not self._path.exists()
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(("step,loss\n" if new else "") + f"{step},{mean:.5f}\n")
        return mean


def shown_on(bar: tqdm[NoReturn], losses: Losses) -> Report:
    """Shows steps and losses on a bar. Its speed is that of this call, also where a run is gone on with."""

    def report(step: int, loss: float) -> None:
        if bar.n == 0:
            bar.initial = bar.n = bar.last_print_n = step - 1
        bar.update()
        bar.set_postfix_str(f"loss {losses.add(step, loss):.4f}")

    return report


def seed_step(settings: TrainSettings, step: int) -> np.random.Generator:
    """Seeds torch for a step of this process; returns a generator for drawing images. A resumed run draws the same."""
    rng = np.random.default_rng([settings.seed, step, rank()])
    torch.manual_seed(int(rng.integers(2**63)))
    return rng


def update_average(average: nn.Module, network: nn.Module, ema: float, step: int) -> None:
    """Move `average` towards `network` by 1 - ema; by more in the first steps, so that the start is forgotten.

    ema: decay of the exponential moving average of parameters. step: from 0.
    """
    decay = min(ema, (step + 1) / (step + 10))
    with torch.no_grad():
        for mean, own in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(own, 1 - decay)


def write_whole(path: Path, content: object) -> None:
    """Write `content` by torch.save, whole or not at all; tensors as of the CPU, to be read everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        torch.save(pytree.tree_map_only(Tensor, lambda tensor: tensor.detach().cpu(), content), partial)


UNREADABLE = (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, UnpicklingError)
"""What reading a foreign or damaged file of torch raises."""


def reason(error: BaseException) -> str:
    """Why a file could not be read, in a line; without torch's advice to run the code in it."""
    return "no file of tensors only" if isinstance(error, UnpicklingError) else str(error).splitlines()[0]


def join_processes(device: str) -> str:
    """The device of this process; where torchrun started several, they find each other here, each with its own GPU."""
    if not torch.distributed.is_torchelastic_launched() or torch.distributed.is_initialized():
        return device
    gpus = torch.cuda.is_available() and device in ("auto", "cuda")
    torch.distributed.init_process_group("nccl" if gpus else "gloo")
    return f"cuda:{torch.distributed.get_node_local_rank(0)}" if gpus else device


def rank() -> int:
    """Number of this process among those of a run."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def average_gradients(networks: nn.Module) -> None:
    """Replace gradients by their mean over the processes of a run, where there are several."""
    if not torch.distributed.is_initialized():
        return
    count = torch.distributed.get_world_size()
    for parameter in networks.parameters():
        if parameter.requires_grad:
            gradient: Tensor = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.distributed.all_reduce(gradient)
            parameter.grad = gradient / count

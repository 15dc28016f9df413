"""Training of the painter: `everslide train`. Resumable, bounded by minutes, in one or several processes.

Each process paints chains of places (`everslide.model.training.chain`), scores them (`everslide.model.training.loss`),
answers a critic that is trained beside it (`everslide.model.training.critic`), and averages its gradients with the
others. What is shipped is a moving average of the weights.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from everslide.model.errors import DataError
from everslide.model.geometry import TOP_SCALE
from everslide.model.mini.network import DetailUNet, NetworkConfig
from everslide.model.mini.patch_encoder import load_encoder
from everslide.model.mini.weights import Weights, load_weights, save_weights
from everslide.model.training.chain import Brush
from everslide.model.training.critic import Opponent
from everslide.model.training.objective import Objective
from everslide.model.training.parts import load_parts, moments, save_parts
from everslide.model.training.perceptual_features import VIEWS, Features
from everslide.model.training.places import CROP_PX, Batch, Batches, Tissue
from everslide.model.training.plan import Plan
from everslide.model.training.processes import average_gradients, of_first, run_together
from everslide.model.training.progress_sheet import draw_progress
from everslide.model.training.replay import ReplayBuffer
from everslide.model.training.run import Run, follow, take_over

log = logging.getLogger(__name__)
OBJECTIVE = "energy score and critic 5"
CHECKPOINT, WEIGHTS = "checkpoint.pt", "mini.safetensors"
CALIBRATION_CROPS = 192
MAX_LOST_STEPS = 20
"""So many steps in a row without a finite loss end a run."""


class Trainer:
    """One process of a run in `folder`; continues from its checkpoint where there is one, else from `start`."""

    def __init__(
        self,
        prepared: Path,
        folder: Path,
        plan: Plan,
        device: torch.device,
        start: Weights | None = None,
        rank: int = 0,
    ) -> None:
        self.plan, self.device, self.rank, self.folder = plan, device, rank, folder
        self.clock = Run(
            folder,
            CHECKPOINT,
            plan.minutes,
            plan.save_every_s,
            objective=OBJECTIVE,
            sitting=plan.sitting,
            agreed=of_first,
            leads=rank == 0,
        )
        state = self.clock.resume(device) or self._carried()
        self.features = Features().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        tissue = Tissue(prepared, "train", load_encoder())
        self.cases = tissue.cases
        self.validation = _validation(prepared) if rank == 0 else None
        torch.manual_seed(plan.seed)
        network = DetailUNet(NetworkConfig(**_config(state))) if state else _begun(start, tissue.organs)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=plan.rate, betas=(0.9, 0.99), fused=True)
        self.average = {name: p.detach().clone() for name, p in self.network.state_dict().items()}
        if state:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(_adam(state, self.optimizer))
            self.average, self.deviation = state["average"], state["deviation"]
        rng = np.random.default_rng([plan.seed, 17])
        if not state:
            self.deviation = torch.from_numpy(start.deviation if start else deviations(tissue, rng)).to(device)
        if state and "features" in state:
            self.features.scales = list(state["features"])
        else:
            reals = [tissue.batch(8, rng).to(device).reals[-1] for _ in range(CALIBRATION_CROPS // 8)]
            self.features.calibrate(torch.cat(reals) / 127.5 - 1)
        channels = [x.shape[1] for x in self.features(torch.zeros((1, 3, CROP_PX, CROP_PX), device=device))[::VIEWS]]
        torch.manual_seed(plan.seed)  # the same in all processes
        self.opponent = Opponent(channels, plan.critic_rate, device)
        if state and "opponent" in state:
            self.opponent.resume(state["opponent"])
        self.objective = Objective(plan, self.features, self.opponent)
        self.forward = torch.compile(self.network) if device.type == "cuda" else self.network
        loader = DataLoader(
            Batches(tissue, plan.batch, (plan.seed, self.clock.step, rank)), batch_size=None, num_workers=plan.workers
        )
        self.batches, self.lost, self.tissue = iter(loader), 0, tissue
        self.rng = np.random.default_rng([plan.seed, self.clock.step, rank, 23])
        self.replay = ReplayBuffer(self.rng) if tissue.shows(range(TOP_SCALE), CROP_PX) else None
        if self.replay is None:
            log.warning(
                "%s does not show every scale in %d px: nothing is painted upon painted parents", prepared, CROP_PX
            )
        torch.manual_seed(hash((plan.seed, self.clock.step, rank)) % 2**62)

    @property
    def brush(self) -> Brush:
        """The network as it is trained now."""
        return Brush(self.forward, self.network.config.noise, self.deviation.flatten(1))

    def run(self) -> None:
        """Train until the plan's minutes are used up; writes checkpoints, weights and sheets as it goes."""
        self.clock.until_used_up(self._step, self._keep)

    def _step(self) -> Mapping[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        if self.replay and self.rng.random() < self.plan.replayed:
            loss, metrics = self.objective.replayed(self.brush, self.replay, self.tissue, self.rng)
        else:
            loss, metrics = self.objective.of(self.brush, next(self.batches).to(self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        metrics = {**metrics, **self.opponent.learn(self._fall())}
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        average_gradients(gradients)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip)
        finite = math.isfinite(float(norm))  # averaged, so that all processes decide alike
        self._count(finite)
        if finite:
            self.optimizer.step()
            follow(self.average, self.network.state_dict(), self.plan.average, self.clock.step)
        self.optimizer.zero_grad(set_to_none=True)
        return metrics if finite else {}

    def _count(self, finite: bool) -> None:
        """Count steps without a finite gradient. Raises DataError after too many in a row."""
        self.lost = 0 if finite else self.lost + 1
        if self.lost:
            log.warning("step %d: the loss is not a finite number; left out", self.clock.step)
        if self.lost >= MAX_LOST_STEPS:
            raise DataError(
                f"the loss was not a finite number for {self.lost} steps; the last checkpoint in {self.folder} is from "
                "before: run the same command again to go on from it, and lower --rate if it happens again"
            )

    def _rate(self) -> float:
        """The learning rate of this step."""
        return self.plan.rate * self._fall() * min(1.0, (self.clock.step + 1) / self.plan.warmup)

    def _fall(self) -> float:
        """What is left of the rate at this point of the plan, in [end_rate, 1]."""
        left = min(1.0, (1.0 - self.clock.progress) / self.plan.decay)
        return self.plan.end_rate + (1 - self.plan.end_rate) * left

    def _keep(self) -> tuple[dict[str, Any], Mapping[str, object]]:
        """Write the averaged weights and a sheet; the checkpoint, and held-out losses for the curve."""
        deviation = self.deviation.cpu().numpy()
        weights = Weights(self.network.config, self.average, deviation, self.cases)
        save_weights(self.folder / WEIGHTS, weights)
        state = {
            "config": {name: list(v) if isinstance(v, tuple) else v for name, v in weights.config.as_dict().items()},
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "deviation": self.deviation,
            "features": self.features.scales,
            "opponent": self.opponent.state(),
        }
        facts = {"objective": OBJECTIVE, "step": str(self.clock.step), "seconds": str(self.clock.seconds)}
        kinds = {"network": state["network"], "average": self.average, "critic": state["opponent"]["critic"]}
        save_parts(self.folder, kinds, state["optimizer"], facts | {"critic_steps": str(self.opponent.steps)})
        return state, self._validate()

    def _carried(self) -> dict[str, Any] | None:
        """What a run on another machine left in its parts, beside its weights; None where there are none."""
        found = load_parts(self.folder)
        if found is None:
            return None
        parts, facts = found
        if facts.get("objective") != OBJECTIVE:
            raise DataError(f"{self.folder}: parts of a run of another objective; choose another folder with --run")
        weights = load_weights(self.folder / WEIGHTS)
        self.clock.step, self.clock.seconds = int(facts["step"]), float(facts["seconds"])
        return {
            "config": weights.config.as_dict(),
            "network": parts["network"],
            "average": {name: x.to(self.device) for name, x in parts["average"].items()},
            "moments": moments(parts, self.clock.step),
            "deviation": torch.from_numpy(weights.deviation).to(self.device),
            "opponent": {"critic": parts["critic"], "steps": int(facts["critic_steps"])},
        }

    @torch.no_grad()
    def _validate(self) -> Mapping[str, object]:
        """Scores of the averaged weights on validation places, always the same ones, and a sheet of what they paint."""
        if self.validation is None:
            return {}
        live = {name: p.clone() for name, p in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        with torch.random.fork_rng():
            torch.manual_seed(11)
            rng, scores = np.random.default_rng(11), dict[str, list[float]]()
            for _ in range(6):
                places = self.validation.batch(4, rng).to(self.device)
                for name, value in self.objective.of(self.brush, places)[1].items():
                    scores.setdefault(name, []).append(value)
        self.opponent.forget()
        sheet = draw_progress(self.brush, self.validation, self.network.config.conditions)
        if sheet:
            sheet.save(self.folder / f"sheet-{self.clock.step:06d}.jpg", quality=90)
        self.network.load_state_dict(live)
        return {"validation": {name: round(float(np.mean(some)), 4) for name, some in sorted(scores.items())}}


def deviations(tissue: Tissue, rng: np.random.Generator, crops: int = 96, scales: int = 12) -> np.ndarray[Any, Any]:
    """Deviation of every band and colour of detail, (scales, 3, 3) float32, measured on real places; at scales that no
    image shows, that of the nearest one."""
    out = np.ones((scales, 9), np.float32)
    plain = Brush(lambda *_: torch.zeros(()), (), torch.ones((scales, 9)))
    for s in tissue.scales:
        batch = Batch.of([tissue.chain(s, tissue.lengths(s)[0], rng) for _ in range(crops)])
        _, detail = plain.detail(batch.reals[-1].float(), batch.s[-1])
        out[s] = detail.square().mean((0, 2, 3)).sqrt().numpy() + 0.05
    for s in range(scales):
        out[s] = out[min(tissue.scales, key=lambda known: abs(known - s))]
    return out.reshape(scales, 3, 3)


def _begun(start: Weights | None, organs: tuple[str, ...]) -> DetailUNet:
    """A network for these organs, with the weights of `start` where it has them."""
    network = DetailUNet(replace(start.config if start else NetworkConfig(), organs=organs))
    if start is not None:
        take_over(network, start.build().state_dict(), start.config.organs)
    return network


def _config(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in state["config"].items()}


def _adam(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state of a checkpoint, or of the moments that were carried along."""
    if "optimizer" in state:
        return dict(state["optimizer"])
    return {**optimizer.state_dict(), "state": state["moments"]}


def _validation(prepared: Path) -> Tissue | None:
    try:
        return Tissue(prepared, "validation")
    except DataError:
        log.warning("%s holds no validation images: no sheets are drawn, and the curve has no validation", prepared)
        return None


def train(
    prepared: Path, folder: Path, plan: Plan, *, start: Path | None = None, processes: int = 1, threads: int = 1
) -> Path:
    """Train in so many processes, of so many CPU threads or one GPU each; the file of weights. Raises DataError."""
    run_together(_work, processes, prepared, folder, plan, load_weights(start) if start else None, threads)
    return folder / WEIGHTS


def _work(rank: int, prepared: Path, folder: Path, plan: Plan, start: Weights | None, threads: int) -> None:
    """One process of a run."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)  # that of everything which is sent
    Trainer(prepared, folder, plan, device, start, rank).run()

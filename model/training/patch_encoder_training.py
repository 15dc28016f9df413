"""Training of the encoder without labels: `everslide train --encoder`.

Two views of about the same spot, turned, mirrored, a little restained and blurred, shall have the same embedding, while
every feature keeps its spread over the batch and no two features say the same (Bardes, Ponce and LeCun, "VICReg:
variance-invariance-covariance regularization for self-supervised learning", 2022, Eq. 6). The stain is changed less
than between laboratories: the embedding shall tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.mini.patch_encoder import PATCH_PX, EncoderConfig, PatchEncoder, save_encoder
from everslide.model.mini.precision import autocast
from everslide.model.stain import jitter_stain
from everslide.model.training.places import Tissue, turned
from everslide.model.training.run import Run

Pixels = NDArray[np.uint8]
CHECKPOINT, ENCODER = "encoder.pt", "encoder.safetensors"
SPOT_PX = 176
"""Side of the spot at 20x in which both views of a pair lie."""
COARSE_SHARE = 0.25
"""How often the spot comes from a 10x plane, enlarged: some real slides were never scanned finer."""
INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
EXPANDED = 256


@dataclass(frozen=True)
class EncoderPlan:
    """minutes: over all sittings; the learning rate falls to zero along a cosine. pairs: spots a step."""

    minutes: float
    pairs: int = 48
    rate: float = 1e-3
    save_every_s: float = 120.0
    seed: int = 0


def train_encoder(prepared: Path, folder: Path, plan: EncoderPlan, threads: int) -> Path:
    """Train an encoder in a run's folder; its file."""
    EncoderTrainer(prepared, folder, plan, EncoderConfig(), threads).run()
    return folder / ENCODER


class EncoderTrainer:
    """State of one run in `folder`; continues from its checkpoint where there is one."""

    def __init__(self, prepared: Path, folder: Path, plan: EncoderPlan, config: EncoderConfig, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.plan, self.folder = plan, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.examples = Tissue(prepared, "train")
        torch.manual_seed(plan.seed)
        self.encoder = PatchEncoder(config)
        self.expander = nn.Sequential(
            nn.Linear(config.embedding, EXPANDED), nn.BatchNorm1d(EXPANDED), nn.ReLU(), nn.Linear(EXPANDED, EXPANDED)
        )
        self.both = nn.ModuleList([self.encoder, self.expander]).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.both.parameters(), lr=plan.rate, weight_decay=1e-4, fused=True)
        self.clock = Run(folder, CHECKPOINT, plan.minutes, plan.save_every_s, objective="encoder")
        state = self.clock.resume(self.device)
        if state:
            self.both.load_state_dict(state["both"])
            self.optimizer.load_state_dict(state["optimizer"])
        self.rng = np.random.default_rng([plan.seed, 3, self.clock.step])

    def run(self) -> PatchEncoder:
        """Train until the minutes are used up; the encoder, also written to encoder.safetensors in the folder."""
        self.clock.until_used_up(self._step, self._keep)
        trained = standardised(self.encoder, self.examples)
        save_encoder(self.folder / ENCODER, trained)
        return trained

    def _step(self) -> Mapping[str, float]:
        rate = (
            self.plan.rate * min(1.0, (self.clock.step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * self.clock.progress))
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.both.train()
        spots = [_spot(self.examples, self.rng) for _ in range(self.plan.pairs)]
        views = np.stack([view(spot, self.rng) for _ in range(2) for spot in spots])
        x = torch.from_numpy(views.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1).to(self.device)
        with autocast(self.device):
            found = self.expander(self.encoder(x.contiguous(memory_format=torch.channels_last)))
        loss = vicreg(*found.float().chunk(2))
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"loss": float(loss.detach())}

    def _keep(self) -> tuple[dict[str, Any], Mapping[str, object]]:
        return {"both": self.both.state_dict(), "optimizer": self.optimizer.state_dict()}, {}


def vicreg(a: Tensor, b: Tensor) -> Tensor:
    """Loss of the expanded embeddings (B, C) of two views, a scalar."""
    invariance = F.mse_loss(a, b)
    variance = torch.stack([F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean() for x in (a, b)]).sum() / 2
    covariance = torch.stack([_off_diagonal(x) for x in (a, b)]).sum()
    return INVARIANCE * invariance + VARIANCE * variance + COVARIANCE * covariance


def _off_diagonal(x: Tensor) -> Tensor:
    """Sum of squared covariances between different features, over their number."""
    centred = x - x.mean(0)
    covariance = centred.T @ centred / (len(x) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / x.shape[1]


def _spot(examples: Tissue, rng: np.random.Generator) -> Pixels:
    """A spot (SPOT_PX, SPOT_PX, 3) of tissue at 20x."""
    if rng.random() >= COARSE_SHARE:
        return examples.spot(0, SPOT_PX, rng)
    half = Image.fromarray(examples.spot(1, SPOT_PX // 2, rng))
    return np.asarray(half.resize((SPOT_PX, SPOT_PX), Image.Resampling.BICUBIC))


def view(spot: Pixels, rng: np.random.Generator) -> Pixels:
    """A view (PATCH_PX, PATCH_PX, 3) of a spot."""
    y, x = (int(rng.integers(side - PATCH_PX + 1)) for side in spot.shape[:2])
    seen = turned(spot[y : y + PATCH_PX, x : x + PATCH_PX], int(rng.integers(4)), bool(rng.random() < 0.5))
    gains, shift = rng.uniform(0.94, 1.06, 3), rng.uniform(-0.015, 0.015, 3)
    seen = jitter_stain(seen, gains.astype(np.float32), shift.astype(np.float32))
    if rng.random() < 0.3:
        small = Image.fromarray(seen).resize((PATCH_PX // 2, PATCH_PX // 2), Image.Resampling.BOX)
        seen = np.asarray(small.resize((PATCH_PX, PATCH_PX), Image.Resampling.BICUBIC))
    return seen


def standardised(encoder: PatchEncoder, examples: Tissue, patches: int = 2048) -> PatchEncoder:
    """The encoder with mean 0 and deviation 1 of every feature over random training patches."""
    encoder.eval()
    rng = np.random.default_rng(17)
    corner = (SPOT_PX - PATCH_PX) // 2
    inner = slice(corner, corner + PATCH_PX)
    seen = np.stack([_spot(examples, rng)[inner, inner] for _ in range(patches)])
    encoder.mean.zero_()  # type: ignore[operator]
    encoder.deviation.fill_(1.0)  # type: ignore[operator]
    found = encoder.embed(seen)
    encoder.mean.copy_(torch.from_numpy(found.mean(0)))  # type: ignore[operator]
    encoder.deviation.copy_(torch.from_numpy(found.std(0) + 1e-3))  # type: ignore[operator]
    return encoder

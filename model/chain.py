"""Training of the whole chain of octaves: `everslide train --objective chain`.

A network trained on real parents alone paints a little less than there is, and takes its own faults for structure.
Here it samples as it will when it paints, on real parents and on what it painted itself (`everslide.model.painted`),
and the distance of patches (`everslide.model.patches`) between its fields and real ones is lessened through the last
step of the sampler (backpropagation truncated as in Clark et al., "Directly fine-tuning diffusion models on
differentiable rewards", 2024, section 4.2). The velocity loss on real examples keeps it a denoiser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.bands import (
    from_channels,
    parent_input,
    rotate_colours,
    smooth_bands,
    to_channels,
    unrotate_colours,
)
from everslide.model.conditions.cdm import SEEN_PX
from everslide.model.conditions.encoder import PatchEncoder
from everslide.model.dataset import SCALE_SHARES, Batch, Examples
from everslide.model.objectives import Forward, velocity_loss
from everslide.model.painted import Origin, PaintedParents
from everslide.model.patches import patch_distance, with_relief
from everslide.model.precision import autocast
from everslide.model.run import Run, follow
from everslide.model.sampler import Sampler
from everslide.model.wavelet import box_mean, details, merge
from everslide.model.weights import Weights, save_weights

Pixels = NDArray[np.uint8]
KINDS: tuple[Origin | None, ...] = (None, None, "real", "real", "sketch", "sketch")
"""Fields painted in a step: on two real parents, on two painted from real ones, on two from a sketch."""
CHAIN_SHARES = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.7, 0.6])
"""How often each scale below a sketch is painted, finest first."""
DROPPED = 0.15
"""Share of examples that a pupil is told nothing of, so that guidance has something to guide away from."""


@dataclass(frozen=True)
class ChainPlan:
    """minutes: total over all sittings; the learning rate falls to zero over the last `decay` of it.

    steps: of the sampler. batch: examples of the velocity loss. patches: weight of the distance of patches against it.
    average: decay of the moving average that is shipped. sketches: how many sketched tiles are painted upon.
    """

    minutes: float
    steps: int = 4
    rate: float = 2e-4
    decay: float = 0.5
    batch: int = 4
    patches: float = 4.0
    average: float = 0.995
    warmup: int = 50
    save_every_s: float = 180.0
    sketches: int = 24
    seed: int = 0
    compile: bool = True


@dataclass(frozen=True)
class Example:
    """parent: (H, W, 3) uint8 of scale s + 1. real: (2H, 2W, 3), a real child of scale s. keep: what is painted upon
    the parent, so that it is painted upon in turn."""

    parent: Pixels
    s: int
    real: Pixels
    keep: Callable[[Pixels], None]


@dataclass(frozen=True)
class Shown:
    """Tensors of a step: bands (B, 9, H, W) over the deviation of their scale, parents (B, 3, H, W) in [-1, 1]."""

    s: Tensor
    parent: Tensor
    smooth: Tensor  # what the surface through the parent's means has of detail
    truth: Tensor  # detail of the real children
    means: Tensor  # parents of the real children


@dataclass(frozen=True)
class Setting:
    """What detail is sampled from: noise (B, 9, H, W), parents (B, 3, H, W) with grain of a strength (B,), scales (B,),
    cells (B, E, k, k), known (B,). See `DetailUNet.forward`."""

    noise: Tensor
    parent: Tensor
    s: Tensor
    strength: Tensor
    cells: Tensor
    known: Tensor

    def walk(self, sampler: Sampler, network: Forward, learns: Callable[[float], bool] = lambda t: True) -> Tensor:
        """Detail (B, 9, H, W). learns: whether the step from a time on can be differentiated."""

        def velocity(z_t: Tensor, t: float) -> Tensor:
            now = torch.full_like(self.strength, t)
            with torch.set_grad_enabled(learns(t) and torch.is_grad_enabled()):
                return network(z_t, self.parent, now, self.s, self.strength, self.cells, self.known).float()

        return sampler.walk(velocity, self.noise)


class ChainTrainer:
    """State of one run in `folder`; continues from its checkpoint where there is one, else from `start`."""

    checkpoint = "chain.pt"
    betas = (0.9, 0.98)

    def __init__(
        self,
        prepared: Path,
        folder: Path,
        plan: ChainPlan,
        start: Weights,
        threads: int,
        encoder: PatchEncoder | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.plan, self.folder = plan, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.start, self.cdm, self.encoder = start, start.build_cdm(), encoder
        self.examples = Examples(prepared, "train", encoder=encoder)
        torch.manual_seed(plan.seed)
        self.network = start.build().to(self.device)
        self.average = {name: p.detach().clone() for name, p in self.network.state_dict().items()}
        self.deviation, self.sampler = start.deviation, Sampler(Sampler.falling(self.steps))
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=plan.rate, betas=self.betas, weight_decay=0.0, fused=True
        )
        self._begin()
        self.clock = Run(folder, self.checkpoint, plan.minutes, plan.save_every_s)
        state = self.clock.resume(self.device)
        if state:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average = state["average"]
            self._restore(state)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.forward: Forward = torch.compile(self.network) if plan.compile else self.network
        self.rng = np.random.default_rng([plan.seed, self.clock.step])
        torch.manual_seed(int(self.rng.integers(2**62)))

    def _begin(self) -> None:
        """What a run has beside the network, before it is resumed."""

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Take that from a checkpoint."""

    def _state(self) -> dict[str, Any]:
        """That for a checkpoint."""
        return {}

    @cached_property
    def painted(self) -> PaintedParents:
        """What was painted so far, to be painted upon."""
        return PaintedParents(self.rng, self.plan.sketches)

    @property
    def steps(self) -> int:
        """Of the sampler that is trained."""
        return self.plan.steps

    def run(self) -> None:
        """Train until the plan's minutes are used up."""
        self.clock.until_used_up(self._step, self._checkpoint)

    def shipped(self, weights: Weights) -> Weights:
        """What is written of the averaged weights."""
        return weights

    def _examples(self) -> list[Example]:
        present = self.examples.scales
        shares = np.array([SCALE_SHARES[s] for s in present])
        chain = CHAIN_SHARES[: len(present)]
        out = []
        for origin in KINDS:
            weights = chain if origin == "sketch" else shares
            s = int(self.rng.choice(present, p=weights / weights.sum()))
            drawn = self.painted.draw(s, origin, self.rng) if origin else None
            if drawn is None:
                real = self.examples.crop(s, self.rng)
                parent = box_mean(real)
            else:
                real = self.examples.like(s, drawn.pixels, self.rng)
                parent = drawn.pixels
            kept = origin if drawn and origin else "real"
            out.append(Example(parent, s, real, partial(self.painted.keep, s=s, origin=kept)))
        return out

    def _step(self) -> Mapping[str, float]:
        self._pace()
        examples = self._examples()
        shown = self._tensors(examples)
        with autocast(self.device):
            loss, detail, said = self._loss(shown)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._keep(examples, detail.detach().cpu().numpy())
        follow(self.average, self.network.state_dict(), self.plan.average, self.clock.step)
        return said

    def _pace(self) -> None:
        """Set the learning rate of this step."""
        set_rate(self.optimizer, self._rate(self.plan.warmup))

    def _rate(self, rising: int, still: int = 0) -> float:
        """The plan's rate at this step: zero for `still` steps, rising over so many more, falling at the end."""
        fall = min(1.0, (1.0 - self.clock.progress) / self.plan.decay)
        return self.plan.rate * fall * min(1.0, max(0.0, (self.clock.step + 1 - still) / rising))

    def _loss(self, shown: Shown) -> tuple[Tensor, Tensor, Mapping[str, float]]:
        """The loss, a scalar; the detail (B, 9, H, W) that was painted; figures for the curve."""
        detail = self._paint(shown)
        patches = patch_distance(
            with_relief(shown.smooth + detail, shown.parent), with_relief(shown.truth, shown.means)
        )
        velocity = velocity_loss(self._batch(), self.forward, None)
        said = {"patches": float(patches.detach()), "velocity": float(velocity.detach())}
        return velocity + self.plan.patches * patches, detail, said

    def _batch(self) -> Batch:
        batch = self.examples.batch(self.plan.batch, self.rng, self.deviation)
        return batch.to(self.device)

    def _tensors(self, examples: list[Example]) -> Shown:
        smooth = [to_channels(smooth_bands(e.parent.astype(np.float32)), self.deviation[e.s]) for e in examples]
        truth = [to_channels(details(e.real.astype(np.float32)), self.deviation[e.s]) for e in examples]
        return Shown(
            torch.tensor([e.s for e in examples], device=self.device),
            torch.stack([parent_input(e.parent) for e in examples]).to(self.device),
            torch.stack(smooth).to(self.device),
            torch.stack(truth).to(self.device),
            torch.stack([parent_input(box_mean(e.real)) for e in examples]).to(self.device),
        )

    def _paint(self, shown: Shown) -> Tensor:
        """Detail (B, 9, H, W) sampled from noise; only the last step can be differentiated."""
        last = self.sampler.times[-2]
        return self.setting(shown).walk(self.sampler, self.forward, lambda t: t == last)

    def setting(self, shown: Shown, dropped: float = 0.0) -> Setting:
        """What detail is sampled from; a share `dropped` of the examples is told nothing of the tissue."""
        count, _, high, wide = shown.parent.shape
        grain = self.sampler.strength
        cells, known = self.told(shown.parent, shown.s)
        return Setting(
            noise=torch.randn((count, 9, high, wide), device=self.device),
            parent=shown.parent + grain * torch.randn_like(shown.parent),
            s=shown.s,
            strength=torch.full((count,), grain, device=self.device),
            cells=cells,
            known=known * (torch.rand(count, device=self.device) >= dropped),
        )

    def told(self, parent: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """What the network is told when it paints: cells (B, E, k, k) that the CDM samples, known (B,)."""
        count, cells = len(parent), parent.shape[2] // SEEN_PX
        noise = torch.randn((count, self.network.config.cells, cells, cells), device=self.device)
        if self.cdm is None or self.encoder is None:
            return torch.zeros_like(noise), noise.new_zeros(count)
        return self.cdm.sample(noise, s, self.encoder.quick(parent.float(), cells)), noise.new_ones(count)

    def _keep(self, examples: list[Example], detail: NDArray[np.float32]) -> None:
        for example, channels in zip(examples, detail, strict=False):
            if example.s == 0:
                continue
            given = example.parent.astype(np.float32)
            smooth = rotate_colours(smooth_bands(given))
            bands = unrotate_colours(smooth + from_channels(channels, self.deviation[example.s]))
            child = np.floor(merge(given, bands) + 0.5).clip(0, 255).astype(np.uint8)
            example.keep(child)

    def _checkpoint(self) -> tuple[dict[str, Any], Mapping[str, object]]:
        """Write the averaged weights; the checkpoint."""
        weights = Weights(self.network.config, self.average, self.deviation, self.sampler, cdm=self.start.cdm)
        save_weights(self.folder / "mini.safetensors", self.shipped(weights))
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            **self._state(),
        }
        return state, {}


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate

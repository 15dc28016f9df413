"""Training on painted parents against a critic: `everslide train --objective adversarial`.

Each step paints three kinds of examples in one evaluation each: on real parents, twice, where the energy score against
the true child applies; and on painted ones, from real parents or all the way from a sketch (`everslide.model.painted`).
The critic sees all of them beside real children of the same scales and about the same colours, so that the chain of
octaves, not only its first link, comes out as tissue.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from everslide.model.bands import (
    from_channels,
    parent_input,
    rotate_colours,
    smooth_bands,
    to_channels,
    unrotate_colours,
)
from everslide.model.critic import Critic, Judge, critic_input, relative_loss, slope_penalty
from everslide.model.dataset import SCALE_SHARES, Examples
from everslide.model.painted import Origin, PaintedParents
from everslide.model.patches import patch_distance, with_relief
from everslide.model.sampler import Sampler
from everslide.model.score import energy_score
from everslide.model.wavelet import box_mean, details, merge
from everslide.model.weights import Weights, save_weights

log = logging.getLogger(__name__)
Pixels = NDArray[np.uint8]
CHECKPOINT = "adversarial.pt"
KINDS: tuple[Origin | None, ...] = (None, None, "real", "real", "sketch", "sketch")
"""Examples of a step: on two real parents (painted twice), on two painted from real ones, on two from a sketch."""
CHAIN_SHARES = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.7, 0.6])
"""How often each scale below a sketch is painted, finest first."""


@dataclass(frozen=True)
class AdversarialPlan:
    """minutes: total over all sittings; both rates fall to zero over the last `decay` of it.

    weight: of the critic's verdict against the energy score. patches: of the distance of patches. penalty: of the critic's slope, applied every
    `penalty_every` steps. average: decay of the moving average that is shipped. grain: noise on the parent. sketches:
    how many sketched tiles are painted upon.
    """

    minutes: float
    rate: float = 1.5e-4
    critic_rate: float = 4e-4
    decay: float = 0.4
    weight: float = 3.0
    patches: float = 3.0
    penalty: float = 0.3
    penalty_every: int = 4
    average: float = 0.998
    grain: float = 0.02
    warmup: int = 80
    save_every_s: float = 240.0
    sketches: int = 24
    seed: int = 0
    compile: bool = True


@dataclass(frozen=True)
class _Example:
    parent: Pixels  # (H, W, 3), scale s + 1
    s: int
    origin: Origin | None  # None: a real parent, whose true child is `real`
    real: Pixels  # (2H, 2W, 3), a real child of scale s


@dataclass(frozen=True)
class _Shown:
    """Tensors of a step: bands (B, 9, H, W) over the deviation of their scale, parents (B, 3, H, W) in [-1, 1]."""

    s: Tensor
    parent: Tensor
    smooth: Tensor  # what the surface through the parent's means has of detail
    truth: Tensor  # detail of the real children
    means: Tensor  # parents of the real children


class AdversarialTrainer:
    """State of one run in `folder`; continues from its checkpoint where there is one, else from `start`."""

    def __init__(self, prepared: Path, folder: Path, plan: AdversarialPlan, start: Weights, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.plan, self.folder = plan, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.examples = Examples(prepared, "train")
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(plan.seed)
        self.network, self.critic = start.build().to(self.device), Critic().to(self.device)
        self.average = {name: p.detach().clone() for name, p in self.network.state_dict().items()}
        self.deviation = start.deviation
        settings = {"betas": (0.0, 0.99), "weight_decay": 0.0, "fused": True}
        self.optimizers = [
            torch.optim.AdamW(self.network.parameters(), lr=plan.rate, **settings),  # type: ignore[arg-type]
            torch.optim.AdamW(self.critic.parameters(), lr=plan.critic_rate, **settings),  # type: ignore[arg-type]
        ]
        self.step, self.seconds = 0, 0.0
        if (folder / CHECKPOINT).exists():
            self._resume(folder / CHECKPOINT)
        for module in (self.network, self.critic):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.paint = torch.compile(self.network) if plan.compile else self.network
        self.judge: Judge = torch.compile(self.critic) if plan.compile else self.critic
        self.rng = np.random.default_rng([plan.seed, self.step])
        torch.manual_seed(int(self.rng.integers(2**62)))
        self.painted = PaintedParents(self.rng, plan.sketches)
        self.losses: dict[str, float] = {}

    def _resume(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.network.load_state_dict(state["network"])
        self.critic.load_state_dict(state["critic"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.average = state["average"]
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        log.info("resumed at step %d after %.1f minutes", self.step, self.seconds / 60)

    def run(self) -> None:
        """Train until the plan's minutes are used up."""
        budget, started = self.plan.minutes * 60, time.monotonic() - self.seconds
        saved = time.monotonic()
        with tqdm(total=round(budget), initial=round(self.seconds), unit="s", desc="training") as bar:
            while self.seconds < budget:
                self._step(self.seconds / budget)
                self.seconds = time.monotonic() - started
                bar.update(round(self.seconds) - bar.n)
                shown = {name: f"{value:.3f}" for name, value in self.losses.items()}
                bar.set_postfix({"step": str(self.step), **shown}, refresh=False)
                if self.seconds >= budget or time.monotonic() - saved > self.plan.save_every_s:
                    self.save()
                    saved = time.monotonic()

    def _examples(self) -> list[_Example]:
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
                out.append(_Example(box_mean(real), s, None, real))
            else:
                real = self.examples.like(s, drawn.pixels, self.rng)
                out.append(_Example(drawn.pixels, s, origin, real))
        return sorted(out, key=lambda example: example.origin is not None)

    def _step(self, progress: float) -> None:
        fall = min(1.0, (1.0 - progress) / self.plan.decay) * min(1.0, (self.step + 1) / self.plan.warmup)
        for optimizer, rate in zip(self.optimizers, (self.plan.rate, self.plan.critic_rate), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * max(fall, 0.0)
        examples = self._examples()
        twice = [example for example in examples if example.origin is None][: KINDS.count(None)]
        shown = self._tensors(examples + twice)  # real parents come first, and once more at the end
        detail = self._teach_network(shown, len(twice), len(examples))
        self._teach_critic(shown, shown.smooth + detail)
        self._keep(examples, detail.cpu().numpy())
        self.step += 1
        keep = min(self.plan.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            live = self.network.state_dict()
            torch._foreach_lerp_(list(self.average.values()), [live[name] for name in self.average], 1 - keep)

    def _tensors(self, examples: list[_Example]) -> _Shown:
        smooth = [to_channels(smooth_bands(e.parent.astype(np.float32)), self.deviation[e.s]) for e in examples]
        truth = [to_channels(details(e.real.astype(np.float32)), self.deviation[e.s]) for e in examples]
        return _Shown(
            torch.tensor([e.s for e in examples], device=self.device),
            torch.stack([parent_input(e.parent) for e in examples]).to(self.device),
            torch.stack(smooth).to(self.device),
            torch.stack(truth).to(self.device),
            torch.stack([parent_input(box_mean(e.real)) for e in examples]).to(self.device),
        )

    def _teach_network(self, shown: _Shown, pairs: int, count: int) -> Tensor:
        """One step of the network; returns what it painted, (B, 9, H, W) without the smooth part."""
        self.critic.requires_grad_(False)
        with torch.autocast(self.device.type, torch.bfloat16):
            detail = self._paint(shown.parent, shown.s)
            fake = critic_input(shown.smooth + detail, shown.parent)
            real = critic_input(shown.truth, shown.means)
            verdict = relative_loss(self.judge(fake, shown.s), [x.detach() for x in self.judge(real, shown.s)])
            patches = patch_distance(
                with_relief(shown.smooth + detail, shown.parent), with_relief(shown.truth, shown.means)
            )
            score = energy_score(detail[:pairs], detail[count:], (shown.truth - shown.smooth)[:pairs])
        self.critic.requires_grad_(True)
        ramp = self.plan.weight * min(1.0, self.step / (4 * self.plan.warmup))
        self._descend(0, score + ramp * verdict + self.plan.patches * patches)
        self._log("score", float(score.detach()))
        self._log("verdict", float(verdict.detach()))
        self._log("patches", float(patches.detach()))
        return detail.detach()

    def _teach_critic(self, shown: _Shown, painted: Tensor) -> None:
        with torch.autocast(self.device.type, torch.bfloat16):
            fake, real = critic_input(painted, shown.parent), critic_input(shown.truth, shown.means)
            on_real, on_fake = self.judge(real, shown.s), self.judge(fake, shown.s)
            loss = relative_loss(on_real, on_fake)
            if self.step % self.plan.penalty_every == 0:
                slopes = slope_penalty(self.judge, real, shown.s, on_real)
                slopes = slopes + slope_penalty(self.judge, fake, shown.s, on_fake)
                loss = loss + 0.5 * self.plan.penalty * self.plan.penalty_every * slopes
                self._log("slope", float(slopes.detach()))
        self._descend(1, loss)

    def _paint(self, parent: Tensor, s: Tensor) -> Tensor:
        """Detail (B, 9, H, W) in one step from pure noise."""
        count, _, high, wide = parent.shape
        noise = torch.randn((count, 9, high, wide), device=self.device)
        given = parent + self.plan.grain * torch.randn_like(parent)
        start = torch.ones(count, device=self.device)
        velocity: Tensor = self.paint(noise, given, start, s, torch.full_like(start, self.plan.grain))
        return noise - velocity.float()

    def _descend(self, which: int, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        module: nn.Module = (self.network, self.critic)[which]
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0 if which == 0 else 5.0)
        self.optimizers[which].step()
        self.optimizers[which].zero_grad(set_to_none=True)

    def _keep(self, examples: list[_Example], detail: NDArray[np.float32]) -> None:
        for example, channels in zip(examples, detail, strict=False):
            if example.s == 0:
                continue
            given = example.parent.astype(np.float32)
            smooth = rotate_colours(smooth_bands(given))
            bands = unrotate_colours(smooth + from_channels(channels, self.deviation[example.s]))
            child = np.floor(merge(given, bands) + 0.5).clip(0, 255).astype(np.uint8)
            self.painted.keep(child, example.s, example.origin or "real")

    def _log(self, name: str, value: float) -> None:
        self.losses[name] = value if name not in self.losses else 0.98 * self.losses[name] + 0.02 * value

    def save(self) -> None:
        """Write the checkpoint, the averaged weights, and a line of the training curve."""
        state = {
            "network": self.network.state_dict(),
            "critic": self.critic.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average,
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.folder / (CHECKPOINT + ".part")
        torch.save(state, partial)
        partial.replace(self.folder / CHECKPOINT)
        weights = Weights(self.network.config, self.average, self.deviation, Sampler(Sampler.falling(1)))
        save_weights(self.folder / "mini.safetensors", weights)
        losses = {name: round(value, 4) for name, value in self.losses.items()}
        point = {"step": self.step, "minutes": round(self.seconds / 60, 2), **losses}
        with (self.folder / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps(point) + "\n")

"""What a step of the painter is trained for: scores of what it paints below real parents, and upon its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.geometry import TOP_SCALE
from everslide.model.mini.precision import autocast
from everslide.model.training.chain import Brush, paint_chains
from everslide.model.training.critic import Opponent
from everslide.model.training.lattice import phases
from everslide.model.training.loss import energy_distance, energy_score
from everslide.model.training.perceptual_features import VIEWS, Features
from everslide.model.training.places import CROP_PX, PARENT_PX, RIM_PX, Batch, Tissue
from everslide.model.training.plan import Plan
from everslide.model.training.relief import relief
from everslide.model.training.replay import Place, ReplayBuffer, alike

SHIFT_PX = 8
"""Pictures are compared from another of so many rows and columns on each time: no lattice hides between the strides."""
REPLAYED_OCTAVES = 2
"""Octaves painted in a step upon painted parents."""
Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Objective:
    """plan: the weights of its parts. opponent: the critic, which keeps the pairs that it is shown."""

    plan: Plan
    features: Features
    opponent: Opponent

    def of(self, brush: Brush, batch: Batch) -> tuple[Tensor, Metrics]:
        """The loss of the chains of a batch below real parents; and the score of each scale.

        Each octave has the energy scores of its features, phases and relief, and the critic's word.
        """
        count = batch.s.shape[1]

        def scored(found: list[Tensor], wanted: list[Tensor], *of: Any) -> Tensor:
            return energy_score([x[:count] for x in found], [x[count:] for x in found], wanted, *of)

        with autocast(batch.reals.device):
            painted = paint_chains(brush, batch)
            total, metrics = [], dict[str, float]()
            for s, child, real in zip(batch.s, painted, batch.reals, strict=True):
                found, wanted = self._compared(child, real)
                score = scored(found, wanted, self.features.shares, self.plan.variety)
                lattice = scored(phases(child), phases(real)).mean()
                beside = scored([relief(child)], [relief(real)]).mean()
                metrics |= {"lattice": float(lattice.detach()), "relief": float(beside.detach())}
                metrics |= {f"s{scale}": float(score.detach()[s == scale].mean()) for scale in s.unique().tolist()}
                total.append(self._weighed(score.mean(), lattice, beside) + self._criticized(found, wanted, s))
            return torch.stack(total).mean(), metrics

    def replayed(
        self, brush: Brush, replay: ReplayBuffer, tissue: Tissue, rng: np.random.Generator
    ) -> tuple[Tensor, Metrics]:
        """The loss of what is painted upon painted parents, two octaves down; and its distance at each scale.

        No child of theirs is real, so it has energy distances from real places alike instead of scores.
        """
        device, count = brush.deviation.device, 2 * self.plan.batch
        top = int(rng.integers(max(replay.depth(), REPLAYED_OCTAVES), TOP_SCALE + 1))
        chosen = [replay.parent(top) for _ in range(count)]
        parent = _planes([place.pixels for place in chosen], device)
        condition = torch.from_numpy(np.stack([tissue.shown(place.organ, rng) for place in chosen])).to(device)
        brightest = torch.from_numpy(np.stack([place.glass for place in chosen])).to(device).float()
        total, metrics = [], dict[str, float]()
        with autocast(device):
            for s in range(top - 1, top - 1 - REPLAYED_OCTAVES, -1):
                scales = torch.full((count,), s, device=device)
                child = brush.child(parent, scales, condition, brightest=brightest)
                shown = child.detach().permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)
                painted = [Place(pixels, above.organ, above.glass) for pixels, above in zip(shown, chosen, strict=True)]
                real = _planes([alike(tissue, s, one, rng) for one in painted], device)
                found, wanted = self._compared(child, real)
                far = energy_distance(found, wanted, self.features.shares)
                lattice = energy_distance(phases(child), phases(real))
                beside = energy_distance([relief(child).abs()], [relief(real).abs()])
                metrics[f"r{s}"] = float(far.detach())
                total.append(self._weighed(far, lattice, beside) + self._criticized(found, wanted, scales))
                for one in painted:
                    replay.keep(s, one)
                y, x = (int(rng.integers(RIM_PX, CROP_PX - PARENT_PX - RIM_PX + 1)) for _ in range(2))
                parent = child[:, :, y : y + PARENT_PX, x : x + PARENT_PX]
        return torch.stack(total).mean(), metrics

    def _compared(self, child: Tensor, real: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Features of what is painted and of what is real, from the same corner."""
        y, x = torch.randint(SHIFT_PX + 1, (2,)).tolist()
        with torch.no_grad():
            wanted = self.features(seen(real, y, x))
        return self.features(seen(child, y, x)), wanted

    def _weighed(self, score: Tensor, lattice: Tensor, beside: Tensor) -> Tensor:
        return score + self.plan.lattice * lattice + self.plan.relief * beside

    def _criticized(self, painted: list[Tensor], real: list[Tensor], s: Tensor) -> Tensor:
        """The critic's word, weighed, for all samples (samples * B, C, h, w) of real places (B, C, h, w), s (B,)."""
        samples = len(painted[0]) // len(s)
        repeated = [x.repeat(samples, 1, 1, 1) for x in real[::VIEWS]]
        word = self.opponent.against(painted[::VIEWS], repeated, s.repeat(samples))
        return self.plan.critic * self.opponent.word * word


def _planes(pictures: list[NDArray[np.uint8]], device: torch.device) -> Tensor:
    """Pictures (H, W, 3) -> (B, 3, H, W), grey levels."""
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy()).to(device).float()


def seen(grey: Tensor, y: int, x: int) -> Tensor:
    """[0, 255] -> [-1, 1], but for a rim of SHIFT_PX in all that lies around row y and column x."""
    high, wide = (side - SHIFT_PX for side in grey.shape[2:])
    return (grey[:, :, y : y + high, x : x + wide] / 127.5 - 1).contiguous(memory_format=torch.channels_last)

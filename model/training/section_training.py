"""Training of the network that fills sections: `everslide train --sections`.

Whole sections of the training cases, turned, bent, resized and restained, are held against two samples that are painted
into their own silhouettes (the energy score of features, as for the painter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from everslide.model.geometry import TOP_SCALE
from everslide.model.mini.section_network import CANVAS_PX, LATENT, SectionConfig, SectionUNet, noise_sides
from everslide.model.mini.sections import SectionWeights, save_sections, shape_channels
from everslide.model.pyramid.layout import GLASS_GREY
from everslide.model.stain import jitter_stain
from everslide.model.training.loss import energy_score
from everslide.model.training.organs import cases_by_organ, organ_of
from everslide.model.training.perceptual_features import Features
from everslide.model.training.places import GAINS, SHIFT, turned
from everslide.model.training.prepare import plane, read_index
from everslide.model.training.run import Run, follow
from everslide.model.training.sections import silhouette, whole_sections

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
CHECKPOINT, WEIGHTS = "sections.pt", "sections.safetensors"
OBJECTIVE = "sections 1"
FINER = 1
"""Sections are cut from a plane so many octaves finer, so that a turned one is as sharp as a box mean."""
ZOOMS, BEND_PX, WAVE_PX = (0.75, 1.25), 5.0, 40
"""Sizes, and how far and over what distance a section is bent, in pixels of the canvas."""
ORGAN_DROPPED_SHARE = 0.15
SAMPLES = 2
SHIFT_PX = 8
"""Pictures are compared from another row and column on each time, so that no lattice hides between the strides."""


@dataclass(frozen=True)
class SectionPlan:
    """minutes: over all sittings; the rate falls to a tenth over the last third. batch: sections a step."""

    minutes: float
    batch: int = 3
    rate: float = 4e-4
    average: float = 0.995
    save_every_s: float = 120.0
    seed: int = 0


@dataclass(frozen=True)
class Section:
    """A whole slide of one case, (H, W, 3) uint8 at TOP_SCALE - FINER. organ: its index, None where it is not known."""

    pixels: Pixels
    organ: int | None


def read_sections(prepared: Path, split: str = "train") -> tuple[list[Section], dict[str, int]]:
    """Whole sections of a split, and the training cases of each organ. Raises DataError where there are none."""
    cases = cases_by_organ(read_index(prepared))
    organs, found = list(cases), []
    for image, _ in whole_sections(prepared, split):
        organ = organ_of(image.organ)
        pixels = np.array(plane(prepared, image, TOP_SCALE - FINER))
        found.append(Section(pixels, organs.index(organ) if organ in organs else None))
    return found, cases


def varied(section: Section, rng: np.random.Generator) -> Pixels:
    """A canvas (CANVAS_PX, CANVAS_PX, 3) of a section, turned, resized, bent and restained."""
    side, step = CANVAS_PX << FINER, 1 << FINER
    high, wide = section.pixels.shape[:2]
    angle, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(*ZOOMS)
    waves = side // (WAVE_PX << FINER) + 3
    bend = [
        ndimage.zoom(rng.standard_normal((waves, waves)), side / waves, order=3)[:side, :side] * BEND_PX * step
        for _ in range(2)
    ]
    y, x = np.mgrid[:side, :side].astype(np.float64) - side / 2
    middle = [length / 2 + rng.uniform(-0.5, 0.5) * max(0.0, length * zoom - side) / zoom for length in (high, wide)]
    rows = middle[0] + (np.cos(angle) * y - np.sin(angle) * x + bend[0]) / zoom
    cols = middle[1] + (np.sin(angle) * y + np.cos(angle) * x + bend[1]) / zoom
    planes = [
        ndimage.map_coordinates(section.pixels[..., c].astype(np.float32), [rows, cols], order=1, cval=GLASS_GREY)
        for c in range(3)
    ]
    means = np.stack(planes, -1).reshape(CANVAS_PX, step, CANVAS_PX, step, 3).mean((1, 3))
    out = turned(np.floor(means + 0.5).clip(0, 255).astype(np.uint8), 0, bool(rng.random() < 0.5))
    gains, shift = rng.uniform(*GAINS, 3), rng.uniform(-SHIFT, SHIFT, 3)
    return jitter_stain(out, gains.astype(np.float32), shift.astype(np.float32))


class SectionTrainer:
    """State of one run in `folder`; continues from its checkpoint where there is one."""

    def __init__(self, prepared: Path, folder: Path, plan: SectionPlan, config: SectionConfig, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.plan, self.folder = plan, folder
        self.sections, self.cases = read_sections(prepared)
        torch.manual_seed(plan.seed)
        self.network = SectionUNet(replace(config, organs=tuple(self.cases))).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=plan.rate, betas=(0.9, 0.99), fused=True)
        self.clock = Run(folder, CHECKPOINT, plan.minutes, plan.save_every_s, objective=OBJECTIVE)
        state = self.clock.resume(torch.device("cpu"))
        self.average = {name: p.detach().clone() for name, p in self.network.state_dict().items()}
        if state:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average = state["average"]
        self.features = Features().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rng = np.random.default_rng([plan.seed, 5])
        self.features.calibrate(_tensor(np.stack([self._example(rng)[0] for _ in range(32)])))
        self.rng = np.random.default_rng([plan.seed, 6, self.clock.step])
        torch.manual_seed(hash((plan.seed, self.clock.step)) % 2**62)

    def run(self) -> Path:
        """Train until the minutes are used up; the file of weights."""
        self.clock.until_used_up(self._step, self._keep)
        return self.folder / WEIGHTS

    def _example(self, rng: np.random.Generator) -> tuple[Pixels, Floats, Floats]:
        """Pixels (N, N, 3) on clean glass, shape (2, N, N), organ (organs,)."""
        while True:
            section = self.sections[int(rng.integers(len(self.sections)))]
            pixels = varied(section, rng)
            cover = silhouette(pixels)
            if cover.mean() > 0.02:
                break
        organ = np.zeros(len(self.cases), np.float32)
        if section.organ is not None and rng.random() >= ORGAN_DROPPED_SHARE:
            organ[section.organ] = 1
        clean = pixels * cover[..., None] + GLASS_GREY * (1 - cover[..., None])
        return clean.astype(np.uint8), shape_channels(cover), organ

    def _step(self) -> Mapping[str, float]:
        left = min(1.0, (1 - self.clock.progress) * 3)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate * (0.1 + 0.9 * left) * min(1.0, (self.clock.step + 1) / 50)
        pixels, shapes, organs = (
            np.stack(some) for some in zip(*(self._example(self.rng) for _ in range(self.plan.batch)), strict=True)
        )
        shape, organ = (torch.from_numpy(some).repeat(SAMPLES, *[1] * (some.ndim - 1)) for some in (shapes, organs))
        noise = tuple(torch.randn(len(shape), *size, size[1]) for size in noise_sides(self.network.config, CANVAS_PX))
        painted = self.network(
            shape.contiguous(memory_format=torch.channels_last), noise, torch.randn(len(shape), LATENT), organ
        )
        y, x = (int(at) for at in self.rng.integers(SHIFT_PX + 1, size=2))
        with torch.no_grad():
            wanted = self.features(shifted(_tensor(pixels), y, x))
        found = self.features(shifted(painted, y, x))
        count = self.plan.batch
        score = energy_score([x[:count] for x in found], [x[count:] for x in found], wanted).mean()
        score.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0, error_if_nonfinite=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        follow(self.average, self.network.state_dict(), self.plan.average, self.clock.step)
        return {"score": float(score.detach())}

    def _keep(self) -> tuple[dict[str, Any], Mapping[str, object]]:
        save_sections(self.folder / WEIGHTS, SectionWeights(self.network.config, self.average, self.cases))
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
        }, {}


def shifted(pictures: Tensor, y: int, x: int) -> Tensor:
    """Pictures (B, 3, H, W) from row y and column x on, SHIFT_PX smaller."""
    high, wide = (side - SHIFT_PX for side in pictures.shape[2:])
    return pictures[:, :, y : y + high, x : x + wide].contiguous(memory_format=torch.channels_last)


def _tensor(pixels: Pixels) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) in [-1, 1]."""
    x = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)
    return x.contiguous(memory_format=torch.channels_last)


def train_sections(prepared: Path, folder: Path, plan: SectionPlan, threads: int) -> Path:
    """Train the network that fills sections in a run's folder; its file."""
    return SectionTrainer(prepared, folder, plan, SectionConfig(), threads).run()

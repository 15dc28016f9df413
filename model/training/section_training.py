"""Training of the network of whole sections: `everslide train --sections`.

Whole sections of the training cases, turned, bent, resized and restained, are held against two samples that are drawn
into their own silhouettes, by the energy score of patches of pixels and of the features that the painter is trained by,
of enlarged pictures; and a critic looks at the same features. Patches alone, even with differences in four directions,
leave strokes along rows and columns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from everslide.model.geometry import TOP_SCALE
from everslide.model.mini.bands import COLOURS
from everslide.model.mini.section_network import SectionConfig, SectionUNet
from everslide.model.mini.sections import COARSE_PX, STEP, SectionWeights, load_sections, save_sections, shape_channels
from everslide.model.pyramid.layout import CANVAS_PX, GLASS_GREY
from everslide.model.stain import jitter_stain
from everslide.model.training.critic import Opponent
from everslide.model.training.loss import energy_score
from everslide.model.training.organs import cases_by_organ, organ_of
from everslide.model.training.perceptual_features import VIEWS, Features
from everslide.model.training.prepare import plane, read_index
from everslide.model.training.run import Run, follow, take_over
from everslide.model.training.sections import colours_of, silhouette, whole_sections

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
CHECKPOINT, WEIGHTS = "sections.pt", "sections.safetensors"
OBJECTIVE = "sections 5"
FINER = 1
"""Sections are cut from a plane so many octaves finer, so that a turned one is as sharp as a box mean."""
ZOOMS, BEND_PX, WAVE_PX = (0.75, 1.25), 5.0, 40
"""Sizes, and how far and over what distance a section is bent, in pixels of the canvas."""
GAINS, SHIFT = (0.85, 1.18), 0.04
"""How far another stain goes; see `jitter_stain`."""
ORGAN_DROPPED_SHARE = 0.15
LEAST_COVER = 0.02
POOL, FIRST = 600, 64
"""Varied sections that are kept to be drawn from, one more each step; and those made before the first step."""
PATCHES = ((1, 1), (3, 1), (5, 2), (9, 3))
"""Side and stride of the patches of pixels that are compared."""
WAYS, LAGS = ((0, 1), (1, 0), (1, 1), (1, -1)), (1, 2, 4)
"""Directions, and distances in pixels, of the differences that are compared."""
POOLED = 5
"""Means are compared over squares of so many pixels a side."""
ENLARGED = 3
"""Pictures are shown to the features so many times as large: their finest stride is 4 px."""
SHIFT_PX = 8
"""They begin up to so many pixels further on each time, so that nothing hides between the strides."""
GLASS = GLASS_GREY / 127.5 - 1
WARMUP, SHOWN = 100, 8


@dataclass(frozen=True)
class SectionPlan:
    """minutes: over all sittings; the rate falls to a twentieth over the last half. batch: sections a step. critic:
    weight of the critic beside the scores. critic_rate: its learning rate."""

    minutes: float
    batch: int = 8
    rate: float = 1e-3
    critic: float = 1.0
    critic_rate: float = 2e-3
    average: float = 0.998
    save_every_s: float = 120.0
    seed: int = 0


@dataclass(frozen=True)
class Section:
    """A whole slide of one case, (H, W, 3) uint8 at TOP_SCALE - FINER. organ: its index, None where it is not known."""

    pixels: Pixels
    organ: int | None


@dataclass(frozen=True)
class Example:
    """A section on clean glass. real: (N, N, 3) in [0, 255], N = COARSE_PX. shape: (2, N, N). palette: (15,) in
    [-1, 1]. organ: its index or None."""

    real: Floats
    shape: Floats
    palette: Floats
    organ: int | None

    def turned(self, quarters: int, mirrored: bool) -> Example:
        """The same section, turned by quarters and mirrored or not."""
        real, shape = np.rot90(self.real, quarters), np.rot90(self.shape, quarters, (1, 2))
        if mirrored:
            real, shape = real[:, ::-1], shape[:, :, ::-1]
        return replace(self, real=real, shape=shape)


class Examples:
    """Varied sections of one split of a prepared folder. Raises DataError where it holds no whole section."""

    def __init__(self, prepared: Path, split: str, rng: np.random.Generator) -> None:
        self.organs = tuple(cases_by_organ(read_index(prepared)))
        self._rng, self._pool = rng, deque[Example](maxlen=POOL)
        self._sections = read_sections(prepared, split, self.organs)

    def draw(self, count: int) -> list[Example]:
        """Some of those kept, turned by quarters, after one more was made."""
        while len(self._pool) < FIRST:
            self._pool.append(self._made())
        self._pool.append(self._made())
        chosen = [self._pool[int(k)] for k in self._rng.integers(len(self._pool), size=count)]
        return [one.turned(int(self._rng.integers(4)), bool(self._rng.random() < 0.5)) for one in chosen]

    def _made(self) -> Example:
        while True:
            section = self._sections[int(self._rng.integers(len(self._sections)))]
            pixels = varied(section.pixels, self._rng)
            cover = silhouette(pixels)
            if cover.mean() > LEAST_COVER:
                break
        palette = np.array(colours_of(pixels[cover > 0.5]), np.float32).ravel() / 127.5 - 1
        clean = pixels * cover[..., None] + GLASS_GREY * (1 - cover[..., None])
        means = clean.reshape(COARSE_PX, STEP, COARSE_PX, STEP, 3).mean((1, 3)).astype(np.float32)
        return Example(means, shape_channels(cover), palette, section.organ)


def read_sections(prepared: Path, split: str, organs: tuple[str, ...]) -> list[Section]:
    """Whole sections of a split. Raises DataError where there are none."""
    found = []
    for image, _ in whole_sections(prepared, split):
        organ = organ_of(image.organ)
        pixels = np.array(plane(prepared, image, TOP_SCALE - FINER))
        found.append(Section(pixels, organs.index(organ) if organ in organs else None))
    return found


def varied(section: Pixels, rng: np.random.Generator) -> Pixels:
    """A canvas (CANVAS_PX, CANVAS_PX, 3) of a section (H, W, 3), turned, resized, bent and restained."""
    side, step = CANVAS_PX << FINER, 1 << FINER
    high, wide = section.shape[:2]
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
        ndimage.map_coordinates(section[..., c].astype(np.float32), [rows, cols], order=1, cval=GLASS_GREY)
        for c in range(3)
    ]
    means = np.stack(planes, -1).reshape(CANVAS_PX, step, CANVAS_PX, step, 3).mean((1, 3))
    gains, shift = rng.uniform(*GAINS, 3), rng.uniform(-SHIFT, SHIFT, 3)
    pixels = np.floor(means + 0.5).clip(0, 255).astype(np.uint8)
    return jitter_stain(pixels, gains.astype(np.float32), shift.astype(np.float32))


class Patches:
    """What sections are compared by: maps (B, C, h, w) of pictures (B, 3, N, N), each over its deviation on real ones.

    Patches of pixels of several sizes, in decorrelated colours; and the means of pixels, and of their differences in
    four directions, over squares and over the whole picture. Without the directions, a network draws streaks along one.
    """

    def __init__(self, reals: Tensor) -> None:
        """reals: real pictures to take the deviations from."""
        self._colours, self._deviations = torch.from_numpy(COLOURS), list[Tensor]()
        self._colours = self._colours / self.colours(reals).std((0, 2, 3))[:, None]
        self._deviations = [x.std().clamp(min=1e-3) for x in self._raw(reals)]

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        return [x / deviation for x, deviation in zip(self._raw(pictures), self._deviations, strict=True)]

    def colours(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, N, N) in decorrelated colours, of deviation 1 on real ones."""
        return torch.einsum("kc,nchw->nkhw", self._colours, pictures)

    def _raw(self, pictures: Tensor) -> list[Tensor]:
        x = self.colours(pictures)
        out = []
        for side, stride in PATCHES:
            high, wide = (-(-length // stride) for length in x.shape[2:])
            columns = F.unfold(x, side, padding=side // 2, stride=stride)
            out.append(columns.view(len(x), -1, high, wide))
        slopes = torch.cat(
            [(x - x.roll((down * lag, right * lag), (2, 3))).abs() for lag in LAGS for down, right in WAYS], 1
        )
        for one in (x, slopes):
            out += [F.avg_pool2d(one, POOLED), one.mean((2, 3), keepdim=True)]
        return out


class SectionTrainer:
    """State of one run in `folder`; continues from its checkpoint where there is one, else from `start`."""

    def __init__(
        self,
        prepared: Path,
        folder: Path,
        plan: SectionPlan,
        config: SectionConfig,
        start: SectionWeights | None = None,
    ) -> None:
        """config: sizes of a network that begins anew; `start` has its own. Raises DataError."""
        self.plan, self.folder = plan, folder
        self.clock = Run(folder, CHECKPOINT, plan.minutes, plan.save_every_s, objective=OBJECTIVE)
        state = self.clock.resume(torch.device("cpu"))
        self.examples = Examples(prepared, "train", np.random.default_rng([plan.seed, 6, self.clock.step]))
        torch.manual_seed(plan.seed)
        network = _begun(start, config, self.examples.organs)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=plan.rate, betas=(0.9, 0.99), fused=True)
        self.average = {name: p.detach().clone() for name, p in self.network.state_dict().items()}
        if state:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average = state["average"]
        self.patches = Patches(reals(self.examples.draw(FIRST)))
        self.features = Features().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if state:
            self.features.scales = list(state["features"])
        else:
            self.features.calibrate(enlarged(reals(self.examples.draw(FIRST))))
        channels = [x.shape[1] for x in self.features(enlarged(torch.zeros(1, 3, COARSE_PX, COARSE_PX)))[::VIEWS]]
        kinds = len(self.examples.organs) + 1
        self.opponent = Opponent(channels, plan.critic_rate, torch.device("cpu"), kinds)
        if state:
            self.opponent.resume(state["opponent"])
        torch.manual_seed(hash((plan.seed, self.clock.step)) % 2**62)

    def run(self) -> Path:
        """Train until the minutes are used up; the file of weights."""
        self.clock.until_used_up(self._step, self._keep)
        return self.folder / WEIGHTS

    def _step(self) -> Mapping[str, float]:
        left = min(1.0, (1 - self.clock.progress) * 2)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate * (0.05 + 0.95 * left) * min(1.0, (self.clock.step + 1) / WARMUP)
        chosen = self.examples.draw(self.plan.batch)
        drawn = self.drawn([*chosen, *chosen])
        count, real = len(chosen), reals(chosen)
        y, x = torch.randint(SHIFT_PX + 1, (2,)).tolist()
        with torch.no_grad():
            truth = self.features(enlarged(real, y, x))
        found = self.features(enlarged(drawn, y, x))
        wanted = [*self.patches(real), *truth]
        both = [*self.patches(drawn), *found]
        score = energy_score([x[:count] for x in both], [x[count:] for x in both], wanted).mean()
        (score + self._criticized(found, truth, chosen)).backward()  # type: ignore[no-untyped-call]
        told = self.opponent.learn(left)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0, error_if_nonfinite=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        follow(self.average, self.network.state_dict(), self.plan.average, self.clock.step)
        return {"score": float(score.detach()), **told}

    def _criticized(self, drawn: list[Tensor], real: list[Tensor], examples: list[Example]) -> Tensor:
        """The critic's word, weighed, for maps (2 * B, C, h, w) of what was drawn for B examples, and of theirs."""
        kinds = torch.tensor([0 if one.organ is None else one.organ + 1 for one in examples]).repeat(2)
        twice = [x.repeat(2, 1, 1, 1) for x in real[::VIEWS]]
        return self.plan.critic * self.opponent.word * self.opponent.against(drawn[::VIEWS], twice, kinds)

    def drawn(self, examples: list[Example]) -> Tensor:
        """Pictures (B, 3, N, N) in [-1, 1] of the silhouettes of examples, on glass."""
        shape = torch.from_numpy(np.stack([one.shape for one in examples]))
        palette = torch.from_numpy(np.stack([one.palette for one in examples]))
        organ = torch.zeros((len(examples), len(self.examples.organs)))
        for row, one in zip(organ, examples, strict=True):
            if one.organ is not None and float(torch.rand(())) >= ORGAN_DROPPED_SHARE:
                row[one.organ] = 1
        noise = tuple(torch.randn((len(examples), *size)) for size in self.network.noise_shapes(COARSE_PX))
        tissue = self.network(shape.contiguous(memory_format=torch.channels_last), noise, palette, organ)
        cover = shape[:, :1]
        on_glass: Tensor = tissue * cover + GLASS * (1 - cover)
        return on_glass

    def _keep(self) -> tuple[dict[str, Any], Mapping[str, object]]:
        """Write the averaged weights, and a sheet of real sections, each beside three drawn into its silhouette."""
        save_sections(self.folder / WEIGHTS, SectionWeights(self.network.config, self.average))
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "features": self.features.scales,
            "opponent": self.opponent.state(),
        }
        live = {name: p.clone() for name, p in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(11)
            chosen = self.examples.draw(SHOWN)
            rows = [reals(chosen), *(self.drawn(chosen) for _ in range(3))]
        self.network.load_state_dict(live)
        grey = ((torch.cat([torch.cat(list(row), 2) for row in rows], 1) + 1) * 127.5).clamp(0, 255)
        sheet = Image.fromarray(grey.permute(1, 2, 0).numpy().astype(np.uint8))
        sheet.resize((sheet.width * 4, sheet.height * 4), Image.Resampling.BICUBIC).save(self.folder / "sections.png")
        return state, {}


def enlarged(pictures: Tensor, y: int = 0, x: int = 0) -> Tensor:
    """Pictures (B, 3, N, N), ENLARGED times as large, but for a rim of SHIFT_PX in all around row y and column x."""
    large = F.interpolate(pictures, scale_factor=float(ENLARGED), mode="bicubic")
    side = large.shape[2] - SHIFT_PX
    return large[:, :, y : y + side, x : x + side].contiguous(memory_format=torch.channels_last)


def reals(examples: list[Example]) -> Tensor:
    """The real pictures (B, 3, N, N) of examples, in [-1, 1]."""
    stacked = np.stack([one.real for one in examples]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(stacked, np.float32) / 127.5 - 1)


def _begun(start: SectionWeights | None, config: SectionConfig, organs: tuple[str, ...]) -> SectionUNet:
    """A network for these organs, with the weights of `start` where it has them."""
    network = SectionUNet(replace(start.config if start else config, organs=organs))
    if start is not None:
        take_over(network, start.build().state_dict(), start.config.organs)
    return network


def train_sections(prepared: Path, folder: Path, plan: SectionPlan, threads: int, start: Path | None = None) -> Path:
    """Train the network of sections in a run's folder; its file. start: weights to begin from. Raises DataError,
    WeightsError."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    begun = load_sections(start) if start else None
    return SectionTrainer(prepared, folder, plan, SectionConfig(), begun).run()

"""Large images as the authors make them: patches side by side below one guide, then the seam pass.

Super-resolution is Algorithm S1: the guide is a given image. Joint sampling is Algorithm S2: the guide of each step is
the context's own clean prediction. Since the context never reads its details, its path is run first and kept. Every
part that takes long is kept where it is finished, so that a killed run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from everslide.model.errors import ImageError
from everslide.model.geometry import WindowGrid, WindowIndex
from everslide.model.zoomldm.compute import in_batches
from everslide.model.zoomldm.inversion import InversionSettings, invert, normalised
from everslide.model.zoomldm.joint import JointSettings, correct, ddim_step, limit, predict
from everslide.model.zoomldm.kept import Kept
from everslide.model.zoomldm.latents import window_noise
from everslide.model.zoomldm.resize import OperatorName, make_operator
from everslide.model.zoomldm.seams import SeamSettings, from_patches, places, seam_pass, to_patches, window_conditions
from everslide.model.zoomldm.summarizer import grid_side
from everslide.model.zoomldm.zoomldm import ZoomLDM

Noise = Callable[[str, Sequence[int]], Tensor]
"""Standard normals (n, 3, h, w) of a stream for the patches of the given numbers."""


@dataclass(frozen=True)
class Layout:
    """rows x cols patches of scale s, each as large as the training images; numbered row by row."""

    s: int
    rows: int
    cols: int

    @property
    def count(self) -> int:
        """Patches in all."""
        return self.rows * self.cols

    def window(self, model: ZoomLDM, number: int) -> WindowIndex:
        """Where a patch lies, as a window of a grid without overlap."""
        side = model.config.image_px
        return WindowIndex(self.s, number % self.cols, number // self.cols, WindowGrid(side, side))

    def noise(self, model: ZoomLDM, seed: int) -> Noise:
        """Noise keyed by seed, stream and place of each patch: equal whichever patches are drawn together."""
        return lambda stream, part: window_noise(model, seed, f"large {stream}", [self.window(model, n) for n in part])


@torch.inference_mode()
def context_guides(
    model: ZoomLDM, c: Tensor, settings: JointSettings, noise: Callable[[str], Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Sample the context image by itself: its guides (1, 3, H, W) in [-1, 1], one per step, and its last latents.

    c: (1, 65, C). noise(stream): standard normals (1, 3, h, w).
    """
    z, guides = noise("start"), []
    for i, t in enumerate(tqdm(settings.times, desc="context", unit="step")):
        now = predict(model, z, t, c, settings.w)
        guides.append(limit(model.decode(now.z0), settings))
        z = ddim_step(model, now, t, settings, noise(f"step {i}") if settings.noise else None)
    return guides, z


@torch.inference_mode()
def sample_details(
    model: ZoomLDM,
    guides: Sequence[Tensor],
    c: Tensor,
    layout: Layout,
    settings: JointSettings,
    operator: OperatorName,
    noise: Noise,
    batch: int = 1,
    kept: Kept | None = None,
) -> Tensor:
    """Latents (1, 3, H, W) of all patches of a layout, sampled below their guides and put together.

    guides: (1, 3, H', W') in [-1, 1], one per step or a single one for all; c: (n, 65, C), of the n patches. Raises
    ImageError where a guide does not divide into patches.
    """
    side = guides[0].shape[2] // layout.rows
    factor, rest = divmod(model.config.image_px, side)
    if rest or factor < 2 or guides[0].shape[3] // layout.cols != side:
        raise ImageError(f"a guide of {tuple(guides[0].shape[2:])} px does not divide into {layout} patches")
    a, steps = make_operator(operator, factor), len(settings.times)
    cut = [to_patches(guide, side) for guide in guides]

    def work(part: list[int], bar: tqdm[NoReturn]) -> Tensor:
        z, own = noise("start", part), c[part]
        for i, t in enumerate(settings.times):
            bar.set_postfix_str(f"step {i + 1} of {steps}, {len(part)} at once")
            y = cut[i if len(cut) > 1 else 0][part]
            now = correct(model, predict(model, z, t, own, settings.w), t, own, y, a, settings)
            z = ddim_step(model, now, t, settings, noise(f"step {i}", part) if settings.noise else None)
        return z

    return from_patches(torch.stack(_each_once("patch", layout.count, batch, work, model.device, kept)), layout.rows)


@torch.inference_mode()
def join_seams(
    model: ZoomLDM,
    z: Tensor,
    u: Tensor | None,
    settings: SeamSettings,
    noise: Noise,
    batch: int,
    kept: Kept | None = None,
) -> Tensor:
    """Latents (1, 3, H, W) of 20x after the seam pass; u: embeddings (C, rows, cols) of the patches, None for none."""
    side = model.latent_side
    rows, cols = z.shape[2] // side, z.shape[3] // side
    if u is None:
        c = model.unconditional(len(places(z.shape[2], z.shape[3], side, settings.step)))
    else:
        c = window_conditions(model, u, z.shape[2], z.shape[3], settings.step, max(batch, 1))

    def whole(i: int) -> Tensor:
        return from_patches(noise(f"seam {i}", range(rows * cols)), rows)

    return seam_pass(model, z, c, settings, whole, batch, kept)


def infer_embeddings(
    model: ZoomLDM,
    image: Tensor,
    magnification: int,
    settings: InversionSettings,
    seed: int,
    batch: int = 1,
    kept: Kept | None = None,
) -> Tensor:
    """Embeddings (C, rows, cols) of an image (1, 3, H, W) in [-1, 1], H and W multiples of the training image's side.

    Each training-sized part is inverted on its own; one embedding per patch of 20x, or per pooled group of them.
    """
    side, k = model.config.image_px, grid_side(magnification)
    layout = Layout(magnification, image.shape[2] // side, image.shape[3] // side)
    noise, width = layout.noise(model, seed), model.config.summarizer.input_channels
    cut = to_patches(image, side)

    def start(number: int) -> Tensor:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
        return torch.randn(width, k, k, generator=generator)

    def work(part: list[int], bar: tqdm[NoReturn]) -> Tensor:
        with torch.no_grad():
            z = model.encode(cut[part])
        u = torch.stack([start(number) for number in part]).to(z)
        for i, step in enumerate(invert(model, z, magnification, u, lambda i: noise(f"invert {i}", part), settings)):
            u = step.u
            bar.set_postfix_str(
                f"step {i + 1} of {settings.steps}, denoising {float(step.denoising.mean()):.4f}, "
                f"similarity {float(step.similarity.mean()):.2f}"
            )
        return normalised(u)

    parts = _each_once("inverted", layout.count, batch, work, model.device, kept)
    lines = [torch.cat(parts[i : i + layout.cols], 2) for i in range(0, len(parts), layout.cols)]
    return torch.cat(lines, 1)


def _each_once(
    name: str,
    count: int,
    batch: int,
    work: Callable[[list[int], tqdm[NoReturn]], Tensor],
    device: torch.device,
    kept: Kept | None,
) -> list[Tensor]:
    """Parts 0 .. count - 1: as they were kept, or rows of `work(numbers, progress bar)`, kept as they are finished."""
    done = {n: kept.get(f"{name}-{n}", device) for n in range(count) if kept and kept.has(f"{name}-{n}")}
    with tqdm(total=count, initial=len(done), desc=name, unit="part") as bar:
        for part, rows in in_batches([n for n in range(count) if n not in done], batch, lambda part: work(part, bar)):
            for n, row in zip(part, rows, strict=True):
                done[n] = row
                if kept:
                    kept.put(f"{name}-{n}", row)
            bar.update(len(part))
    return [done[n] for n in range(count)]

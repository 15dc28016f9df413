"""Large images as the authors make them: patches side by side below one guide, then the seam pass.

Super-resolution is Algorithm S1: the guide is a given image. Joint sampling is Algorithm S2: the guide of each step is
the context's own clean prediction. Since the context never reads its details, its path is run first and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from everslide.model.errors import ImageError
from everslide.model.geometry import WindowGrid, WindowIndex
from everslide.model.zoomldm.inversion import InversionSettings, grid_side, invert, normalised
from everslide.model.zoomldm.joint import JointSettings, advance, correct, limit, predict
from everslide.model.zoomldm.latents import window_noise
from everslide.model.zoomldm.resize import OperatorName, make_operator
from everslide.model.zoomldm.seams import SeamSettings, from_patches, seam_pass, to_patches, window_conditions
from everslide.model.zoomldm.zoomldm import ZoomLDM

Noise = Callable[[str, Sequence[int]], Tensor]
"""Standard normals (n, 3, h, w) of a stream for the patches of the given numbers."""


@dataclass(frozen=True)
class Layout:
    """rows x cols patches of scale s, each as large as the training images; numbered row by row."""

    s: int
    rows: int
    cols: int

    def window(self, model: ZoomLDM, number: int) -> WindowIndex:
        side = model.config.image_px
        return WindowIndex(self.s, number % self.cols, number // self.cols, WindowGrid(side, side))

    def noise(self, model: ZoomLDM, seed: int) -> Noise:
        """Keyed by place."""
        return lambda stream, part: window_noise(model, seed, f"large {stream}", [self.window(model, n) for n in part])


@torch.inference_mode()
def context_guides(
    model: ZoomLDM, c: Tensor, settings: JointSettings, noise: Callable[[str], Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Joint sampling's guides (1, 3, H, W), one per step, and the context's last latents. c: (1, 65, C)."""
    z, guides = noise("start"), []
    for i, t in enumerate(settings.times):
        now = predict(model, z, t, c, settings.w)
        guides.append(limit(model.decode(now.z0), settings))
        z = advance(model, now, t, settings, noise(f"step {i}") if settings.noise else None)
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
) -> Tensor:
    """Latents (1, 3, H, W) of all patches. guides: (1, 3, H', W') per step, or a single one for all; c: (n, 65, C)."""
    side = guides[0].shape[2] // layout.rows
    factor, rest = divmod(model.config.image_px, side)
    if rest or factor < 2 or guides[0].shape[3] // layout.cols != side:
        raise ImageError(f"a guide of {tuple(guides[0].shape[2:])} px does not divide into {layout} patches")
    a, steps = make_operator(operator, factor), len(settings.times)
    cut = [to_patches(guide, side) for guide in guides]
    done = []
    with tqdm(total=layout.rows * layout.cols * steps, desc="patches", unit="step") as bar:
        for start in range(0, layout.rows * layout.cols, batch):
            part = range(start, min(start + batch, layout.rows * layout.cols))
            z, own = noise("start", part), c[start : start + batch]
            for i, t in enumerate(settings.times):
                y = cut[i if len(cut) > 1 else 0][start : start + batch]
                now = correct(model, predict(model, z, t, own, settings.w), t, own, y, a, settings)
                z = advance(model, now, t, settings, noise(f"step {i}", part) if settings.noise else None)
                bar.update(len(part))
            done.append(z)
    return from_patches(torch.cat(done), layout.rows)


@torch.inference_mode()
def join_seams(model: ZoomLDM, z: Tensor, u: Tensor | None, settings: SeamSettings, noise: Noise, batch: int) -> Tensor:
    """The seam pass over latents (1, 3, H, W); u: embeddings (C, rows, cols) of the patches, None for none."""
    side = model.latent_side
    rows, cols = z.shape[2] // side, z.shape[3] // side
    if u is None:
        down, across = (len(range(0, length - side + 1, settings.step)) for length in z.shape[2:])
        c = model.unconditional(down * across)
    else:
        c = window_conditions(model, u.to(z), z.shape[2], z.shape[3], settings.step)

    def whole(i: int) -> Tensor:
        return from_patches(noise(f"seam {i}", range(rows * cols)), rows)

    return seam_pass(model, z, c, settings, whole, batch)


def infer_embeddings(
    model: ZoomLDM, image: Tensor, magnification: int, settings: InversionSettings, seed: int
) -> Tensor:
    """Embeddings (C, rows, cols) of an image (1, 3, H, W) in [-1, 1], H and W multiples of the training image's side.

    Each training-sized part is inverted on its own; one embedding per patch of 20x, or per pooled group of them.
    """
    side, k = model.config.image_px, grid_side(magnification)
    layout = Layout(magnification, image.shape[2] // side, image.shape[3] // side)
    noise, width = layout.noise(model, seed), model.config.summarizer.input_channels
    parts = []
    with tqdm(total=layout.rows * layout.cols * settings.steps, desc="inversion", unit="step") as bar:
        for number, part in enumerate(to_patches(image, side)):
            with torch.no_grad():
                z = model.encode(part[None])
            generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
            u = torch.randn(width, k, k, generator=generator).to(z)
            for step in invert(model, z, magnification, u, lambda i, n=number: noise(f"invert {i}", [n]), settings):  # type: ignore[misc]
                u = step.u
                bar.set_postfix(denoising=f"{step.denoising:.4f}", similarity=f"{step.similarity:.2f}")
                bar.update()
            parts.append(normalised(u))
    lines = [torch.cat(parts[i : i + layout.cols], 2) for i in range(0, len(parts), layout.cols)]
    return torch.cat(lines, 1)

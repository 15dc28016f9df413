"""The seam pass over a large latent image, and its decoding: where separately sampled patches meet.

The joint sampler never lets patches see each other. The authors noise the whole to t = 300 and denoise it over windows
that overlap, averaging the clean predictions; conditions between the patches are spherical interpolations of the
embeddings of the four nearest ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from everslide.model.zoomldm.compute import in_batches
from everslide.model.zoomldm.joint import JointSettings, ddim_step, noised, predict, with_clean
from everslide.model.zoomldm.kept import Kept
from everslide.model.zoomldm.zoomldm import ZoomLDM

KERNEL_SIGMA = 0.8
"""Width of the Gaussian that blends decoded windows, in half windows."""
_PARALLEL = 0.9995


class Bar(Protocol):
    """A progress bar."""

    def update(self, n: float | None = 1) -> bool | None: ...


@dataclass(frozen=True)
class SeamSettings:
    """start, stride: times start, start - stride, ... > 0; w: guidance, 0 for none; step: between windows, in
    latents."""

    start: int = 300
    stride: int = 50
    w: float = 2.0
    step: int = 16

    @property
    def times(self) -> range:
        """Time of each step, falling."""
        return range(self.start, 0, -self.stride)


def slerp(t: float, a: Tensor, b: Tensor) -> Tensor:
    """Spherical interpolation between vectors (C,) (Shoemake, 1985), straight where they are nearly parallel."""
    cosine = float((a * b).sum() / (a.norm() * b.norm()))
    if abs(cosine) > _PARALLEL:
        return (1 - t) * a + t * b
    angle = torch.arccos(torch.tensor(cosine, dtype=a.dtype))
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def embedding_between(grid: Tensor, row: float, col: float) -> Tensor:
    """The embedding (C, 1, 1) at fractional indices row, col of a grid (C, rows, cols) of patches, interpolated
    spherically and normalised over its channels."""
    i, j = int(row), int(col)
    below, right = min(i + 1, grid.shape[1] - 1), min(j + 1, grid.shape[2] - 1)
    upper = slerp(col - j, grid[:, i, j], grid[:, i, right])
    lower = slerp(col - j, grid[:, below, j], grid[:, below, right])
    between = slerp(row - i, upper, lower)
    return ((between - between.mean()) / between.std())[:, None, None]


def window_conditions(model: ZoomLDM, grid: Tensor, rows: int, cols: int, step: int, batch: int = 1) -> Tensor:
    """Conditions c (windows, 65, C') of all windows of a 20x latent image of rows x cols latents, row by row.

    grid: embeddings (C, rows, cols) of its patches. step: see `SeamSettings`.
    """
    side, near = model.latent_side, grid.to("cpu", model.dtype)
    between = [embedding_between(near, i / side, j / side) for i, j in places(rows, cols, side, step)]

    def work(part: list[int]) -> Tensor:
        u = torch.stack([between[n] for n in part]).to(model.device)
        return model.summarise(u, torch.zeros(len(part), dtype=torch.long, device=model.device))

    return torch.cat([c for _, c in in_batches(range(len(between)), batch, work)])


def seam_pass(
    model: ZoomLDM,
    z: Tensor,
    c: Tensor,
    settings: SeamSettings,
    noise: Callable[[int], Tensor],
    batch: int = 1,
    kept: Kept | None = None,
) -> Tensor:
    """Latents (1, 3, H, W) -> latents without seams. c: `window_conditions`; noise(i): (1, 3, H, W) of step i, the
    first one, -1, noises the image. kept: where the latents after each step are kept."""
    step = JointSettings(settings.start, settings.stride, deduct_noise=True)
    x = noised(model, z, settings.start, noise(-1))
    corners = places(x.shape[2], x.shape[3], model.latent_side, settings.step)
    finished = [i for i in range(len(settings.times)) if kept and kept.has(f"seams-{i}")]
    with tqdm(total=len(corners) * len(settings.times), desc="seams", unit="window") as bar:
        for index, t in enumerate(settings.times):
            if kept and finished and index <= finished[-1]:
                x = kept.get(f"seams-{index}", model.device) if index == finished[-1] else x
                bar.update(len(corners))
                continue
            clean = _clean_of_windows(model, x, t, c, settings.w, corners, batch, bar)
            x = ddim_step(model, with_clean(model, x, t, clean), t, step, noise(index))
            if kept:
                kept.put(f"seams-{index}", x)
    return x


def _clean_of_windows(
    model: ZoomLDM, x: Tensor, t: int, c: Tensor, w: float, corners: list[tuple[int, int]], batch: int, bar: Bar
) -> Tensor:
    """Mean of the windows' clean predictions at each place of x (1, 3, H, W)."""
    total, count, side = torch.zeros_like(x), torch.zeros_like(x), model.latent_side

    def work(part: list[int]) -> Tensor:
        windows = torch.cat([x[:, :, i : i + side, j : j + side] for i, j in (corners[n] for n in part)])
        return predict(model, windows, t, c[part], w).z0

    for part, clean in in_batches(range(len(corners)), batch, work):
        for n, z0 in zip(part, clean, strict=True):
            i, j = corners[n]
            total[0, :, i : i + side, j : j + side] += z0
            count[0, :, i : i + side, j : j + side] += 1
        bar.update(len(part))
    return total / count


def decode_large(model: ZoomLDM, z: Tensor, step: int = 16, batch: int = 1) -> Tensor:
    """Latents (1, 3, H, W) -> image (3, 4 H, 4 W) in [0, 1], decoded in windows that a Gaussian blends."""
    side, f = model.latent_side, model.factor
    kernel = blending_kernel(side * f).to(z.device, z.dtype)
    shape = (z.shape[2] * f, z.shape[3] * f)
    image, weight = z.new_zeros(3, *shape), z.new_zeros(shape)
    corners = places(z.shape[2], z.shape[3], side, step)

    def work(part: list[int]) -> Tensor:
        return model.decode(torch.cat([z[:, :, i : i + side, j : j + side] for i, j in (corners[n] for n in part)]))

    with tqdm(total=len(corners), desc="decoding", unit="window") as bar:
        for part, decoded in in_batches(range(len(corners)), batch, work):
            for n, window in zip(part, decoded, strict=True):
                i, j = corners[n]
                here = (slice(i * f, (i + side) * f), slice(j * f, (j + side) * f))
                image[:, *here] += window * kernel
                weight[here] += kernel
            bar.update(len(part))
    return ((image / weight + 1) / 2).clamp(0, 1)


def blending_kernel(size: int, sigma: float = KERNEL_SIGMA) -> Tensor:
    """exp(-r^2 / sigma^2) over a square of `size` px whose half side is r = 1, largest value one."""
    x = torch.linspace(-1, 1, size)
    kernel = torch.exp(-(torch.hypot(x[:, None], x[None, :]) ** 2) / sigma**2)
    return kernel / kernel.max()


def places(rows: int, cols: int, side: int, step: int) -> list[tuple[int, int]]:
    """Top-left corners (row, column) of windows of `side` latents, `step` apart, row by row."""
    return [(i, j) for i in range(0, rows - side + 1, step) for j in range(0, cols - side + 1, step)]


def to_patches(z: Tensor, side: int) -> Tensor:
    """(1, C, H, W) -> (n, C, side, side), row by row."""
    return F.unfold(z, side, stride=side)[0].T.reshape(-1, z.shape[1], side, side)


def from_patches(patches: Tensor, rows: int) -> Tensor:
    """The inverse of `to_patches`, for `rows` rows of patches."""
    lines = [torch.cat(list(line), -1) for line in patches.chunk(rows)]
    return torch.cat(lines, -2)[None]

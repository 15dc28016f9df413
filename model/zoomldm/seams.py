"""The seam pass over a large latent image, and its decoding: where separately sampled patches meet.

The joint sampler never lets patches see each other. The authors noise the whole to t = 300 and denoise it over windows
that overlap, averaging the clean predictions; conditions between the patches are spherical interpolations of the
embeddings of the four nearest ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.zoomldm.joint import JointSettings, advance, noised, predict, with_clean
from everslide.model.zoomldm.zoomldm import ZoomLDM

KERNEL_SIGMA = 0.8
"""Width of the Gaussian that blends decoded windows, in half windows."""
_PARALLEL = 0.9995


@dataclass(frozen=True)
class SeamSettings:
    """start, stride: times of the pass; w: guidance; step: distance of windows in latents."""

    start: int = 300
    stride: int = 50
    w: float = 2.0
    step: int = 16

    @property
    def times(self) -> range:
        return range(self.start, 0, -self.stride)


def slerp(t: float, a: Tensor, b: Tensor) -> Tensor:
    """Spherical interpolation between vectors (C,) (Shoemake, 1985), straight where they are nearly parallel."""
    cosine = float((a * b).sum() / (a.norm() * b.norm()))
    if abs(cosine) > _PARALLEL:
        return (1 - t) * a + t * b
    angle = torch.arccos(torch.tensor(cosine, dtype=a.dtype))
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def embedding_between(grid: Tensor, row: float, col: float) -> Tensor:
    """The embedding (C, 1, 1) at a place between the patches of a grid (C, k, k), normalised over its channels."""
    i, j = int(row), int(col)
    below, right = min(i + 1, grid.shape[1] - 1), min(j + 1, grid.shape[2] - 1)
    upper = slerp(col - j, grid[:, i, j], grid[:, i, right])
    lower = slerp(col - j, grid[:, below, j], grid[:, below, right])
    between = slerp(row - i, upper, lower)
    return ((between - between.mean()) / between.std())[:, None, None]


def window_conditions(model: ZoomLDM, grid: Tensor, rows: int, cols: int, step: int) -> Tensor:
    """Conditions of all windows of a latent image (rows, cols), at 20x: (windows, 65, C), row by row."""
    side = model.latent_side
    places = list(_places(rows, cols, side, step))
    between = torch.stack([embedding_between(grid, i / side, j / side) for i, j in places])
    return torch.cat([model.summarizer(u[None], torch.zeros(1, dtype=torch.long, device=u.device)) for u in between])


def seam_pass(
    model: ZoomLDM,
    z: Tensor,
    c: Tensor,
    settings: SeamSettings,
    noise: Callable[[int], Tensor],
    batch: int = 1,
) -> Tensor:
    """Latents (1, 3, H, W) -> latents without seams. c: `window_conditions`; noise(i): (1, 3, H, W) of step i, the
    first one, -1, noises the image."""
    step = JointSettings(settings.start, settings.stride, deduct_noise=True)
    x = noised(model, z, settings.start, noise(-1))
    side = model.latent_side
    places = list(_places(x.shape[2], x.shape[3], side, settings.step))
    for index, t in enumerate(settings.times):
        total, count = torch.zeros_like(x), torch.zeros_like(x)
        for start in range(0, len(places), batch):
            group = places[start : start + batch]
            windows = torch.cat([x[:, :, i : i + side, j : j + side] for i, j in group])
            clean = predict(model, windows, t, c[start : start + batch], settings.w).z0
            for (i, j), z0 in zip(group, clean, strict=True):
                total[0, :, i : i + side, j : j + side] += z0
                count[0, :, i : i + side, j : j + side] += 1
        x = advance(model, with_clean(model, x, t, total / count), t, step, noise(index))
    return x


def decode_large(model: ZoomLDM, z: Tensor, step: int = 16) -> Tensor:
    """Latents (1, 3, H, W) -> image (3, 4 H, 4 W) in [0, 1], decoded in windows that a Gaussian blends."""
    side, f = model.latent_side, model.factor
    kernel = blending_kernel(side * f).to(z.device, z.dtype)
    shape = (z.shape[2] * f, z.shape[3] * f)
    image, weight = z.new_zeros(3, *shape), z.new_zeros(shape)
    for i, j in _places(z.shape[2], z.shape[3], side, step):
        decoded = model.decode(z[:, :, i : i + side, j : j + side])[0]
        part = (slice(i * f, (i + side) * f), slice(j * f, (j + side) * f))
        image[:, *part] += decoded * kernel
        weight[part] += kernel
    return ((image / weight + 1) / 2).clamp(0, 1)


def blending_kernel(size: int, sigma: float = KERNEL_SIGMA) -> Tensor:
    """exp(-r^2 / sigma^2) over a square of `size` px whose half side is r = 1, largest value one."""
    x = torch.linspace(-1, 1, size)
    kernel = torch.exp(-(torch.hypot(x[:, None], x[None, :]) ** 2) / sigma**2)
    return kernel / kernel.max()


def _places(rows: int, cols: int, side: int, step: int) -> Iterator[tuple[int, int]]:
    """Top-left corners of the windows, row by row."""
    for i in range(0, rows - side + 1, step):
        for j in range(0, cols - side + 1, step):
            yield i, j


def to_patches(z: Tensor, side: int) -> Tensor:
    """(1, C, H, W) -> (n, C, side, side), row by row."""
    return F.unfold(z, side, stride=side)[0].T.reshape(-1, z.shape[1], side, side)


def from_patches(patches: Tensor, rows: int) -> Tensor:
    """The inverse of `to_patches`, for `rows` rows of patches."""
    lines = [torch.cat(list(line), -1) for line in patches.chunk(rows)]
    return torch.cat(lines, -2)[None]

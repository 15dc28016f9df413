"""Image inversion: the embeddings u that make the frozen denoiser predict the noise put on an image (supplement, S3.3).

Adam follows  w(t) |eps(z_t, t, Summarizer(u, m)) - eps|^2 - 0.05 mean cosine(u_i, u_j)  while t falls from 950 to 50,
with w(t) = sqrt(alpha_bar) (1 - alpha_bar). What is found describes the image: sampled from, it gives variations of it;
split into single embeddings, it conditions its super-resolution. Images of a batch do not see each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from everslide.model.zoomldm.zoomldm import ZoomLDM


@dataclass(frozen=True)
class InversionSettings:
    """steps: n. first, last: times t, 1 .. 1000. rate: of Adam. similarity: weight of the penalty for dissimilar
    embeddings."""

    steps: int = 200
    first: int = 950
    last: int = 50
    rate: float = 0.1
    similarity: float = 0.05

    @property
    def times(self) -> list[int]:
        """Time of each step, evenly spaced from `first` to `last`."""
        return [int(t) for t in np.linspace(self.first, self.last, self.steps)]


@dataclass(frozen=True)
class InversionStep:
    """After a step: the embeddings u (B, C, k, k), and the three losses (B,) of each image before it."""

    u: Tensor
    denoising: Tensor
    similarity: Tensor
    total: Tensor


def normalised(u: Tensor) -> Tensor:
    """u (B, C, k, k) with mean zero and unbiased standard deviation one over the channels of each place."""
    return (u - u.mean(1, keepdim=True)) / u.std(1, keepdim=True)


def invert(
    model: ZoomLDM,
    z: Tensor,
    magnification: int,
    u: Tensor,
    noise: Callable[[int], Tensor],
    settings: InversionSettings,
) -> Iterator[InversionStep]:
    """Optimise u (B, C, k, k), the first guess, for encoded images z (B, 3, h, w); yields the state after each step.

    magnification: scale of the images, 0 for 20x. noise(i): standard normals of step i, shaped as z.
    """
    u = u.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([u], lr=settings.rate)
    for i, t in enumerate(settings.times):
        with torch.enable_grad():
            denoising, similarity = losses(model, z, magnification, u, t, noise(i))
            total = denoising - settings.similarity * similarity
            optimiser.zero_grad()
            total.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        yield InversionStep(u.detach().clone(), denoising.detach(), similarity.detach(), total.detach())


def losses(model: ZoomLDM, z: Tensor, magnification: int, u: Tensor, t: int, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Of each image: weighted denoising loss at time t under noise eps, and mean cosine of all pairs of its embeddings;
    (B,) each."""
    alpha_bar = model.schedule.alpha_bar[t - 1]
    z_t = torch.sqrt(alpha_bar) * z + torch.sqrt(1 - alpha_bar) * eps
    c = model.summarise(normalised(u), torch.full((len(u),), magnification, device=z.device))
    denoising = (torch.sqrt(alpha_bar) * (1 - alpha_bar) * (model.eps(z_t, t, c) - eps) ** 2).mean((1, 2, 3))
    unit = (u / u.norm(dim=1, keepdim=True)).flatten(2)  # (B, C, k k)
    return denoising, (unit.transpose(1, 2) @ unit).mean((1, 2))

"""A distance between the distributions of patches of painted and of real detail.

Patches are compared through random filters: for each, the sorted answers of the painted field are held against the
sorted answers of a real one (the sliced Wasserstein distance; Heitz et al., "A sliced Wasserstein loss for neural
texture synthesis", 2021, Eq. 4; filters drawn anew each time as in Elnekave and Weiss, "Generating natural images with
direct patch distribution matching", 2022, Alg. 1). It puts contrast, colours and specks right in a few hundred
steps; what hangs together over more than a patch is beyond it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

FILTERS = 24
"""Random filters for each pooling."""
POOLINGS = (1, 2, 4)
"""Bands are also compared after averaging over squares of this side."""
SAMPLES = 768
"""Places compared of each field, the same in every filter."""
BORDER_PX = 4
"""Outer part of a field that is not compared: it lacks neighbours."""


def patch_distance(painted: Tensor, real: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Mean distance between the patches of two fields, example by example.

    painted, real: (B, C, H, W), channels of about unit deviation. Returns a scalar.
    """
    assert painted.shape == real.shape
    inner = slice(BORDER_PX, -BORDER_PX)
    both = torch.cat([painted, real])[:, :, inner, inner]
    total = painted.new_zeros((), dtype=torch.float32)
    for pooling in POOLINGS:
        pooled = F.avg_pool2d(both, pooling) * pooling if pooling > 1 else both
        side = int(torch.randint(1, 3, (), generator=generator)) * 2 - 1 if pooling > 1 else 3
        filters = torch.randn((FILTERS, both.shape[1], side, side), generator=generator).to(both.device)
        filters = filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
        answers = F.conv2d(pooled, filters.to(pooled.dtype)).flatten(2).float()  # (2B, FILTERS, places)
        if answers.shape[2] > SAMPLES:
            chosen = torch.randperm(answers.shape[2], generator=generator)[:SAMPLES].to(answers.device)
            answers = answers[:, :, chosen]
        of_painted, of_real = answers.sort(dim=2).values.chunk(2)
        total = total + (of_painted - of_real).abs().mean()
    return total / len(POOLINGS)


def with_relief(bands: Tensor, parent: Tensor) -> Tensor:
    """Detail (B, 9, H, W) and what its parent (B, 3, H, W) in [-1, 1] shows beside its neighbourhood, (B, 12, H, W)."""
    relief = parent - F.avg_pool2d(parent, 5, 1, 2, count_include_pad=False)
    return torch.cat([bands, 6 * relief], 1)

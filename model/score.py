"""A proper scoring rule for painted detail: the energy score of patches at several scales.

For two samples x, x' of the painter and the truth y, with patches compared by their Euclidean distance,

    score = (|x - y| + |x' - y|) / 2 - |x - x'| / 2,

whose expectation is least when the samples have the distribution of the truth (Gneiting and Raftery, "Strictly proper
scoring rules, prediction, and estimation", 2007, Eq. 22). Trained with it a network paints a *sample* in one step where
the squared error would make it paint the mean (De Bortoli et al., "Distributional diffusion models with scoring
rules", 2025).
"""

from __future__ import annotations

from torch import Tensor, tensor
from torch.nn import functional as F

COLOUR_WEIGHTS = (1.0, 0.6, 0.6)
"""Weight of brightness and of the two colour differences in every distance."""
POOLINGS = (1, 2, 4)
"""Bands are also compared after averaging over squares of this side: detail must hang together, not only be strong."""
PATCHES = (1, 3, 8)
"""Sides of the compared patches, in pixels of the pooled bands."""


def energy_score(first: Tensor, second: Tensor, truth: Tensor) -> Tensor:
    """Mean energy score of two painted samples against the truth, all (B, 9, H, W); a scalar."""
    pairs = ((first - truth, 0.5), (second - truth, 0.5), (first - second, -0.5))
    weights = tensor(COLOUR_WEIGHTS * 3, device=truth.device)[None, :, None, None]
    total = truth.new_zeros(())
    for difference, sign in pairs:
        weighted = difference * weights
        for pooling in POOLINGS:
            pooled = F.avg_pool2d(weighted, pooling) * pooling if pooling > 1 else weighted
            square = pooled.square().sum(1, keepdim=True)  # (B, 1, H / p, W / p)
            for patch in PATCHES:
                mean = F.avg_pool2d(square, patch, max(1, patch // 2)) if patch > 1 else square
                total = total + sign * (mean + 1e-4).sqrt().mean()
    return total / (len(POOLINGS) * len(PATCHES))

"""What the network is trained for: the energy score of features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TINY = 1e-4
PLACES = 64


def energy_score(first: Sequence[Tensor], second: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """The energy score of two independent samples against what is real, by maps of features (B, C, h, w): (B,).

    1/2 (|f(x) - f(y)| + |f(x') - f(y)|) - 1/2 |f(x) - f(x')|: least on average where x has the distribution of y given
    the parent (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007, Eq. 22). The
    first term alone makes means, hence blur; the second pays for variety. All maps count alike.
    """
    parts = [
        0.5 * (distance(x, y) + distance(x2, y)) - 0.5 * distance(x, x2)
        for x, x2, y in zip(first, second, real, strict=True)
    ]
    return torch.stack(parts).mean(0)


def energy_distance(painted: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """How far a set of painted pictures is from a set of real ones, by maps of features (N, C, h, w): a scalar.

    E|x - y| - 1/2 E|x - x'| over all pairs of places, PLACES drawn from each map where it has more: the energy distance
    but for what does not depend on the painted ones (Szekely and Rizzo, "Energy statistics", 2013). Which place of a
    picture is which does not count.
    """
    parts = []
    for x, y in zip(painted, real, strict=True):
        x, y = _drawn(x.float()), _drawn(y.float())
        count = len(x)
        parts.append(_pairs(x, y).mean() - 0.5 * _pairs(x, x).sum() / (count * (count - 1)))
    return torch.stack(parts).mean()


def _drawn(x: Tensor) -> Tensor:
    """Vectors of places (n, C), at most PLACES a picture, from a map (N, C, h, w)."""
    flat = x.flatten(2)
    if flat.shape[2] > PLACES:
        where = torch.rand((len(x), flat.shape[2]), device=x.device).argsort(1)[:, None, :PLACES]
        flat = flat.gather(2, where.expand(-1, flat.shape[1], -1))
    return flat.transpose(1, 2).flatten(0, 1)


def _pairs(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square over the channels of all differences, (N, C) and (M, C) -> (N, M); 0 for a place and itself."""
    squares = a.square().mean(1)[:, None] + b.square().mean(1)[None] - 2 * a @ b.T / a.shape[1]
    roots = (squares.clamp(min=0) + TINY).sqrt()
    return roots * ~torch.eye(len(a), dtype=torch.bool, device=a.device) if a is b else roots


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square over the channels at each place, mean over the places: (B, C, h, w) twice -> (B,).

    Not squared, since squares compare means only.
    """
    return ((a.float() - b.float()).square().mean(1) + TINY).sqrt().mean((1, 2))

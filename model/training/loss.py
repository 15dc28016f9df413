"""What the network is trained for: the energy score of features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TINY = 1e-4
PLACES = 64


def energy_score(
    first: Sequence[Tensor],
    second: Sequence[Tensor],
    real: Sequence[Tensor],
    shares: Sequence[float] | None = None,
    variety: float = 1.0,
) -> Tensor:
    """The energy score of two independent samples against what is real, by maps of features (B, C, h, w): (B,).

    1/2 (|f(x) - f(y)| + |f(x') - f(y)|) - 1/2 |f(x) - f(x')|: least on average where x has the distribution of y given
    the parent (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007, Eq. 22). The
    first term alone makes means, hence blur; the second pays for variety. shares: how much each map counts; by default
    all alike. variety: weight of the second term in maps of more than one place, 1 for the score itself. A network that
    falls short of it has samples nearer to each other than to what is real, and more than 1 makes up for that; a map
    of one place, the mean over a picture, says how pictures differ, which its noise cannot.
    """
    parts = [
        0.5 * (distance(x, y) + distance(x2, y)) - 0.5 * (variety if x.shape[-1] > 1 else 1.0) * distance(x, x2)
        for x, x2, y in zip(first, second, real, strict=True)
    ]
    return _weighed(parts, shares)


def energy_distance(painted: Sequence[Tensor], real: Sequence[Tensor], shares: Sequence[float] | None = None) -> Tensor:
    """How far a set of painted pictures is from a set of real ones, by maps of features (N, C, h, w): a scalar.

    E|x - y| - 1/2 E|x - x'| over all pairs of places, PLACES drawn from each map where it has more: the energy
    distance, up to what does not depend on the painted ones (Szekely and Rizzo, "Energy statistics", 2013). Which place
    of a picture is which does not count. |.| is that of `distance`: half of all channels together, half of each by
    itself.
    """
    parts = []
    for x, y in zip(painted, real, strict=True):
        x, y = _drawn(x.float()), _drawn(y.float())
        count = len(x)
        together = _pairs(x, y).mean() - 0.5 * _pairs(x, x).sum() / (count * (count - 1))
        parts.append(0.5 * (together + _apart(x, y)))
    return _weighed(parts, shares)


def _weighed(parts: Sequence[Tensor], shares: Sequence[float] | None) -> Tensor:
    """The mean of the parts, weighed by their shares."""
    stacked = torch.stack(list(parts))
    if shares is None:
        return stacked.mean(0)
    weights = torch.tensor(shares, device=stacked.device)
    mean: Tensor = torch.tensordot(weights / weights.sum(), stacked, 1)
    return mean


def _apart(x: Tensor, y: Tensor) -> Tensor:
    """The energy distance of each channel by itself, (N, C) and (M, C) -> their mean: the squared difference of the
    distribution functions, integrated; less what it has too much of, since it pairs each x with itself too.

    Equal values are sorted at random: painted ones that always came first would all be pushed one way.
    """
    count = len(x)
    rows = torch.randperm(count + len(y), device=x.device)
    both, painted = torch.cat([x, y])[rows], rows < count
    order = both.detach().argsort(0)
    steps = torch.where(painted[order], 1 / count, -1 / len(y)).cumsum(0)[:-1]
    rank = 2 * torch.arange(count, device=x.device) + 1 - count
    pairs = (rank[:, None] * x.sort(0).values).sum(0) / count**2  # 1/2 E|x - x'|
    return ((both.gather(0, order).diff(dim=0) * steps.square()).sum(0) - pairs / (count - 1)).mean()


def _drawn(x: Tensor) -> Tensor:
    """Vectors of places (n, C), at most PLACES a picture, from a map (N, C, h, w)."""
    flat = x.flatten(2)
    if flat.shape[2] > PLACES:
        where = torch.rand((len(x), flat.shape[2]), device=x.device).argsort(1)[:, None, :PLACES]
        flat = flat.gather(2, where.expand(-1, flat.shape[1], -1))
    return flat.transpose(1, 2).flatten(0, 1)


def _pairs(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square over the channels of all differences, (N, C) and (M, C) -> (N, M); 0 for a place and itself.

    In float32, whatever else is computed in: it is a small difference of large numbers.
    """
    with torch.autocast(a.device.type, enabled=False):
        squares = a.square().mean(1)[:, None] + b.square().mean(1)[None] - 2 * a @ b.T / a.shape[1]
    roots = (squares.clamp(min=0) + TINY).sqrt()
    return roots * ~torch.eye(len(a), dtype=torch.bool, device=a.device) if a is b else roots


def distance(a: Tensor, b: Tensor) -> Tensor:
    """How far two maps are apart at each place, mean over the places: (B, C, h, w) twice -> (B,).

    Half the root mean square over the channels, which knows how they go together, and half their mean absolute
    difference, each channel by itself: the mean of their continuous ranked probability scores. Among many channels the
    former alone sees little but the sum of their variances: strong brightness would pay for faint colour. Not squared,
    since squares compare means only.
    """
    squares = (a.float() - b.float()).square()
    together, apart = (squares.mean(1) + TINY).sqrt(), (squares + TINY).sqrt().mean(1)
    return 0.5 * (together + apart).mean((1, 2))

"""Textures of painted and of real places: how far the ones are from the others among those of like colours.

What is painted upon painted parents has no real child to be held against. But its mean colour is its parent's, whatever
is painted; so the textures painted at one mean colour can be held against those that real places of it have, as two
sets. A step paints few places: what the steps before painted and saw is remembered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from everslide.model.training.loss import TINY

KEPT = 256
"""Painted places, and real ones, that are remembered of each scale."""
NEAR = 8
"""Places of about the same colour that one is held against."""
Texture = Sequence[Tensor]
Remembered = deque[tuple[Tensor, Texture]]


def textures(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps of features (B, C, h, w) -> (B, C) each, their means over the places."""
    return [x.float().mean((2, 3)) for x in maps]


class Textures:
    """Mean colours and textures of the last painted and real places of each scale."""

    def __init__(self) -> None:
        self._real: dict[int, Remembered] = {}
        self._painted: dict[int, Remembered] = {}

    def keep_real(self, s: int, colours: Tensor, found: Texture) -> None:
        """Remember real places: mean colours (N, 3) in grey levels, textures (N, C) each."""
        _keep(self._real, s, colours, found)

    def distance(self, s: int, colours: Tensor, painted: Texture) -> Tensor:
        """How far painted places are from real ones, a scalar; they are remembered. Needs real places of scale s.

        The energy distance E|x - y| - 1/2 E|x - x'| - 1/2 E|y - y'| (Szekely and Rizzo, "Energy statistics", 2013): x
        one of them, y and x' the NEAR real and painted places that are nearest in mean colour, |.| the root mean square
        over the channels of a map, mean over the maps. Of x' no gradient is known, so that of x counts twice. 0 where
        there are too few places to tell.
        """
        count = len(colours)
        _keep(self._painted, s, colours, [x.detach() for x in painted])
        away = _nearest(self._painted[s], colours, own=count)
        towards = _nearest(self._real[s], colours)
        if away is None or towards is None:
            return torch.stack([x.sum() for x in painted]).sum() * 0
        parts = [_distance(x, y, x2) for x, y, x2 in zip(painted, towards, away, strict=True)]
        return torch.stack(parts).mean()


def _keep(kept: dict[int, Remembered], s: int, colours: Tensor, found: Texture) -> None:
    places = kept.setdefault(s, deque(maxlen=KEPT))
    places.extend(zip(colours, zip(*found, strict=True), strict=True))


def _nearest(places: Remembered, colours: Tensor, own: int = 0) -> list[Tensor] | None:
    """Textures (N, NEAR, C) each, of the places nearest in colour to (N, 3); the last `own` of them are the N
    themselves, and not held against themselves. None where there are fewer than NEAR."""
    if len(places) - bool(own) < NEAR:
        return None
    known = torch.stack([colour for colour, _ in places])
    gaps = (colours[:, None] - known[None]).abs().sum(-1)
    if own:
        gaps[torch.arange(own), len(places) - own + torch.arange(own)] = torch.inf
    chosen = gaps.topk(NEAR, largest=False).indices
    return [torch.stack(x)[chosen] for x in zip(*(texture for _, texture in places), strict=True)]


def _distance(x: Tensor, real: Tensor, painted: Tensor) -> Tensor:
    """The energy distance of (N, C) from (N, NEAR, C) real ones, beside (N, NEAR, C) painted ones."""
    others = ~torch.eye(NEAR, dtype=torch.bool)
    away, spread = _gaps(x[:, None], painted).mean(), _gaps(real[:, :, None], real[:, None])[:, others].mean()
    return _gaps(x[:, None], real).mean() - away + 0.5 * (away - spread).detach()


def _gaps(x: Tensor, y: Tensor) -> Tensor:
    """Root mean square over the channels of all differences."""
    return ((x - y).square().mean(-1) + TINY).sqrt()

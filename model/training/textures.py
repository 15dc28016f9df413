"""Textures of painted and of real places: how far the ones are from the others among those of like colours.

What is painted upon painted parents has no real child to be held against. But its mean colour is its parent's, whatever
is painted; so the textures painted at one mean colour can be held against those that real places of it have, as two
sets. They are those of whole pictures and of small cells of them: a picture that is too coarse here and blurred there
has the right mean. A step paints few places: what the steps before painted and saw is remembered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.training.loss import TINY

KEPT = 256
"""Painted pictures, and real ones, that are remembered of each scale."""
NEAR = 8
"""Cells of about the same colour that one is held against."""
GRIDS = (1, 2, 4)
"""Cells a side."""
CELLS = 4
"""Most cells of a picture that are looked at in a step, drawn at random."""
Maps = Sequence[Tensor]
Cells = tuple[Tensor, list[Tensor]]
"""Mean colours (B, cells, 3) and, of each map of features, its means (B, cells, C)."""


class Textures:
    """Mean colours and textures of the cells of the last painted and real pictures of each scale."""

    def __init__(self) -> None:
        self._real: dict[tuple[int, int], deque[Cells]] = {}
        self._painted: dict[tuple[int, int], deque[Cells]] = {}

    def keep_real(self, s: int, pictures: Tensor, maps: Maps) -> None:
        """Remember real pictures (B, 3, H, W) of scale s by their features, maps (B, C, h, w)."""
        for grid in GRIDS:
            _keep(self._real.setdefault((s, grid), deque(maxlen=KEPT)), cells(pictures, maps, grid))

    def distance(self, s: int, pictures: Tensor, maps: Maps) -> Tensor:
        """How far painted pictures (B, 3, H, W) are from real ones by their features, a scalar; they are remembered.

        The energy distance E|x - y| - 1/2 E|x - x'| - 1/2 E|y - y'| (Szekely and Rizzo, "Energy statistics", 2013): x a
        cell of theirs, y and x' the NEAR cells of real and of other painted pictures that are nearest in mean colour,
        |.| the root mean square over the channels of a map; mean over maps and GRIDS. Of x' no gradient is known, so
        that of x counts twice. 0 where there are too few pictures to tell.
        """
        parts = []
        for grid in GRIDS:
            colours, found = cells(pictures, maps, grid)
            painted = self._painted.setdefault((s, grid), deque(maxlen=KEPT))
            _keep(painted, (colours.detach(), [x.detach() for x in found]))
            away = _nearest(painted, colours.detach(), own=True)
            towards = _nearest(self._real.get((s, grid), deque()), colours.detach())
            if away and towards:
                parts += [_distance(*one) for one in zip(found, towards, away, strict=True)]
        return torch.stack(parts).mean() if parts else sum((x.sum() for x in maps), torch.zeros(())) * 0


def cells(pictures: Tensor, maps: Maps, grid: int) -> Cells:
    """Pictures (B, 3, H, W) and maps of features (B, C, h, w), each over grid x grid cells, or CELLS of these."""
    chosen = torch.randperm(grid * grid)[:CELLS].to(pictures.device)
    colours, *found = (
        F.adaptive_avg_pool2d(x.float(), grid).flatten(2).transpose(1, 2)[:, chosen] for x in (pictures, *maps)
    )
    return colours, found


def _keep(kept: deque[Cells], some: Cells) -> None:
    colours, found = some
    kept.extend((colour, list(means)) for colour, means in zip(colours, zip(*found, strict=True), strict=True))


def _nearest(kept: deque[Cells], colours: Tensor, own: bool = False) -> list[Tensor] | None:
    """Textures (B, cells, NEAR, C) of the kept cells nearest in colour to (B, cells, 3). own: the B pictures are the
    last ones kept, and not held against themselves. None where there are too few."""
    count, per_picture, _ = colours.shape
    if (len(kept) - own) * per_picture < NEAR:
        return None
    known = torch.stack([colour for colour, _ in kept])
    gaps = (colours[:, :, None, None] - known).abs().sum(-1)  # (B, cells, kept, cells)
    if own:
        index = torch.arange(count)
        gaps[index, :, len(kept) - count + index] = torch.inf
    chosen = gaps.flatten(2).topk(NEAR, largest=False).indices
    return [torch.cat(x)[chosen] for x in zip(*(found for _, found in kept), strict=True)]


def _distance(x: Tensor, real: Tensor, painted: Tensor) -> Tensor:
    """The energy distance of (B, cells, C) from (B, cells, NEAR, C) real ones, beside painted ones."""
    away, spread = _gaps(x[:, :, None], painted).mean(), _gaps(real[:, :, 1:], real[:, :, :-1]).mean()
    return _gaps(x[:, :, None], real).mean() - away + 0.5 * (away - spread).detach()


def _gaps(x: Tensor, y: Tensor) -> Tensor:
    """Root mean square over the channels of all differences."""
    return ((x - y).square().mean(-1) + TINY).sqrt()

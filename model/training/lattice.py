"""A lattice: what of painted detail depends on its place between its parent's pixels or the strides of the network.

Real tissue knows nothing of the rows and columns that it is scanned in, so the means of its detail over every second,
fourth or eighth row and column are alike, and it is as strong between pixels of two parents as between pixels of one. A
network that folds and strides has other weights for each of them, and features, compared from another corner each time,
hardly see what that leaves.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.training.chain import details, rotated
from everslide.model.training.places import RIM_PX

PERIODS = (2, 4, 8)
"""In pixels of the parent: the network folds 2 and strides up to 4 of them more."""
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Rows and columns from which a picture is cut into quads; the first are those of its parent's pixels."""
LEAST_DEVIATION = 0.5
"""Grey levels; below this, detail is what is left of noise on glass."""


def phases(child: Tensor) -> list[Tensor]:
    """How detail, and its strength, differ from the mean on each phase of a period: maps (B, C, 1, 1).

    child: (B, 3, 2H, 2W), grey levels, on whose rim of RIM_PX nothing is looked at. Detail is that of brightness, red
    minus blue and magenta minus green: in red, green and blue, a lattice of colour would be next to nothing. Where
    there is no lattice, and pixels know nothing of each other, all values have a deviation of about 1.
    """
    rim = RIM_PX // 2
    bands = _detail(child)[:, :, rim:-rim, rim:-rim]
    strengths = bands.abs()
    out = [_corners(child)]
    for x in (bands, strengths):
        x, deviation = _centred(x)
        for period in PERIODS:
            high, wide = (side // period for side in x.shape[2:])
            whole = (x / deviation)[:, :, : high * period, : wide * period]
            means = F.pixel_unshuffle(whole, period).mean((2, 3), keepdim=True)
            out.append(means * (high * wide) ** 0.5)
    return out


def _corners(child: Tensor) -> Tensor:
    """How the strength of detail differs from the mean on each of the CORNERS: (B, 4 * 9, 1, 1)."""
    high, wide = (side - 2 * RIM_PX for side in child.shape[2:])
    cut = [child[:, :, RIM_PX + y : RIM_PX + y + high, RIM_PX + x : RIM_PX + x + wide] for y, x in CORNERS]
    strengths = [_detail(pixels).abs() for pixels in cut]
    deviation = torch.stack([_centred(x)[1].square() for x in strengths]).mean(0).sqrt()
    means = torch.stack([x.mean((2, 3), keepdim=True) for x in strengths], 1)
    apart = (means - means.mean(1, keepdim=True)) / deviation[:, None]
    found: Tensor = apart.flatten(1, 2) * (high * wide / 4 * len(CORNERS) / (len(CORNERS) - 1)) ** 0.5
    return found


def _detail(pixels: Tensor) -> Tensor:
    """Haar detail of decorrelated colours, (B, 9, H, W), of (B, 3, 2H, 2W), in float32 whatever else is computed in."""
    with torch.autocast(pixels.device.type, enabled=False):
        return rotated(details(pixels.float()))


def _centred(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (B, C, H, W) less their means, and the deviation of each, (B, C, 1, 1), without a gradient."""
    x = x - x.mean((2, 3), keepdim=True)
    return x, x.detach().square().mean((2, 3), keepdim=True).sqrt().clamp(min=LEAST_DEVIATION)

"""What of painted detail depends on where it lies between the strides of the network: a lattice.

Real tissue knows nothing of the rows and columns that it is scanned in, so the means of its detail over every second,
fourth or eighth row and column are alike. A network that folds and strides has other weights for each of them, and
features, compared from another corner each time, hardly see what that leaves.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from everslide.model.training.chain import details
from everslide.model.training.places import RIM_PX

PERIODS = (2, 4, 8)
"""In pixels of the parent: the network folds 2 and strides up to 4 of them more."""
LEAST_DEVIATION = 0.5
"""Grey levels; below this, detail is what is left of noise on glass."""


def phases(child: Tensor) -> list[Tensor]:
    """How detail, and its strength, differ from the mean on each phase of a period: maps (B, C, 1, 1).

    child: (B, 3, 2H, 2W), grey levels, on whose rim of RIM_PX nothing is looked at. Of detail without a lattice, whose
    pixels know nothing of each other, all values have a deviation of about 1.
    """
    rim = RIM_PX // 2
    bands = details(child.float()).flatten(1, 2)[:, :, rim:-rim, rim:-rim]
    strengths = bands.abs()
    out = []
    for x in (bands, strengths):
        x = x - x.mean((2, 3), keepdim=True)
        deviation = x.detach().square().mean((2, 3), keepdim=True).sqrt().clamp(min=LEAST_DEVIATION)
        for period in PERIODS:
            high, wide = (side // period for side in x.shape[2:])
            whole = (x / deviation)[:, :, : high * period, : wide * period]
            means = F.pixel_unshuffle(whole, period).mean((2, 3), keepdim=True)
            out.append(means * (high * wide) ** 0.5)
    return out

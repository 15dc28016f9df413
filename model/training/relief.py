"""Detail beside the contrast of its surroundings: what is strange on even glass, though it would be nothing in tissue.

Features are measured by their deviation in tissue, so a square of a few grey levels on glass weighs next to nothing in
them, and everybody sees it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.training.chain import details

SQUARE_PX = 3
LEAST_CONTRAST = 1.0
"""Grey levels: the rounding of pixels, and the noise of a scanner on glass."""


def relief(child: Tensor) -> Tensor:
    """Detail over the contrast of the parent there, (B, 9, H, W). child: (B, 3, 2H, 2W), grey levels.

    The contrast is that of the parent alone: weights that depend on what is painted would make a score improper.
    """
    bands = details(child.float()).flatten(1, 2)
    return bands / contrast(F.avg_pool2d(child.detach().float(), 2))


def contrast(parent: Tensor) -> Tensor:
    """How far each pixel of (B, 3, H, W) is from the calmest square of SQUARE_PX that holds it, (B, 1, H, W).

    The root mean square difference in grey levels, at least LEAST_CONTRAST: so glass is even up to the rim of tissue.
    """
    around = [F.avg_pool2d(x, SQUARE_PX, 1, SQUARE_PX // 2, count_include_pad=False) for x in (parent, parent.square())]
    high, wide = parent.shape[2:]
    means, squares = (F.pad(x, (1, 1, 1, 1), mode="replicate") for x in around)
    differences = [
        (squares - 2 * parent * means + parent.square()).mean(1, keepdim=True)
        for means, squares in (
            (means[:, :, y : y + high, x : x + wide], squares[:, :, y : y + high, x : x + wide])
            for y in range(SQUARE_PX)
            for x in range(SQUARE_PX)
        )
    ]
    return torch.stack(differences).amin(0).clamp(min=LEAST_CONTRAST**2).sqrt()

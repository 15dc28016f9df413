"""A sheet of validation places, drawn while a run trains: one looks while it trains."""

from __future__ import annotations

import numpy as np
from PIL import Image

from everslide.model.training.chain import Brush, paint_down
from everslide.model.training.places import Tissue

SIDE_PX = 512
"""Side of what is shown of each place."""
ROWS = ((0, 1), (0, 4), (0, 4), (1, 4), (2, 4), (3, 4), (4, 4))
"""Scale of the painted pictures, and octaves below their real parents."""


def draw_progress(brush: Brush, tissue: Tissue, conditions: int) -> Image.Image | None:
    """Rows of (real parent, painted, real), always of the same places; None where no image goes far enough.

    conditions: length of what the network is conditioned on; it is shown none.
    """
    rows = []
    for number, (s, octaves) in enumerate(ROWS):
        found = tissue.square(s, octaves, SIDE_PX, np.random.default_rng([5, number]))
        if found is None:
            continue
        parent, real = found
        painted = paint_down(brush, parent, s + octaves, octaves, number, conditions)[-1]
        enlarged = parent.repeat(2**octaves, axis=0).repeat(2**octaves, axis=1)
        rows.append(np.concatenate([enlarged, painted, real], 1))
    return Image.fromarray(np.concatenate(rows)) if rows else None

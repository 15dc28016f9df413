"""`speckle`, a model without weights that paints random grain. For tests, and for trying the service quickly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from everslide.model.geometry import WindowIndex
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.window_model import WindowModel, common_facts


class SpeckleModel(WindowModel):
    """Detail is keyed noise, in proportion to the parent's distance from white: grain on tissue, almost none on glass.

    It is deterministic, seamless and independent of the batch, as every `WindowModel` must be.
    """

    name = "speckle"
    fingerprint = hashlib.sha256(repr(("speckle 1", *common_facts())).encode()).hexdigest()

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch

    def bands(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """See `WindowModel.bands`. Standard normals times a tenth of (255 - parent)."""
        noise = np.stack([keyed.normals(context.seed, "detail", w.s, w.parent_rect, 9) for w in windows])
        count, _, height, width = noise.shape
        bands = noise.transpose(0, 2, 3, 1).reshape(count, height, width, 3, 3)
        strength = (np.float32(255.0) - parents.astype(np.float32)) * np.float32(0.1)
        return (bands * strength[:, :, :, None, :]).astype(np.float32)

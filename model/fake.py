"""A denoiser without weights: grain in proportion to the local density. For tests, and for trying the service."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class SpeckleDenoiser:
    """Paints speckle on tissue and nearly nothing on glass. Keeps every promise of a painter but that of beauty."""

    name = "speckle"
    fingerprint = "5bec41e0"
    calls_per_window = 1

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch

    def detail(
        self, s: int, parents: NDArray[np.uint8], noise: NDArray[np.float32], grain: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `Denoiser.detail`; one octave of speckle, as strong as a tenth of the distance from white."""
        count, _, height, width = noise.shape
        bands = noise.transpose(0, 2, 3, 1).reshape(count, height, width, 3, 3)
        strength = (np.float32(255.0) - parents.astype(np.float32)) * np.float32(0.1)
        return (bands * strength[:, :, :, None, :]).astype(np.float32)

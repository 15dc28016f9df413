"""What the painter needs of a model: detail bands of whole windows, in batches of one fixed shape."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everslide.model.geometry import WINDOW_PX

PARENT_PX = WINDOW_PX // 2
"""Side of a window in the parent's plane."""


class Denoiser(Protocol):
    """A wavelet model: paints what a window adds to its parent.

    name: of the model. fingerprint: hex; equal fingerprints paint equal bytes. batch: windows per call, always so many
    (the painter pads), since another batch shape changes the last bits. calls_per_window: network evaluations.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def batch(self) -> int: ...
    @property
    def calls_per_window(self) -> int: ...

    def detail(
        self, s: int, parents: NDArray[np.uint8], noise: NDArray[np.float32], grain: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Haar bands of `batch` windows of scale s, in grey levels.

        parents: (batch, PARENT_PX, PARENT_PX, 3); noise: (batch, 9, PARENT_PX, PARENT_PX) and
        grain: (batch, 3, PARENT_PX, PARENT_PX), standard normal. Returns (batch, PARENT_PX, PARENT_PX, 3 bands, RGB).
        """
        ...

"""What a painter needs of a model: detail bands of whole windows, in batches of one fixed shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from everslide.model.geometry import TOP_SCALE, WINDOW_PX, WindowGrid, WindowIndex
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.sampling_config import SamplingCapabilities

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
PARENT_PX = WINDOW_PX // 2
"""Side of a window in the parent's plane."""


class WindowModel(ABC):
    """Paints what a window adds to its parent; keys its noise by place.

    name: of the model. fingerprint: hex; equal fingerprints paint equal bytes. batch: windows per call, always so many
    (the caller pads), since another batch shape changes the last bits. side_by_side: how many threads may call it at
    the same time, to good effect; what they paint is the same. calls_per_window: network evaluations. grid:
    where its windows lie. scales: it paints scales 0 .. scales - 1. steerable: whether a reference has an effect.
    from_top: whether it paints from the slide's topmost plane as well, which its subjects carry then.
    """

    name: str
    fingerprint: str
    batch: int = 1
    side_by_side: int = 1
    grid: WindowGrid = WindowGrid()
    steerable: bool = False
    from_top: bool = False

    @property
    def scales(self) -> int:
        return TOP_SCALE

    @property
    def calls_per_window(self) -> int:
        return 1

    @property
    def capabilities(self) -> SamplingCapabilities:
        """What a slide may choose of how it is painted."""
        return SamplingCapabilities(self.calls_per_window, from_top=self.from_top)

    @abstractmethod
    def bands(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> Floats:
        """Haar bands of `batch` windows of one scale, in grey levels.

        parents: (batch, h, h, 3), the pixels of each window's `parent_rect`.
        Returns (batch, h, h, 3 bands, RGB).
        """

    def steps(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> list[Floats]:
        """The bands as they are expected at each step, the painted ones last; none where it does not show them."""
        return []

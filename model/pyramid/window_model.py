"""The interface between the pyramid and a model: detail bands of whole windows, in batches of one fixed shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from everslide.model.geometry import TOP_SCALE, WINDOW_PX, WindowGrid, WindowIndex
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.sampling_config import SamplingCapabilities

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
PARENT_PX = WINDOW_PX // 2
"""Side of a window of the default grid in the parent's plane."""


def common_facts() -> tuple[object, ...]:
    """What painted pixels depend on beside model and slide: part of the fingerprint of each model, and of the identity
    of each slide."""
    return keyed.SEED_FORMAT, np.__version__, scipy.__version__


class WindowModel(ABC):
    """Paints the detail that a window adds to its parent. Its noise is keyed by place: see `keyed_noise`.

    name: of the model. fingerprint: hexadecimal; models of equal fingerprints paint equal bytes. batch: number of
    windows of every call (the caller pads), since another batch shape changes the last bits. side_by_side: number of
    threads that may usefully call it at the same time; it does not change the bytes. calls_per_window: network
    evaluations of a window by default. grid: where its windows lie. scales: it paints scales 0 .. scales - 1.
    steerable: whether it can be conditioned on a reference. from_top: whether it reads the slide's topmost plane too,
    `GenerationContext.top`.
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
        """Planes 0 .. scales - 1 can be painted: the coarsest scale that a topmost plane may have."""
        return TOP_SCALE

    @property
    def calls_per_window(self) -> int:
        """Network evaluations that a window takes with the model's own sampling."""
        return 1

    @property
    def capabilities(self) -> SamplingCapabilities:
        """The steps, guidance and organs that a slide may choose."""
        return SamplingCapabilities(self.calls_per_window, from_top=self.from_top)

    @abstractmethod
    def bands(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> Floats:
        """Haar bands (batch, h, h, 3 bands, RGB) float32, in grey levels, of `batch` windows of one scale.

        parents: (batch, h, h, 3) uint8, the pixels of each window's `parent_rect`; h is half a window.
        """

    def steps(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> list[Floats]:
        """As `bands`, at each sampler step: the clean detail that the model predicts there, the painted detail last.

        Empty for a model that does not offer this.
        """
        return []

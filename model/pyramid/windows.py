"""Painting of windows, the squares that one evaluation of the network makes: the protocol, and the plain way.

A window is a pure function of its slide's context, its place and its parent.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from everslide.model.geometry import WindowGrid, WindowIndex
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.sampling_config import SamplingCapabilities

Bands = NDArray[np.float16]
"""Detail bands of a window, (h, h, 3 bands, RGB) in grey levels, h half a window. float16, so that windows that are
kept or sent give the same pixels as fresh ones."""
Parent = NDArray[np.uint8]
"""Pixels of plane s + 1 that a window of plane s is painted from, (h, h, 3), h half a window."""


@dataclass
class Counts:
    """Work done so far: windows painted, network evaluations, batches, and places in these batches, filled or not."""

    windows: int = 0
    denoiser_calls: int = 0
    batches: int = 0
    places: int = 0


@runtime_checkable
class Windows(Protocol):
    """Paints windows, in this process or in others. The attributes are those of the model (see `WindowModel`); counts:
    the work of this object."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def grid(self) -> WindowGrid: ...
    @property
    def scales(self) -> int: ...
    @property
    def steerable(self) -> bool: ...
    @property
    def capabilities(self) -> SamplingCapabilities: ...
    @property
    def counts(self) -> Counts: ...

    def paint(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> list[Bands]:
        """The bands of `windows`, in their order. All are of one scale, none comes twice; parents: one for each."""
        ...


class PaintsEach(Windows, Protocol):
    """Windows that are handed over one by one, as they are finished."""

    def paint_each(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> Generator[tuple[int, Bands], None, None]:
        """Yields (index in `windows`, bands) of each window as soon as it is painted, in any order. Closing the
        generator cancels windows that are not begun, unless others want them too."""
        ...


@runtime_checkable
class ShowsSteps(Protocol):
    """Windows of which the steps of the sampler can be shown."""

    def steps(self, context: GenerationContext, window: WindowIndex, parent: Parent) -> list[Bands]:
        """The detail predicted at each sampler step, the painted one last; empty where the model does not offer it."""
        ...


def in_order(each: Iterable[tuple[int, Bands]]) -> list[Bands]:
    """What `PaintsEach.paint_each` yields, complete, in the order of the windows."""
    painted = dict(each)
    return [painted[i] for i in range(len(painted))]


class WrappedWindows:
    """Base of `Windows` that paint with other ones: all attributes but counts are those of `inner`."""

    def __init__(self, inner: Windows) -> None:
        self._inner = inner

    @property
    def fingerprint(self) -> str:
        return self._inner.fingerprint

    @property
    def grid(self) -> WindowGrid:
        return self._inner.grid

    @property
    def scales(self) -> int:
        return self._inner.scales

    @property
    def steerable(self) -> bool:
        return self._inner.steerable

    @property
    def capabilities(self) -> SamplingCapabilities:
        return self._inner.capabilities


class LocalWindows:
    """Paints windows with a model in this process, in batches of the model's shape, in as many threads as it takes. To
    be called from one thread; see `GatheredWindows` for several."""

    def __init__(self, model: WindowModel) -> None:
        self._pool = ThreadPoolExecutor(model.side_by_side, "windows") if model.side_by_side > 1 else None
        self._model = model
        self.fingerprint, self.grid, self.scales = model.fingerprint, model.grid, model.scales
        self.steerable, self.capabilities = model.steerable, model.capabilities
        self.counts = Counts()

    def paint(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> list[Bands]:
        """See `Windows.paint`."""
        size = self._model.batch
        parts = [slice(start, start + size) for start in range(0, len(windows), size)]

        def paint_part(part: slice) -> list[Bands]:
            return paint_batch(self._model, context, windows[part], parents[part])

        several = self._pool is not None and len(parts) > 1
        painted = list(self._pool.map(paint_part, parts) if self._pool and several else map(paint_part, parts))
        for part in parts:
            count_batch(self.counts, self._model, context, len(windows[part]))
        return [bands for batch in painted for bands in batch]

    def steps(self, context: GenerationContext, window: WindowIndex, parent: Parent) -> list[Bands]:
        """See `ShowsSteps.steps`."""
        several = self._model.batch
        walked = self._model.steps(context, [window] * several, np.stack([parent] * several))
        return [bands[0].astype(np.float16) for bands in walked]


def count_batch(counts: Counts, model: WindowModel, context: GenerationContext, windows: int) -> None:
    """Add one batch to `counts`. windows: how many of its places were filled."""
    counts.windows += windows
    counts.denoiser_calls += windows * model.capabilities.calls(context.sampling)
    counts.batches += 1
    counts.places += model.batch


def paint_batch(
    model: WindowModel, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
) -> list[Bands]:
    """The bands of 1 .. `model.batch` windows of one scale, in their order; the batch is padded with the last of
    them."""
    count = len(windows)
    assert 0 < count <= model.batch and len({window.s for window in windows}) == 1
    order = [*range(count), *[count - 1] * (model.batch - count)]
    stack = np.stack([parents[i] for i in order])  # (batch, h, h, 3)
    side = model.grid.window_px // 2
    assert stack.shape[1:] == (side, side, 3) and stack.dtype == np.uint8, (stack.shape, stack.dtype)
    return list(model.bands(context, [windows[i] for i in order], stack).astype(np.float16)[:count])

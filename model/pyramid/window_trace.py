"""Watching a model paint, for inspection: time, noise, detail of each window, and its difference from its parent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from everslide.model.geometry import WindowIndex
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.wavelet import box_mean, merge
from everslide.model.pyramid.windows import Bands, Counts, Parent, ShowsSteps, Windows, WrappedWindows

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
NO_DIFFERENCE_DB = 99.0
"""Reported in place of infinity, where the box mean equals the parent before rounding is adjusted."""


@dataclass(frozen=True)
class PaintedWindow:
    """A window as the model painted it, before blending and before it is made to agree with its parent.

    seconds: time it took. parent: (h, h, 3) uint8, h half a window. noise: (9, h, h) float32, the sampler's first.
    bands: (h, h, 3 bands, RGB) float32 in grey levels. steps: samples the window again, and returns the bands predicted
    at each step; empty where the model does not offer this.
    """

    s: int
    seconds: float
    parent: Pixels
    noise: Floats
    bands: Floats
    steps: Callable[[], Sequence[Bands]] = tuple

    @property
    def unclosed(self) -> Pixels:
        """(2h, 2h, 3) uint8: parent plus detail, rounded, not yet adjusted to agree with the parent."""
        return self.with_detail(self.bands)

    def with_detail(self, bands: Floats | Bands) -> Pixels:
        """(2h, 2h, 3) uint8: the parent with other bands (h, h, 3, RGB), rounded."""
        child = merge(self.parent.astype(np.float32), bands.astype(np.float32))
        rounded: Pixels = np.clip(np.floor(child + np.float32(0.5)), 0, 255).astype(np.uint8)
        return rounded

    @property
    def agreement_db(self) -> float:
        """PSNR between the parent and the box mean of `unclosed`, in dB, at most NO_DIFFERENCE_DB."""
        difference = box_mean(self.unclosed).astype(np.float64) - self.parent
        error = float(np.mean(difference**2))
        return min(NO_DIFFERENCE_DB, 10 * float(np.log10(255.0**2 / error))) if error > 0 else NO_DIFFERENCE_DB


Watch = Callable[[PaintedWindow], None]


class WatchedWindows(WrappedWindows):
    """A `Windows` that paints with another one, and calls `watch` with each painted window.

    Windows are painted one at a time, so that each can be timed. A window does not depend on its batch: the bands are
    the same.
    """

    def __init__(self, windows: Windows, watch: Watch) -> None:
        super().__init__(windows)
        self._watch = watch
        self.counts = Counts()

    def paint(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> list[Bands]:
        """See `Windows.paint`."""
        return [self._paint(context, window, parent) for window, parent in zip(windows, parents, strict=True)]

    def _paint(self, context: GenerationContext, window: WindowIndex, parent: Parent) -> Bands:
        started = time.perf_counter()
        [bands] = self._inner.paint(context, [window], [parent])
        seconds = time.perf_counter() - started
        noise = keyed.normals(context.seed, "detail", window.s, window.parent_rect, 9)
        kept = parent.copy()
        walk: Callable[[], Sequence[Bands]] = tuple
        if isinstance(self._inner, ShowsSteps):
            walk = partial(self._inner.steps, context, window, kept)
        self._watch(PaintedWindow(window.s, seconds, kept, noise, bands.astype(np.float32), walk))
        # Not what `self._inner` counted meanwhile: others paint with it at the same time.
        self.counts.windows += 1
        self.counts.denoiser_calls += self.capabilities.calls(context.sampling)
        return bands

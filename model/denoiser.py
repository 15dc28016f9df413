"""What the painter needs of a model: detail bands of whole windows, in batches of one fixed shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from everslide.model import noise as keyed
from everslide.model.geometry import WINDOW_PX, WindowGrid, WindowIndex
from everslide.model.manner import Manner, Offer
from everslide.model.sketch import TOP_SCALE
from everslide.model.subject import Subject

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
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

    def detail(self, s: int, parents: Pixels, noise: Floats, grain: Floats) -> Floats:
        """Haar bands of `batch` windows of scale s, in grey levels.

        parents: (batch, PARENT_PX, PARENT_PX, 3); noise: (batch, 9, PARENT_PX, PARENT_PX) and
        grain: (batch, 3, PARENT_PX, PARENT_PX), standard normal. Returns (batch, PARENT_PX, PARENT_PX, 3 bands, RGB).
        """
        ...


@runtime_checkable
class Stepwise(Protocol):
    """A denoiser that shows what it takes for the detail at each of its steps."""

    def steps(self, s: int, parents: Pixels, noise: Floats, grain: Floats) -> list[Floats]:
        """Haar bands as `Denoiser.detail` gives them, as they are expected at each step; the last are those painted."""
        ...


@runtime_checkable
class Conditioned(Protocol):
    """A denoiser that is told which tissue it paints: its `detail` and `steps` also take the `cells` of the windows."""

    @property
    def steerable(self) -> bool:
        """Whether a reference has an effect."""
        ...

    def cells(self, subject: Subject, windows: Sequence[WindowIndex], parents: Pixels) -> Floats | None:
        """Embeddings (B, E, k, k) of the cells of windows of one scale; None where nothing is told."""
        ...

    def detail(self, s: int, parents: Pixels, noise: Floats, grain: Floats, cells: Floats | None = None) -> Floats:
        """See `Denoiser.detail`."""
        ...

    def steps(self, s: int, parents: Pixels, noise: Floats, grain: Floats, cells: Floats | None = None) -> list[Floats]:
        """See `Stepwise.steps`."""
        ...


@runtime_checkable
class Mannered(Protocol):
    """A denoiser that leaves it to the slide in which manner it paints."""

    @property
    def offer(self) -> Offer: ...

    def of(self, manner: Manner, octaves: int = 1) -> Denoiser:
        """The same denoiser in another manner, one on offer, for windows so many octaves below a real picture."""
        ...


@runtime_checkable
class WindowModel(Protocol):
    """A model that is told which windows of which slide it paints, and keys its noise and conditions by itself.

    grid: where its windows lie. scales: it paints scales 0 .. scales - 1. The other attributes are as in `Denoiser`.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def batch(self) -> int: ...
    @property
    def calls_per_window(self) -> int: ...
    @property
    def grid(self) -> WindowGrid: ...
    @property
    def scales(self) -> int: ...

    def bands(self, subject: Subject, windows: Sequence[WindowIndex], parents: Pixels) -> Floats:
        """Haar bands of `batch` windows of one scale, in grey levels.

        parents: (batch, h, h, 3), the pixels of each window's `parent_rect`.
        Returns (batch, h, h, 3 bands, RGB).
        """
        ...


@runtime_checkable
class PaintsFromTop(Protocol):
    """A window model that paints from the slide's topmost plane as well: its subjects carry it."""

    @property
    def contexts_per_window(self) -> int:
        """Windows of the next coarser scale that one window is painted from, at most."""
        ...


class KeyedDenoiser:
    """A `Denoiser` as a `WindowModel`: its noise is that of the window's place."""

    grid = WindowGrid()
    scales = TOP_SCALE

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self.name, self.fingerprint = denoiser.name, denoiser.fingerprint
        self.batch, self.calls_per_window = denoiser.batch, denoiser.calls_per_window
        self.offer = denoiser.offer if isinstance(denoiser, Mannered) else Offer(denoiser.calls_per_window)

    @property
    def steerable(self) -> bool:
        """Whether a reference has an effect."""
        return isinstance(self._denoiser, Conditioned) and self._denoiser.steerable

    def bands(self, subject: Subject, windows: Sequence[WindowIndex], parents: Pixels) -> Floats:
        """See `WindowModel.bands`."""
        s, noise, denoiser = windows[0].s, _noise(subject.seed, windows), self._of(subject, windows[0].s)
        if isinstance(denoiser, Conditioned):
            return denoiser.detail(s, parents, *noise, denoiser.cells(subject, windows, parents))
        return denoiser.detail(s, parents, *noise)

    def steps(self, subject: Subject, windows: Sequence[WindowIndex], parents: Pixels) -> list[Floats]:
        """See `Stepwise.steps`; none where the denoiser does not show them."""
        s, noise, denoiser = windows[0].s, _noise(subject.seed, windows), self._of(subject, windows[0].s)
        if isinstance(denoiser, Conditioned):
            return denoiser.steps(s, parents, *noise, denoiser.cells(subject, windows, parents))
        return denoiser.steps(s, parents, *noise) if isinstance(denoiser, Stepwise) else []

    def _of(self, subject: Subject, s: int) -> Denoiser:
        """The denoiser in the subject's manner."""
        if isinstance(self._denoiser, Mannered):
            return self._denoiser.of(subject.manner, subject.octaves(s))
        return self._denoiser


def _noise(seed: int, windows: Sequence[WindowIndex]) -> tuple[Floats, Floats]:
    """Noise (batch, 9, h, h) and grain (batch, 3, h, h) of windows of one scale, keyed by place."""
    s, rects = windows[0].s, [window.parent_rect for window in windows]
    noise = np.stack([keyed.normals(seed, "detail", s, rect, 9) for rect in rects])
    grain = np.stack([keyed.normals(seed, "grain", s, rect, 3) for rect in rects])
    return noise, grain


def as_window_model(model: Denoiser | WindowModel) -> WindowModel:
    """The model itself, or a denoiser with noise keyed by place."""
    return model if isinstance(model, WindowModel) else KeyedDenoiser(model)

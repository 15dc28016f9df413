"""How slides get their painters. The models are imported only when a slide needs them: they take seconds to load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from everslide.model.denoiser import Denoiser
from everslide.model.errors import SlideError
from everslide.model.geometry import TileIndex
from everslide.model.slide import Slide
from everslide.server.encode import Pixels
from everslide.server.pixels import PixelTiles

MODELS = ("mini", "speckle")


class TilePainter(Protocol):
    """What the service needs of a painter. One thread at a time calls `tile`."""

    def tile(self, tile: TileIndex) -> Pixels:
        """The whole tile, (256, 256, 3) uint8."""


@dataclass(frozen=True)
class Painters:
    """A model that is ready to paint any number of slides.

    top_scale: the coarsest scale that is painted; coarser ones are box means of it.
    fingerprint: hexadecimal; changes with whatever changes the pixels of a tile of the same slide.
    make: makes the painter of a slide, which keeps its tiles where it is told.
    """

    top_scale: int
    fingerprint: str
    make: Callable[[Slide, PixelTiles], TilePainter]


class _NoTiles:
    """Remembers nothing."""

    def get(self, tile: TileIndex) -> Pixels | None:
        return None

    def put(self, tile: TileIndex, pixels: Pixels) -> None:
        return


def load_painters(model: str, weights: Path | None = None) -> Painters:
    """Load a model by name.

    weights: a file of weights instead of those that came with Everslide, for models that have any.
    Raises SlideError where the model is none of MODELS, WeightsError.
    """
    if model not in MODELS:
        raise SlideError(f"model {model!r}: expected one of {', '.join(MODELS)}")
    from everslide.model.painter import Painter
    from everslide.model.sketch import TOP_SCALE

    denoiser = _load_denoiser(model, weights)
    fingerprint = Painter(Slide("any", 0, model=model), denoiser, _NoTiles()).fingerprint
    return Painters(TOP_SCALE, fingerprint, lambda slide, tiles: Painter(slide, denoiser, tiles))


def _load_denoiser(model: str, weights: Path | None) -> Denoiser:
    if model == "speckle":
        from everslide.model.fake import SpeckleDenoiser

        return SpeckleDenoiser()
    from everslide.model.mini import load_mini

    return load_mini(weights)

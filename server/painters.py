"""Loading of models, and construction of the painters of slides. Models are imported when needed: it takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from everslide.model.errors import SlideError, WeightsError
from everslide.model.geometry import TileIndex
from everslide.model.names import MODELS, PUBLISHED
from everslide.model.pyramid.top import TopPlane
from everslide.model.slide import Slide
from everslide.server.encode import Pixels

if TYPE_CHECKING:
    from everslide.model.organs import SlideOrgan
    from everslide.model.pyramid.window_model import WindowModel
    from everslide.model.pyramid.window_trace import Watch
    from everslide.model.pyramid.windows import Windows
    from everslide.model.sampling_config import SamplingCapabilities
    from everslide.model.style_reference import Reference


class TileStore(Protocol):
    """Where a painter finds and keeps tiles, (256, 256, 3) uint8; see `everslide.model.pyramid.painter.TileStore`."""

    def get(self, tile: TileIndex) -> Pixels | None: ...

    def put(self, tile: TileIndex, pixels: Pixels) -> None: ...


@dataclass(frozen=True)
class ModelFiles:
    """What a model is loaded from. weights: a file, or the folder of a checkpoint; None: those shipped.

    options: of PUBLISHED models, see `everslide.model.zoomldm.options`; of mini, `runtime`, see
    `everslide.model.mini.model.fastest_runtime`.
    """

    weights: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)


class TilePainter(Protocol):
    """What the service needs of a painter. Several threads call it at the same time where several paint."""

    def tile(self, tile: TileIndex) -> Pixels:
        """The whole tile, (256, 256, 3) uint8."""

    def paint(self, tile: TileIndex) -> Pixels:
        """As `tile`, without asking the store for it: for callers that know it is not kept."""


@dataclass(frozen=True)
class Painters:
    """A model that is ready to paint any number of slides.

    top_scale: the coarsest scale that is painted; coarser ones are box means of it.
    identity: (slide, topmost plane, reference) -> `everslide.model.pyramid.painter.identity` of the slide.
    steerable: whether a slide may have a reference. capabilities: steps, guidance and organs that a slide may choose.
    make: (slide, store, topmost plane, reference) -> the painter of the slide. A topmost plane of None is a sketch.
    Raises SlideError where the model lacks what is asked for.
    watched: as `make`, with a function that is called with every painted window; None where this is not possible.
    """

    top_scale: int
    identity: Callable[[Slide, TopPlane | None, Reference | None], str]
    steerable: bool
    capabilities: SamplingCapabilities
    make: Callable[[Slide, TileStore, TopPlane | None, Reference | None], TilePainter]
    watched: Callable[[Slide, TileStore, TopPlane | None, Reference | None, Watch], TilePainter] | None = None

    def conditioned(self, slide: Slide, top: TopPlane | None, reference: Reference | None) -> Reference | None:
        """What the slide is conditioned on: its reference and its organ, chosen or drawn. Raises SlideError where the
        model does not know an organ of it."""
        from everslide.model.organs import conditioned

        return conditioned(slide, reference, dict(self.capabilities.organs), real=top is not None)

    def organ(self, slide: Slide, like: Reference | None) -> SlideOrgan | None:
        """The slide's organ, chosen or drawn, or None. like: what it is conditioned on."""
        from everslide.model.organs import slide_organ

        return slide_organ(slide, like, dict(self.capabilities.organs))

    def region_organs(self, like: Reference | None) -> tuple[SlideOrgan, ...]:
        """The organs of a slide's regions, each once. like: what it is conditioned on."""
        from everslide.model.organs import region_organs

        return region_organs(like, dict(self.capabilities.organs))


class NoTiles:
    """A `TileStore` that keeps nothing."""

    def get(self, tile: TileIndex) -> Pixels | None:
        return None

    def put(self, tile: TileIndex, pixels: Pixels) -> None:
        return


def load_painters(
    model: str,
    files: ModelFiles | None = None,
    paints: Windows | None = None,
    bare: Windows | None = None,
) -> Painters:
    """The painters of a model. Raises what `load_model` raises.

    paints: paints the model's windows; unless given, the model is loaded here. bare: the same model without a cache of
    windows, used for watched painters; `paints` by default.
    """
    from everslide.model.mini.sections import make_sketch
    from everslide.model.organs import conditioned
    from everslide.model.pyramid.painter import Painter, identity
    from everslide.model.pyramid.window_trace import WatchedWindows
    from everslide.model.pyramid.windows import LocalWindows

    brush = paints or LocalWindows(load_model(model, files))
    fresh = bare or brush

    known = dict(brush.capabilities.organs)

    def place(slide: Slide, top: TopPlane | None, reference: Reference | None) -> tuple[TopPlane, Reference | None]:
        """What a slide is painted below, and what it is conditioned on."""
        like = conditioned(slide, reference, known, real=top is not None)
        return top or make_sketch(slide, brush.scales, like), like

    def make(
        slide: Slide,
        tiles: TileStore,
        top: TopPlane | None,
        reference: Reference | None,
        windows: Windows = brush,
    ) -> TilePainter:
        if top is not None and top.s > brush.scales:
            raise SlideError(f"{model} paints below scale {brush.scales} at most, found a picture of scale {top.s}")
        return Painter(slide, windows, tiles, *place(slide, top, reference))

    return Painters(
        brush.scales,
        lambda slide, top, like: identity(slide, brush, *place(slide, top, like)),
        brush.steerable,
        brush.capabilities,
        make,
        watched=lambda slide, tiles, top, like, watch: make(slide, tiles, top, like, WatchedWindows(fresh, watch)),
    )


def load_model(model: str, files: ModelFiles | None = None) -> WindowModel:
    """Load a model by name. Raises SlideError where it is none of MODELS or an option is wrong, WeightsError."""
    weights, options = (files.weights, files.options) if files else (None, {})
    if model not in MODELS:
        raise SlideError(f"model {model!r}: expected one of {', '.join(MODELS)}")
    if options and model not in ("mini", *PUBLISHED):
        raise SlideError(f"model {model!r} takes no options, found {', '.join(options)}")
    if model in PUBLISHED:
        from everslide.model.zoomldm.options import load_windows, parse_options

        return load_windows(model, weights, parse_options(options))
    if model == "speckle":
        from everslide.model.pyramid.fake_model import SpeckleModel

        return SpeckleModel()
    if weights is not None and weights.is_dir():
        raise WeightsError(f"{weights}: expected a file of weights of {model}, found a folder")
    from everslide.model.mini.model import load_mini

    if unknown := sorted(set(options) - {"runtime"}):
        raise SlideError(f"--with {unknown[0]!r}: expected runtime, the only option of mini")
    return load_mini(weights, runtime=options.get("runtime"))

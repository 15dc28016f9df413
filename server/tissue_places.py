"""Places inside the tissue of a slide, for tours and quizzes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model.geometry import TILE_PX, Rect
from everslide.model.stain import TISSUE_OD, optical_density
from everslide.server.encode import Pixels
from everslide.server.regions import read_region
from everslide.server.tiles import ServedSlide, TileService

_LOOKED_AT_PX = 512
"""A side of the coarse picture in which tissue is looked for: of a slide without an end, the part amid it."""
_SMALLEST_PX = 128
"""A slide smaller than that in its topmost plane is looked at in a finer one."""
_AROUND_PX = 7
"""A place lies amid tissue where so many coarse pixels a side are tissue."""
_APART_PX = 6
_WINDOW_PX = 1280
"""20x pixels a side within which a place must be of one organ."""


@dataclass(frozen=True)
class Place:
    """A place inside tissue. x, y: in 20x pixels. tissue: share of tissue around it. organ: the organ that the slide is
    conditioned on there; None where there is none, or where regions of two organs meet."""

    x: int
    y: int
    tissue: float
    organ: str | None


def tissue_places(
    service: TileService, slide: ServedSlide, count: int, gone: Callable[[], bool], viewer: str = ""
) -> list[Place]:
    """At most `count` places, those with most tissue around first, none close to another; always the same.

    They are searched in a plane so coarse that little or nothing must be painted. Raises what `read_region` raises.
    """
    entry = slide.entry
    top_scale = entry.top.s if entry.top else service.models[entry.slide.model].top_scale
    level, rect = _looked_at(slide, top_scale)
    density = tissue_density(read_region(service, slide, level, rect, gone, viewer))
    shrink = 2 ** slide.zoom.scale(level)
    whole = entry.slide
    found = []
    for row, col, share in spread(density, count, whole.seed):
        x = min((rect.x + col) * shrink + shrink // 2, whole.width_px - 1)
        y = min((rect.y + row) * shrink + shrink // 2, whole.height_px - 1)
        found.append(Place(x, y, round(share, 3), _organ_at(slide, x, y)))
    return found


def _looked_at(slide: ServedSlide, top_scale: int) -> tuple[int, Rect]:
    """(level, rectangle of it): that of the topmost plane, or the coarsest below it that is large enough."""
    zoom = slide.zoom
    level = max(zoom.min_level, zoom.level(top_scale))
    while level < zoom.max_level and max(zoom.level_size(level)) < _SMALLEST_PX:
        level += 1
    width, height = zoom.level_size(level)
    across, down = min(width, _LOOKED_AT_PX), min(height, _LOOKED_AT_PX)
    x, y = ((side - part) // 2 // TILE_PX * TILE_PX for side, part in ((width, across), (height, down)))
    return level, Rect(x, y, across, down)  # in whole tiles, so that no more than four are painted


def tissue_density(pixels: Pixels) -> NDArray[np.float64]:
    """(H, W, 3) uint8 -> (H, W) in [0, 1]: share of tissue in the square of _AROUND_PX around each pixel; none beyond
    the edge."""
    tissue = optical_density(pixels).mean(-1) > TISSUE_OD
    return np.asarray(ndimage.uniform_filter(tissue.astype(np.float64), _AROUND_PX, mode="constant"))


def spread(density: NDArray[np.float64], count: int, seed: int) -> list[tuple[int, int, float]]:
    """(row, column, share) of at most `count` places, half as dense as the densest or denser.

    The densest come first, equally dense ones in an order drawn from the seed, none within _APART_PX of another.
    """
    order = np.random.Generator(np.random.Philox([seed, 2])).permutation(density.size)
    steps = np.round(density.ravel()[order], 2)
    order = order[np.argsort(-steps, kind="stable")]
    open_places = (density > density.max() / 2).ravel()  # chips of a biopsy fill no square
    rows, cols = np.divmod(np.arange(density.size), density.shape[1])
    found: list[tuple[int, int, float]] = []
    for at in order:
        if len(found) == count:
            break
        if not open_places[at]:
            continue
        row, col = int(rows[at]), int(cols[at])
        found.append((row, col, float(density[row, col])))
        open_places &= (np.abs(rows - row) > _APART_PX) | (np.abs(cols - col) > _APART_PX)
    return found


def _organ_at(slide: ServedSlide, x: int, y: int) -> str | None:
    """The organ at a 20x pixel, where there is one alone."""
    around = Rect(x - _WINDOW_PX // 2, y - _WINDOW_PX // 2, _WINDOW_PX, _WINDOW_PX)
    organ, share = next(iter(slide.organs_in(around, 0)), ("", 0.0))
    return organ if share > 0.99 else None

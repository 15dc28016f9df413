"""Borders of tiles and windows cannot be distinguished from other lines, and the measures that say so can fail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.evaluation.fields import MemoryTiles, field_of
from everslide.model.geometry import Rect, WindowIndex
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.slide import Slide

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]
SIDE = 1024
PERIOD = 8
"""Lines are compared with lines of the same place in their ancestors' 2x2 blocks, three octaves up."""


class StrangerWindows(SpeckleModel):
    """Ignores the shared noise: every window has its own, so that overlaps are blends of strangers."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = np.random.default_rng(1)

    def bands(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> NDArray[np.float32]:
        """See `WindowModel.bands`."""
        own = GenerationContext(int(self._rng.integers(2**32)))
        return super().bands(own, windows, parents)


class TintedWindows(SpeckleModel):
    """Bends every window: brighter at its left than at its right, which no blend can hide."""

    def bands(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> NDArray[np.float32]:
        """See `WindowModel.bands`."""
        bands = super().bands(context, windows, parents)
        bands[:, :, 16:24, 0] += 12
        return bands


def mosaic(model: WindowModel, grey: int) -> Doubles:
    """Grey levels (SIDE, SIDE) two octaves below an even image, so that every line is like every other."""
    even = np.full((SIDE // 2, SIDE // 2, 3), grey, np.uint8)
    painter = Painter(Slide("even", 3, 2 * SIDE, 2 * SIDE), model, MemoryTiles(), ImageTop(even, 3))
    grey_levels: Doubles = field_of(painter, 1, Rect(SIDE // 2, SIDE // 2, SIDE, SIDE)).astype(np.float64).mean(-1)
    return grey_levels


def step(grey: Doubles, columns: Iterable[int]) -> float:
    """Mean squared step onto the given columns."""
    return float(np.mean([np.square(grey[:, x] - grey[:, x - 1]).mean() for x in columns]))


def laplacian(grey: Doubles, columns: Iterable[int]) -> float:
    """Mean squared Laplacian along the given columns."""
    rows = slice(1, -1)
    values = [4 * grey[rows, x] - grey[:-2, x] - grey[2:, x] - grey[rows, x - 1] - grey[rows, x + 1] for x in columns]
    return float(np.mean([np.square(v).mean() for v in values]))


BORDERS = list(range(256, SIDE, 256))
OVERLAPS = [x for border in range(0, SIDE, 256) for x in range(border + PERIOD, border + 64, PERIOD)]
INNER = [x for x in range(PERIOD, SIDE - PERIOD, PERIOD) if 72 <= x % 256 < 248]


@pytest.fixture(scope="module", params=[140, 243], ids=["tissue", "glass"])
def painted(request: pytest.FixtureRequest) -> Doubles:
    return mosaic(SpeckleModel(), int(request.param))


@pytest.mark.parametrize("turned", [False, True], ids=["vertical", "horizontal"])
@pytest.mark.parametrize("lines", [BORDERS, OVERLAPS], ids=["borders", "overlaps"])
def test_borders_look_like_other_lines(painted: Doubles, lines: list[int], turned: bool) -> None:
    grey = painted.T if turned else painted
    assert step(grey, lines) / step(grey, INNER) == pytest.approx(1, abs=0.05)
    assert laplacian(grey, lines) / laplacian(grey, INNER) == pytest.approx(1, abs=0.1)


def test_overlaps_of_strangers_are_seen() -> None:
    grey = mosaic(StrangerWindows(), 140)
    assert laplacian(grey, OVERLAPS) / laplacian(grey, INNER) < 0.85


def test_a_line_in_every_window_is_seen() -> None:
    grey = mosaic(TintedWindows(), 140)
    lines = [x + y for x in range(256, SIDE, 256) for y in range(32, 48)]
    assert step(grey, lines) / step(grey, [x + 96 for x in lines]) > 1.15

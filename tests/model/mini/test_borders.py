"""The coarsest painted plane of made-up slides shows no squares: borders of tiles are lines as those beside them.

`python -m pytest -s tests/model/mini/test_borders.py` prints the figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everslide.model.evaluation.fields import MemoryTiles, field_of
from everslide.model.geometry import TILE_PX, TOP_SCALE, Rect
from everslide.model.mini.model import shipped_on_cpu
from everslide.model.mini.sections import make_sketch
from everslide.model.organs import conditioned, palettes
from everslide.model.pyramid.painter import Painter
from everslide.model.slide import Slide

Doubles = NDArray[np.float64]
SEEDS = range(100, 107)
TISSUE_BELOW = 225.0
"""Grey level."""
BESIDE = [px for px in range(-24, 25) if px % 8]
"""Sections are often centred on a border, so it is compared with lines near by; not with those eight pixels on, which
lie alike between the strides of the network."""


def test_borders_at_the_coarsest_plane_are_as_the_lines_beside_them() -> None:
    found = np.array([borders(plane(seed)) for seed in SEEDS]).sum(0)
    step, detail = found[0] / found[1], found[2] / found[3]
    print(f"0.16x, {len(SEEDS)} slides, borders over lines beside them: step {step:.2f}, detail {detail:.2f}")
    assert 0.9 < step < 1.15 and 0.9 < detail < 1.15


def test_a_border_that_shows_is_seen() -> None:
    smooth = np.full((600, 600), 150.0) + np.random.default_rng(1).normal(0, 2, (600, 600))
    clean = borders(smooth)
    smooth[:, TILE_PX:] += 8
    shifted = borders(smooth)
    assert clean[0] / clean[1] < 1.1 < 1.3 < shifted[0] / shifted[1]


def plane(seed: int) -> Doubles:
    """Grey levels (H, W) of the whole coarsest painted plane of a demo slide."""
    slide = Slide("demo", seed)
    like = conditioned(slide, None, palettes(), real=False)
    painter = Painter(slide, shipped_on_cpu(), MemoryTiles(), make_sketch(slide, reference=like), like)
    wide, high = slide.size_at(TOP_SCALE - 1)
    grey: Doubles = field_of(painter, TOP_SCALE - 1, Rect(0, 0, wide, high)).astype(np.float64).mean(-1)
    return grey


def borders(grey: Doubles) -> Doubles:
    """Sums over pairs of a place on a border of tiles and one BESIDE it, both in tissue: the step across either, the
    Laplacian at either; (4,)."""
    sums = np.zeros(4)
    for turned in (grey, grey.T):
        step = np.abs(np.diff(turned, axis=1))
        tissue = (turned[:, 1:] < TISSUE_BELOW) & (turned[:, :-1] < TISSUE_BELOW)
        sides = [np.roll(turned, shift, axis) for axis in (0, 1) for shift in (-1, 1)]
        detail = np.abs(4 * turned - np.sum(sides, 0))
        for x in range(TILE_PX, turned.shape[1] - 25, TILE_PX):
            for px in BESIDE:
                both = tissue[:, x - 1] & tissue[:, x - 1 + px]
                pairs = [(step, x - 1), (step, x - 1 + px), (detail, x), (detail, x + px)]
                sums += [of[both, at].sum() for of, at in pairs]
    return sums

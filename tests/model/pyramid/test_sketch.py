"""The sketched topmost plane: tiles that fit together, and sections that lie whole on the glass."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.geometry import TILE_PX, TOP_SCALE
from everslide.model.organs import SECTIONS, palettes
from everslide.model.pyramid.sketch import Sketch
from everslide.model.slide import Slide
from everslide.model.training.sections import octave_deviations
from tests.model.painting import ENDLESS, dense_pixel

Pixels = NDArray[np.uint8]
SEEDS = range(6)


def whole(seed: int) -> Pixels:
    """The default slide at 128 um per pixel, (384, 512, 3)."""
    sketch = Sketch(Slide("demo", seed))
    return np.vstack([np.hstack([sketch.tile(col, row) for col in (0, 1)]) for row in (0, 1)])[:384]


@pytest.fixture(scope="module")
def slides() -> list[Pixels]:
    return [whole(seed) for seed in SEEDS]


def test_the_top_plane() -> None:
    sketch = Sketch(Slide("demo", 5))
    assert (TOP_SCALE, sketch.s, sketch.um_per_px) == (8, 8, 128.0)
    tile = sketch.tile(0, 0)
    assert tile.shape == (256, 256, 3) and tile.dtype == np.uint8 and sketch.glass.dtype == np.uint8
    assert min(sketch.glass.tolist()) > 235


def test_every_slide_has_tissue_and_glass(slides: list[Pixels]) -> None:
    for pixels in slides:
        assert 0.03 < float((pixels.astype(int).mean(-1) < 225).mean()) < 0.7


def test_the_rim_of_the_slide_is_clean_glass(slides: list[Pixels]) -> None:
    for seed, pixels in enumerate(slides):
        glass = Sketch(Slide("demo", seed)).glass
        for rim in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            np.testing.assert_array_equal(rim, np.broadcast_to(glass, rim.shape))


@pytest.mark.parametrize(("col", "row"), [(-1, 0), (0, -1), (2, 0), (0, 2), (2**40, 5), (-(2**40), -3)])
def test_beyond_the_slide_there_is_only_glass(col: int, row: int) -> None:
    sketch = Sketch(Slide("demo", 5))
    np.testing.assert_array_equal(sketch.tile(col, row), np.broadcast_to(sketch.glass, (256, 256, 3)))


def test_no_section_is_cut_where_its_cell_ends(slides: list[Pixels]) -> None:
    """Cells are 65.536 / 3 and 49.152 / 2 mm: a section that reached over the border would end in a straight line."""
    for seed, pixels in enumerate(slides):
        glass = Sketch(Slide("demo", seed)).glass.astype(int)
        border = np.concatenate([pixels[:, [170, 341]].reshape(-1, 3), pixels[[191, 192]].reshape(-1, 3)])
        assert int(np.abs(border.astype(int) - glass).max()) == 0, f"seed {seed}"


@pytest.mark.parametrize("slide", [Slide("demo", 5), ENDLESS], ids=lambda slide: slide.name)
def test_tiles_fit_together_amid_tissue(slide: Slide) -> None:
    """At 16 um per pixel, where tiles end within sections: steps across borders are those beside them."""
    far = 2**23 // 2**8 if slide.unbounded else 0
    x, y = dense_pixel(slide, far, far)
    sketch = Sketch(slide, 5)
    col, row = round(x * 8 / TILE_PX), round(y * 8 / TILE_PX)
    tiles = [[sketch.tile(col + i, row + j) for i in (-1, 0)] for j in (-1, 0)]
    grey = np.vstack([np.hstack(pair) for pair in tiles]).astype(float).mean(-1)
    assert float((grey[192:320, 192:320] < 230).mean()) > 0.5, "the corner of the four tiles is tissue"
    for turned in (grey, grey.T):
        steps = np.abs(np.diff(turned, axis=1)).mean(0)
        beside = np.concatenate([steps[239:255], steps[256:272]])
        assert beside.min() * 0.8 < steps[255] < beside.max() * 1.2


def test_the_same_seed_draws_the_same_sketch() -> None:
    first, again = Sketch(Slide("demo", 5)), Sketch(Slide("other", 5))
    again.tile(1, 1)
    np.testing.assert_array_equal(first.tile(0, 0), again.tile(0, 0))


def test_other_seeds_draw_other_sketches(slides: list[Pixels]) -> None:
    for i, a in enumerate(slides):
        for b in slides[:i]:
            assert float((a != b).any(-1).mean()) > 0.05


def test_scales_of_the_sketch_show_the_same_sections() -> None:
    slide = Slide("demo", 5)
    coarse = Sketch(slide, 9).tile(0, 0)[:192]
    fine = whole(5).astype(float).reshape(192, 2, 256, 2, 3).mean((1, 3))
    assert float(np.abs(coarse - fine).mean()) < 2


def test_small_slides_have_a_section_too() -> None:
    for seed in SEEDS:
        slide = Slide("small", seed, 8192, 8192)
        pixels = Sketch(slide).tile(0, 0)
        assert float((pixels[:32, :32].astype(int).mean(-1) < 225).mean()) > 0.1, f"seed {seed}"
        outside = np.concatenate([pixels[32:].reshape(-1, 3), pixels[:, 32:].reshape(-1, 3)])
        assert len(np.unique(outside, axis=0)) == 1


def test_sections_are_as_rough_as_real_ones() -> None:
    """Deviations of grey levels within blocks of 2 to 16 px at the topmost plane, the median of some slides."""
    real = np.array(json.loads(SECTIONS.read_text("utf-8"))["octaves"])
    found = []
    for seed in range(6):
        drawn = Sketch(Slide("rough", seed))
        found.append(octave_deviations(np.concatenate([drawn.tile(0, 0), drawn.tile(1, 0)], 1)))
    assert np.all(np.abs(np.log(np.nanmedian(found, 0) / real)) < 0.35), (np.nanmedian(found, 0), real)


def test_colours_are_those_of_real_sections() -> None:
    """Each slide takes the colours of one; from some twenty slides on there are many kinds."""
    real = np.concatenate(list(palettes().values()))
    assert real.shape[1:] == (5, 3) and len(real) > 30
    assert np.all(np.diff(real.sum(-1), axis=1) >= 0), "darkest to palest"

"""The sketched topmost plane: tiles that fit together, and sections that lie whole on the glass."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.geometry import TILE_PX, TOP_SCALE
from everslide.model.mini.sections import make_sketch
from everslide.model.organs import SECTIONS, conditioned, palettes, style_of
from everslide.model.pyramid.layout import CANVAS_PX, GLASS_GREY, thickest
from everslide.model.pyramid.sketch import Sketch, recoloured
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Region, Style
from everslide.model.training.sections import octave_deviations
from tests.model.painting import DEMO, ENDLESS

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
SEEDS = range(6)


def whole(seed: int) -> Pixels:
    """The default slide at 128 um per pixel, (384, 512, 3)."""
    sketch = make_sketch(Slide("demo", seed))
    return np.vstack([np.hstack([sketch.tile(col, row) for col in (0, 1)]) for row in (0, 1)])[:384]


@pytest.fixture(scope="module")
def slides() -> list[Pixels]:
    return [whole(seed) for seed in SEEDS]


def test_the_top_plane() -> None:
    sketch = make_sketch(Slide("demo", 5))
    assert (TOP_SCALE, sketch.s, sketch.um_per_px) == (8, 8, 128.0)
    tile = sketch.tile(0, 0)
    assert tile.shape == (256, 256, 3) and tile.dtype == np.uint8 and sketch.glass.dtype == np.uint8
    assert min(sketch.glass.tolist()) > 235


def test_every_slide_has_tissue_and_glass(slides: list[Pixels]) -> None:
    for pixels in slides:
        assert 0.03 < float((pixels.astype(int).mean(-1) < 225).mean()) < 0.7


def test_the_rim_of_the_slide_is_clean_glass(slides: list[Pixels]) -> None:
    for seed, pixels in enumerate(slides):
        glass = make_sketch(Slide("demo", seed)).glass
        for rim in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            np.testing.assert_array_equal(rim, np.broadcast_to(glass, rim.shape))


@pytest.mark.parametrize(("col", "row"), [(-1, 0), (0, -1), (2, 0), (0, 2), (2**40, 5), (-(2**40), -3)])
def test_beyond_the_slide_there_is_only_glass(col: int, row: int) -> None:
    sketch = make_sketch(Slide("demo", 5))
    np.testing.assert_array_equal(sketch.tile(col, row), np.broadcast_to(sketch.glass, (256, 256, 3)))


def test_no_section_is_cut_where_its_cell_ends(slides: list[Pixels]) -> None:
    """Cells are 65.536 / 3 and 49.152 / 2 mm: a section that reached over the border would end in a straight line."""
    for seed, pixels in enumerate(slides):
        glass = make_sketch(Slide("demo", seed)).glass.astype(int)
        border = np.concatenate([pixels[:, [170, 341]].reshape(-1, 3), pixels[[191, 192]].reshape(-1, 3)])
        assert int(np.abs(border.astype(int) - glass).max()) == 0, f"seed {seed}"


@pytest.mark.parametrize("slide", [Slide("demo", 5), ENDLESS], ids=lambda slide: slide.name)
def test_tiles_fit_together_amid_tissue(slide: Slide) -> None:
    """At 16 um per pixel, where tiles end within sections: steps across borders are those beside them."""
    far = 2**23 // 2**8 if slide.unbounded else 0
    like = conditioned(replace(slide, organ="spleen"), None, ("spleen",), real=False)
    y, x = thickest((make_sketch(slide, reference=like).tile(far, far).astype(int).mean(-1) < 225).astype(np.float32))
    sketch = make_sketch(slide, 5, like)
    col, row = far * 8 + round(x * 8 / TILE_PX), far * 8 + round(y * 8 / TILE_PX)
    tiles = [[sketch.tile(col + i, row + j) for i in (-1, 0)] for j in (-1, 0)]
    grey = np.vstack([np.hstack(pair) for pair in tiles]).astype(float).mean(-1)
    assert float((grey[192:320, 192:320] < 230).mean()) > 0.5, "the corner of the four tiles is tissue"
    for turned in (grey, grey.T):
        steps = np.abs(np.diff(turned, axis=1)).mean(0)
        beside = np.concatenate([steps[239:255], steps[256:272]])
        assert beside.min() * 0.8 < steps[255] < beside.max() * 1.2


def test_the_same_seed_draws_the_same_sketch() -> None:
    first, again = make_sketch(Slide("demo", 5)), make_sketch(Slide("other", 5))
    again.tile(1, 1)
    np.testing.assert_array_equal(first.tile(0, 0), again.tile(0, 0))


def test_other_seeds_draw_other_sketches(slides: list[Pixels]) -> None:
    for i, a in enumerate(slides):
        for b in slides[:i]:
            assert float((a != b).any(-1).mean()) > 0.05


def test_scales_of_the_sketch_show_the_same_sections() -> None:
    slide = Slide("demo", 5)
    coarse = make_sketch(slide, 9).tile(0, 0)[:192]
    fine = whole(5).astype(float).reshape(192, 2, 256, 2, 3).mean((1, 3))
    assert float(np.abs(coarse - fine).mean()) < 2


def test_small_slides_have_a_section_too() -> None:
    for seed in SEEDS:
        slide = Slide("small", seed, 8192, 8192)
        pixels = make_sketch(slide).tile(0, 0)
        assert float((pixels[:32, :32].astype(int).mean(-1) < 225).mean()) > 0.1, f"seed {seed}"
        outside = np.concatenate([pixels[32:].reshape(-1, 3), pixels[:, 32:].reshape(-1, 3)])
        assert len(np.unique(outside, axis=0)) == 1


def test_sections_are_as_rough_as_real_ones() -> None:
    """Deviations of grey levels within blocks of 2 to 16 px at the topmost plane, the median over organs."""
    real = np.array(json.loads(SECTIONS.read_text("utf-8"))["octaves"])
    found = []
    for seed, organ in enumerate(palettes()):
        drawn = organ_slide(organ, seed)
        found.append(octave_deviations(np.concatenate([drawn.tile(0, 0), drawn.tile(1, 0)], 1)))
    assert np.all(np.abs(np.log(np.nanmedian(found, 0) / real)) < 0.45), (np.nanmedian(found, 0), real)


def test_colours_are_those_of_real_sections() -> None:
    """Each slide takes the colours of one; from some twenty slides on there are many kinds."""
    real = np.concatenate(list(palettes().values()))
    assert real.shape[1:] == (5, 3) and len(real) > 30
    assert np.all(np.diff(real.sum(-1), axis=1) >= 0), "darkest to palest"


def test_an_organ_has_pieces_of_its_own() -> None:
    """Of one seed, another organ lies otherwise on the glass: an artery as rings, a liver biopsy as slivers."""
    drawn = [organ_slide(organ).tile(0, 0) for organ in ("artery", "spleen", "colon")]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert float((one != other).any(-1).mean()) > 0.03


def organ_slide(organ: str, seed: int = 3) -> Sketch:
    slide = Slide("s", seed, organ=organ)
    return make_sketch(slide, reference=conditioned(slide, None, (organ,), real=False))


class Recording:
    """Plain tissue in the darkest colour of its style; notes what it was asked for."""

    fingerprint = "plain"

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, int], str]] = []

    def paint(self, seed: int, place: tuple[int, int], cover: Floats, style: Style) -> Pixels:
        self.asked.append((place, style.organ))
        assert cover.shape == (CANVAS_PX, CANVAS_PX) and float(cover.min()) == 0 and float(cover.max()) == 1
        return np.broadcast_to(style.colours[0], (CANVAS_PX, CANVAS_PX, 3)).astype(np.uint8)


def test_a_section_is_painted_once_and_as_its_organ() -> None:
    slide, fills = Slide("s", 5, organ="skin"), Recording()
    sketch = Sketch(slide, fills, reference=conditioned(slide, None, ("skin",), real=False))
    for _ in range(2):
        for col, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
            sketch.tile(col, row)
    places = [place for place, _ in fills.asked]
    assert len(set(places)) == len(places) > 2
    assert all(organ == "skin" for _, organ in fills.asked)


def test_a_region_is_painted_as_its_own_organ() -> None:
    slide = Slide("s", 5, organ="skin")
    left = Region(0, 0, slide.width_px / 4, slide.height_px / 2, style_of("colon", 5))
    fills = Recording()
    like = conditioned(slide, Reference(None, (left,)), ("skin", "colon"), real=False)
    sketch = Sketch(slide, fills, reference=like)
    plain = Sketch(slide, Recording(), reference=conditioned(slide, None, ("skin", "colon"), real=False))
    pixels, before = sketch.tile(0, 0), plain.tile(0, 0)
    assert {organ for _, organ in fills.asked} == {"skin", "colon"}
    assert (pixels[:, :120] != before[:, :120]).any()
    assert np.array_equal(sketch.tile(1, 0)[:, 64:], plain.tile(1, 0)[:, 64:])


def test_other_fills_are_another_sketch() -> None:
    assert Sketch(DEMO, Recording()).fingerprint != make_sketch(DEMO).fingerprint == make_sketch(DEMO).fingerprint


def test_a_picture_gives_its_colours() -> None:
    rng = np.random.default_rng(1)
    tissue = rng.integers(90, 220, (64, 64, 3)).astype(np.uint8)
    wanted = np.array([[60, 40, 90], [90, 60, 120], [140, 90, 160], [180, 130, 190], [210, 180, 215]], float)
    found = recoloured(tissue, wanted)
    order = np.argsort(found.reshape(-1, 3).sum(1), kind="stable")
    means = [found.reshape(-1, 3)[part].mean(0) for part in np.array_split(order, 5)]
    assert np.abs(np.array(means) - wanted).max() < 25
    glass = np.full((8, 8, 3), GLASS_GREY, np.uint8)
    np.testing.assert_array_equal(recoloured(glass, wanted), glass)

"""Fields painted for measuring, on files that training never saw; `everslide.model.evaluation.runner` measures them.

Octave test: fields of every magnification are painted under their real parent, one octave and four octaves up, and
compared with the real tissue of the same place. Root test: a slide painted from its sketch is compared with real
held-out tissue of each magnification. Agreement: how near the network's children are to their parent before the painter
enforces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from everslide.model.errors import DataError
from everslide.model.evaluation.comparison import SQUARE_PX, Comparison
from everslide.model.evaluation.image_statistics import tissue_share
from everslide.model.geometry import TILE_PX, TOP_SCALE, Rect, TileIndex, WindowIndex, magnification, tiles_touching
from everslide.model.mini.sections import make_sketch
from everslide.model.organs import conditioned
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.pyramid.wavelet import box_mean, merge
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.slide import Slide
from everslide.model.stain import optical_density
from everslide.model.training.prepare import Prepared, plane, real_plane

Pixels = NDArray[np.uint8]
FIELD_PX = 768
"""Side of the real fields of the root test."""
ROOT_FIELD_PX = 512
"""Side of the painted ones, and of fields of planes that no threshold is set for."""
MAX_IMAGES = 4
"""Images that fields of one scale are painted of, at most."""
MAX_COARSE_IMAGES = 2
"""The same for scales that no threshold is set for."""
OCTAVES = (1, 4)
"""How far above the painted fields of the octave tests their real parent lies."""
THRESHOLD_SCALES = range(5)
"""20x to 1.25x: the magnifications that acceptance thresholds are set for."""
CONSISTENCY_OCTAVES = 3
"""Semantic consistency: 20x painted below a real 2.5x parent."""
MIN_PARENT_PX = 8
"""Shortest side of a real plane that anything is painted from."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    seed: of the slides that are painted. places: of the root test. fields: painted of every image at 20x, half as many
    at other magnifications. field_px: their side. neighbours: squares whose nearest training square is searched for,
    among `training_squares` squares.
    """

    seed: int = 7
    places: int = 3
    fields: int = 2
    field_px: int = 1024
    neighbours: int = 96
    training_squares: int = 3000


class MemoryTiles(dict[TileIndex, Pixels]):
    """A tile store that forgets nothing."""

    def put(self, tile: TileIndex, pixels: Pixels) -> None:
        """See `TileStore.put`."""
        self[tile] = pixels


def field_of(painter: Painter, s: int, rect: Rect) -> Pixels:
    """Pixels (rect.height, rect.width, 3) of plane s, put together from whole tiles."""
    tiles = list(tiles_touching(s, rect))
    left, top = min(t.rect.x for t in tiles), min(t.rect.y for t in tiles)
    right, bottom = max(t.rect.right for t in tiles), max(t.rect.bottom for t in tiles)
    canvas = np.empty((bottom - top, right - left, 3), np.uint8)
    for tile in tiles:
        y, x = tile.rect.y - top, tile.rect.x - left
        canvas[y : y + TILE_PX, x : x + TILE_PX] = painter.tile(tile)
    return canvas[rect.y - top : rect.bottom - top, rect.x - left : rect.right - left]


def painter_below(pixels: Pixels, s: int, model: WindowModel, seed: int) -> Painter:
    """A painter below a real picture (H, W, 3) of scale s."""
    width, height = (max(side * 2**s, TILE_PX) for side in (pixels.shape[1], pixels.shape[0]))
    return Painter(Slide("real", seed, width, height), model, MemoryTiles(), ImageTop(pixels, s))


def octave_test(
    folder: Path, images: list[Prepared], model: WindowModel, s: int, octaves: int, plan: Plan
) -> Comparison:
    """Paint fields of plane s of every image from its real plane `octaves` above, where its tissue is densest."""
    title = f"{magnification(s):g}x from real {magnification(s + octaves):g}x"
    out = Comparison(title, same_place=True)
    count = plan.fields if s == 0 else max(1, plan.fields // 2)
    field_px = plan.field_px if s in THRESHOLD_SCALES else min(plan.field_px, ROOT_FIELD_PX)
    for image in tqdm(images, desc=title, unit="image"):
        parent = real_plane(folder, image, s + octaves)
        real = plane(folder, image, s)
        high, wide = (min(a * 2**octaves, b) // 2 * 2 for a, b in zip(parent.shape[:2], real.shape[:2], strict=True))
        painter = painter_below(parent, s + octaves, model, plan.seed)
        for rect in dense_fields(real, Rect(0, 0, wide, high), field_px, count):
            truth = np.array(real[rect.y : rect.bottom, rect.x : rect.right])
            out.add(s, field_of(painter, s, rect), truth, field_of(painter, s + 1, rect.parent()), image.name)
    return out


def spanning(folder: Path, images: list[Prepared], s: int, octaves: int, most: int = MAX_IMAGES) -> list[Prepared]:
    """A few (at most `most`) of the images that show plane s and are large enough for a parent so many octaves above.

    Images of tissue that fills them come first; scenes only below 1.25x.
    """
    found = []
    for image in sorted(images, key=lambda x: x.kind != "field"):
        if image.finest <= s <= image.coarsest and (image.kind == "field" or s not in THRESHOLD_SCALES):
            side = min(plane(folder, image, s).shape[:2])
            if side >> octaves >= MIN_PARENT_PX and side >= SQUARE_PX:
                found.append(image)
    return found[: most if s in THRESHOLD_SCALES else most * MAX_COARSE_IMAGES // MAX_IMAGES]


def dense_fields(pixels: Pixels, area: Rect, field_px: int, count: int) -> list[Rect]:
    """At most `count` rectangles of `area` of a plane (H, W, 3), field_px a side or all there is, on the grid of tiles:
    those with most tissue, none overlapping another."""
    wide, high = min(field_px, area.width), min(field_px, area.height)
    spots = sorted(
        (
            (-tissue_share(pixels[y : y + high : 8, x : x + wide : 8]), y, x)
            for y in range(area.y, area.bottom - high + 1, TILE_PX)
            for x in range(area.x, area.right - wide + 1, TILE_PX)
        ),
    )
    chosen: list[Rect] = []
    for _, y, x in spots:
        rect = Rect(x, y, wide, high)
        if len(chosen) < count and not any(rect.intersection(other) for other in chosen):
            chosen.append(rect)
    return chosen


def sketch_painter(slide: Slide, model: WindowModel) -> Painter:
    """A painter of a slide below its sketch, conditioned by its organ, as the server paints it."""
    like = conditioned(slide, None, dict(model.capabilities.organs), real=False)
    return Painter(slide, model, MemoryTiles(), make_sketch(slide, reference=like), like)


def root_test(
    folder: Path, images: list[Prepared], model: WindowModel, seed: int, places: int, stop: int = 0
) -> Comparison:
    """Paint a slide from its sketch down to plane `stop` at `places` places; real fields are those of `images`."""
    slide = Slide("evaluated", seed)
    painter = sketch_painter(slide, model)
    out = Comparison(f"from the sketch to {magnification(stop):g}x", same_place=False)
    top = field_of(painter, TOP_SCALE, Rect(0, 0, *slide.size_at(TOP_SCALE)))
    for place in tqdm(range(places), desc=out.title, unit="place"):
        rect = _place(top, place, places)
        for s in range(TOP_SCALE - 1, stop - 1, -1):
            area = rect.children()
            rect = _densest_painted(painter, s, area)
            out.add(s, field_of(painter, s, rect), None, field_of(painter, s + 1, rect.parent()))
    for s in range(stop, TOP_SCALE):
        for image in images:
            if image.finest <= s <= image.coarsest:
                pixels = plane(folder, image, s)
                rect = _densest(pixels, Rect(0, 0, pixels.shape[1], pixels.shape[0]))
                out.real.setdefault(s, []).append(np.array(pixels[rect.y : rect.bottom, rect.x : rect.right]))
    return out


def _densest(pixels: Pixels, area: Rect) -> Rect:
    """The square of FIELD_PX (or all there is) of `area` with the most tissue, on even coordinates."""
    area = area.intersection(Rect(0, 0, pixels.shape[1], pixels.shape[0])) or area
    wide, high = (min(FIELD_PX, length // 2 * 2) for length in (area.width, area.height))
    step = max(64, FIELD_PX // 4)
    spots = [
        (tissue_share(pixels[y : y + high : 4, x : x + wide : 4]), -y, -x)
        for y in range(area.y, area.bottom - high + 1, step)
        for x in range(area.x, area.right - wide + 1, step)
    ]
    _, y, x = max(spots)
    return Rect(-x, -y, wide, high)


def _place(top: Pixels, place: int, places: int) -> Rect:
    """A square of the topmost plane full of tissue, another for each `place`."""
    dense = np.argwhere(optical_density(top).mean(-1) > 0.08)
    if not len(dense):
        raise DataError("the sketch of this seed holds no tissue; take another seed")
    y, x = (int(v) for v in dense[(2 * place + 1) * len(dense) // (2 * places)])
    return Rect(x - 64, y - 64, 128, 128)


def _densest_painted(painter: Painter, s: int, area: Rect) -> Rect:
    """The middle of `area`, ROOT_FIELD_PX a side: finer planes are too large to search."""
    wide, high = min(area.width, ROOT_FIELD_PX), min(area.height, ROOT_FIELD_PX)
    return Rect(area.x + (area.width - wide) // 4 * 2, area.y + (area.height - high) // 4 * 2, wide, high)


def agreement_db(model: WindowModel, parent: Pixels, s: int) -> float:
    """PSNR in dB between the top-left window of a parent (H, W, 3) and the box mean of its children of scale s, as the
    network gives them: before the painter enforces the parent."""
    side = model.grid.window_px // 2
    window = np.ascontiguousarray(parent[:side, :side])
    bands = model.bands(
        GenerationContext(5), [WindowIndex(s, 0, 0, model.grid)] * model.batch, np.stack([window] * model.batch)
    )[0]
    child = np.clip(np.floor(merge(window.astype(np.float32), bands) + 0.5), 0, 255).astype(np.uint8)
    error = np.square(box_mean(child).astype(float) - window.astype(float)).mean()
    return float(10 * np.log10(255.0**2 / max(error, 1e-9)))


def seeds(model: WindowModel, parent: Pixels, s: int) -> dict[str, bool]:
    """Whether two seeds paint other pixels under one parent of plane s + 1, and one seed the same bytes twice."""

    def painted(seed: int) -> bytes:
        return painter_below(parent, s + 1, model, seed).tile(TileIndex(s, 0, 0)).tobytes()

    first = painted(1)
    return {"two_seeds_differ": painted(2) != first, "one_seed_repeats": painted(1) == first}

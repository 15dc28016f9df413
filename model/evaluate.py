"""`everslide evaluate`: what a painted slide shows, measured on files that training never saw.

Chain test: a real plane is taken as the topmost one and painted down octave by octave; at every scale the painted
tissue is compared with the real tissue of the same place. Root test: a slide painted from its sketch is compared with
real held-out tissue of each magnification. Agreement: how far the network's unclosed children are from their parent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from everslide.model.denoiser import PARENT_PX, Denoiser
from everslide.model.errors import DataError
from everslide.model.geometry import TILE_PX, Rect, TileIndex, magnification, tiles_touching
from everslide.model.measures import MIN_TISSUE, PATCH_PX, all_patches, ratios, texture, tissue_patches, tissue_share
from everslide.model.painter import Painter
from everslide.model.prepare import Prepared, plane, read_index
from everslide.model.sketch import TOP_SCALE
from everslide.model.slide import Slide
from everslide.model.stain import optical_density
from everslide.model.top import ImageTop
from everslide.model.wavelet import box_mean, merge

Pixels = NDArray[np.uint8]
BOUNDS = (0.8, 1.25)
FIELD_PX = 768
"""Side of the fields that are painted and compared in the chain test."""
ROOT_FIELD_PX = 512
"""The same in the root test."""
MIN_PATCHES = 6
CHAIN_IMAGES = 4
CHAINS = ((4, 0, "field"), (6, 4, "field"), (8, 5, "scene"))
"""(real start, last painted scale, kind of image): 1.25x to 20x, whole sections to 1.25x, scenes to 0.625x."""
Row = dict[str, Any]


class MemoryTiles(dict[TileIndex, Pixels]):
    """A tile store that forgets nothing."""

    def put(self, tile: TileIndex, pixels: Pixels) -> None:
        """See `TileStore.put`."""
        self[tile] = pixels


@dataclass
class Comparison:
    """Painted and real fields by scale, and the plane above each painted field.

    same_place: whether the real fields show the very places of the painted ones, one to one.
    """

    title: str
    same_place: bool
    painted: dict[int, list[Pixels]] = field(default_factory=dict)
    real: dict[int, list[Pixels]] = field(default_factory=dict)
    above: dict[int, list[Pixels]] = field(default_factory=dict)

    def add(self, s: int, painted: Pixels, real: Pixels | None, above: Pixels) -> None:
        """Add one painted field of scale s, the real field of the same place where there is one, and its parent."""
        self.painted.setdefault(s, []).append(painted)
        self.above.setdefault(s, []).append(above)
        if real is not None:
            self.real.setdefault(s, []).append(real)


def field_of(painter: Painter, s: int, rect: Rect) -> Pixels:
    """Pixels of `rect` of plane s, put together from whole tiles."""
    tiles = list(tiles_touching(s, rect))
    left, top = min(t.rect.x for t in tiles), min(t.rect.y for t in tiles)
    right, bottom = max(t.rect.right for t in tiles), max(t.rect.bottom for t in tiles)
    canvas = np.empty((bottom - top, right - left, 3), np.uint8)
    for tile in tiles:
        y, x = tile.rect.y - top, tile.rect.x - left
        canvas[y : y + TILE_PX, x : x + TILE_PX] = painter.tile(tile)
    return canvas[rect.y - top : rect.bottom - top, rect.x - left : rect.right - left]


def chain_test(folder: Path, images: list[Prepared], denoiser: Denoiser, start: int, stop: int) -> Comparison:
    """Paint every image from its real plane `start` down to plane `stop`, where its tissue is densest."""
    title = f"from real {magnification(start):g}x to {magnification(stop):g}x"
    out = Comparison(title, same_place=True)
    for image in tqdm(images, desc=title, unit="image"):
        real = {s: np.array(plane(folder, image, s)) for s in range(stop, start + 1)}
        high, wide = real[start].shape[:2]
        slide = Slide("real", 1, max(wide * 2**start, TILE_PX), max(high * 2**start, TILE_PX))
        painter = Painter(slide, denoiser, MemoryTiles(), ImageTop(real[start], start))
        rect = Rect(0, 0, wide, high)
        for s in range(start - 1, stop - 1, -1):
            rect = _densest(real[s], rect.children())
            truth = real[s][rect.y : rect.bottom, rect.x : rect.right]
            out.add(s, field_of(painter, s, rect), truth, field_of(painter, s + 1, rect.parent()))
    return out


def root_test(
    folder: Path, images: list[Prepared], denoiser: Denoiser, seed: int, places: int, stop: int = 0
) -> Comparison:
    """Paint a slide from its sketch down to plane `stop` at `places` places; real fields are those of `images`."""
    slide = Slide("evaluated", seed)
    painter = Painter(slide, denoiser, MemoryTiles())
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


def agreement_db(denoiser: Denoiser, parent: Pixels, s: int) -> float:
    """PSNR between a parent window and the box mean of its painted children before the exact step, in dB."""
    window = np.ascontiguousarray(parent[:PARENT_PX, :PARENT_PX])
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((denoiser.batch, 9, PARENT_PX, PARENT_PX), np.float32)
    grain = rng.standard_normal((denoiser.batch, 3, PARENT_PX, PARENT_PX), np.float32)
    bands = denoiser.detail(s, np.stack([window] * denoiser.batch), noise, grain)[0]
    child = np.clip(np.floor(merge(window.astype(np.float32), bands) + 0.5), 0, 255).astype(np.uint8)
    error = np.square(box_mean(child).astype(float) - window.astype(float)).mean()
    return float(10 * np.log10(255.0**2 / max(error, 1e-9)))


def rows_of(compared: Comparison) -> list[Row]:
    """One row of figures per scale, coarse to fine; scales with fewer than MIN_PATCHES tissue patches are left out."""
    rows: list[Row] = []
    for s in sorted(compared.painted, reverse=True):
        painted, real = (_patches(compared, which, s) for which in (compared.painted, compared.real))
        if min(len(painted), len(real)) < MIN_PATCHES:
            continue
        a, b = texture(painted), texture(real)
        above = texture([p for pixels in compared.above[s] for p in tissue_patches(pixels, PATCH_PX // 2)])
        row: Row = {"magnification": magnification(s), "patches": [a.patches, b.patches], **ratios(a, b)}
        row["stain_mean_over_real"] = [x / y for x, y in zip(a.stain_mean, b.stain_mean, strict=True)]
        row["stain_mean_over_parent"] = [x / y for x, y in zip(a.stain_mean, above.stain_mean, strict=True)]
        rows.append(row)
    return rows


def _patches(compared: Comparison, which: dict[int, list[Pixels]], s: int) -> list[Pixels]:
    """Tissue patches of a scale; where both fields show the same place, the real one decides what is tissue."""
    if not compared.same_place:
        return [patch for pixels in which.get(s, []) for patch in tissue_patches(pixels)]
    return [
        patch
        for pixels, real in zip(which[s], compared.real[s], strict=True)
        for patch, truth in zip(all_patches(pixels), all_patches(real), strict=True)
        if tissue_share(truth) >= MIN_TISSUE
    ]


def evaluate(folder: Path, denoiser: Denoiser, seed: int, places: int) -> dict[str, Any]:
    """All tests on the held-out images of a prepared folder; figures ready for JSON. Raises DataError."""
    held_out = [image for image in read_index(folder) if image.split == "held-out"]
    chains = []
    for start, stop, kind in CHAINS:
        images = [x for x in held_out if x.kind == kind and x.finest <= stop and x.coarsest >= start]
        if images:
            chains.append(chain_test(folder, images[:CHAIN_IMAGES], denoiser, start, stop))
    if not chains:
        raise DataError(f"{folder}: no held-out image spans one of the chains {CHAINS}; hold out a 20x image")
    agreement = {
        f"{magnification(s):g}x": agreement_db(denoiser, pixels, s)
        for chain in chains
        for s, (pixels, *_) in chain.above.items()
        if min(pixels.shape[:2]) >= PARENT_PX
    }
    started, painter = time.perf_counter(), Painter(Slide("timed", seed), denoiser, MemoryTiles())
    painter.tile(TileIndex(0, 200, 150))
    cold, seconds = painter.counts.windows, time.perf_counter() - started
    panning = []
    for col in range(199, 209):  # the row above, so that the next one is what a viewer meets while panning
        painter.tile(TileIndex(0, col, 150))
    for col in range(200, 209):
        started, before = time.perf_counter(), painter.counts.windows
        painter.tile(TileIndex(0, col, 151))
        panning.append((time.perf_counter() - started, painter.counts.windows - before))
    return {
        "weights": denoiser.fingerprint[:16],
        "calls_per_window": denoiser.calls_per_window,
        "held_out": sorted(image.name for image in held_out if image.kind == "field"),
        "tests": [{"title": x.title, "rows": rows_of(x)} for x in chains]
        + [{"title": (root := root_test(folder, held_out, denoiser, seed, places)).title, "rows": rows_of(root)}],
        "agreement_db": agreement,
        "cold_deep_link": {"windows": cold, "seconds": seconds},
        "panning": {
            "seconds_per_tile": float(np.median([x for x, _ in panning])),
            "windows_per_tile": float(np.mean([x for _, x in panning])),
        },
    }

"""Sections of organs for measuring: real ones of a prepared folder, and painted ones of several seeds, by scale."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from everslide.model.errors import DataError
from everslide.model.evaluation.comparison import SQUARE_PX
from everslide.model.evaluation.fields import field_of, sketch_painter
from everslide.model.evaluation.image_statistics import tissue_share
from everslide.model.geometry import TOP_SCALE, Rect, mpp
from everslide.model.pyramid.layout import CANVAS_PX
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.slide import Slide
from everslide.model.training.organs import case_of, organ_of
from everslide.model.training.prepare import Prepared, plane, read_index, real_plane
from everslide.model.training.sections import COARSE_ENOUGH, LEAST_SIDE_PX

Pixels = NDArray[np.uint8]
FIELD_PX = {8: CANVAS_PX, 7: 2 * CANVAS_PX, 6: 4 * CANVAS_PX, 5: 512}
"""Sides of the fields by scale (128, 64, 32, 16 um/px): a whole canvas, and its densest part at the finest."""
STEP_PX = 32
"""Fields lie on a grid of so many pixels of the topmost plane: whole tiles of the finest scale."""
LEAST_TISSUE = 0.2
"""Least share of tissue in a square; of a section without such a square, as a biopsy, the one with most is taken."""
MOST_SQUARES = 6
"""Squares of one section and scale, at most."""


@dataclass(frozen=True, eq=False)
class Section:
    """One section. whole: all of it at 128 um/px (H, W, 3). fields: by scale, the part with most tissue (H, W, 3).
    case: "" for painted ones. trained: whether the painter was trained on it; False for painted ones."""

    organ: str
    name: str
    whole: Pixels
    fields: dict[int, Pixels]
    case: str = ""
    trained: bool = False


def real_sections(folder: Path) -> list[Section]:
    """Every whole section of a prepared folder whose organ is known, of all splits. Raises DataError for none."""
    found = []
    for image in read_index(folder):
        organ = organ_of(image.organ)
        if organ and image.kind == "field" and image.finest >= COARSE_ENOUGH:
            whole = real_plane(folder, image, TOP_SCALE)
            if min(whole.shape[:2]) >= LEAST_SIDE_PX:
                fields = _real_fields(folder, image, whole)
                found.append(Section(organ, image.name, whole, fields, case_of(image), image.split == "train"))
    if not found:
        raise DataError(
            f"{folder}: no image is a whole section of a known organ; prepare some of 4 um per pixel or coarser, "
            "whose organ stands in the manifest"
        )
    return found


def _real_fields(folder: Path, image: Prepared, whole: Pixels) -> dict[int, Pixels]:
    out = {}
    for s, side in FIELD_PX.items():
        if s >= image.finest:
            pixels = plane(folder, image, s) if s <= image.coarsest else real_plane(folder, image, s)
            rect = densest(whole, s, side)
            out[s] = np.array(pixels[rect.y : rect.bottom, rect.x : rect.right])
    return out


def densest(whole: Pixels, s: int, side: int) -> Rect:
    """The part of plane s, `side` px a side or all there is, with the most tissue. whole: the plane at TOP_SCALE."""
    finer = 2 ** (TOP_SCALE - s)
    high, wide = (min(side // finer, length) for length in whole.shape[:2])
    spots = [
        (tissue_share(whole[y : y + high, x : x + wide]), -y, -x)
        for y in range(0, whole.shape[0] - high + 1, STEP_PX)
        for x in range(0, whole.shape[1] - wide + 1, STEP_PX)
    ]
    _, y, x = max(spots)
    return Rect(-x * finer, -y * finer, wide * finer, high * finer)


def painted_sections(model: WindowModel, organ: str, seeds: Iterable[int]) -> list[Section]:
    """A section of the organ for each seed, painted from its sketch. Raises SlideError where the model knows none."""
    out = []
    side = CANVAS_PX << TOP_SCALE
    for seed in tqdm(list(seeds), desc=organ, unit="section", leave=False):
        slide = Slide("evaluated", seed, side, side, model=model.name, organ=organ)
        painter = sketch_painter(slide, model)
        whole = field_of(painter, TOP_SCALE, Rect(0, 0, CANVAS_PX, CANVAS_PX))
        fields = {s: field_of(painter, s, densest(whole, s, px)) for s, px in FIELD_PX.items()}
        out.append(Section(organ, f"seed-{seed}", whole, fields))
    return out


def squares(field: Pixels) -> list[Pixels]:
    """At most MOST_SQUARES squares (128, 128, 3) of a field (H, W, 3), those with most tissue first; a smaller field is
    padded with its own glass."""
    field = _on_glass(field)
    found = [
        field[y : y + SQUARE_PX, x : x + SQUARE_PX] for y in _places(field.shape[0]) for x in _places(field.shape[1])
    ]
    shares = [tissue_share(square) for square in found]
    order = [int(i) for i in np.argsort([-share for share in shares], kind="stable")]
    full = [i for i in order if shares[i] >= LEAST_TISSUE]
    return [found[i] for i in (full or order[:1])[:MOST_SQUARES]]


def _places(length: int) -> list[int]:
    """Where squares begin along a side, so that they cover all of it, half overlapping."""
    last = length - SQUARE_PX
    count = -(-last // (SQUARE_PX // 2))
    return sorted({round(last * i / max(count, 1)) for i in range(count + 1)})


def _on_glass(field: Pixels) -> Pixels:
    """A field of SQUARE_PX a side at least, in the middle of its own glass."""
    rows, cols = (max(0, SQUARE_PX - side) for side in field.shape[:2])
    if not (rows or cols):
        return field
    out = np.empty((field.shape[0] + rows, field.shape[1] + cols, 3), np.uint8)
    out[:] = np.percentile(field.reshape(-1, 3), 95, axis=0).astype(np.uint8)
    out[rows // 2 : rows // 2 + field.shape[0], cols // 2 : cols // 2 + field.shape[1]] = field
    return out


def write_fields(out: Path, kind: str, sections: Sequence[Section]) -> None:
    """Write OUT/KIND/ORGAN/32um/NAME.png and so on, for measuring by other tools. kind: "painted" or "real"."""
    for section in sections:
        for s, field in section.fields.items():
            folder = out / kind / re.sub(r"[^\w-]+", "_", section.organ) / f"{mpp(s):g}um"
            folder.mkdir(parents=True, exist_ok=True)
            told = PngInfo()
            if kind == "painted":
                told.add_text("Description", f"SYNTHETIC - not for diagnosis: {section.organ}, {section.name}")
            Image.fromarray(field).save(folder / f"{section.name}.png", pnginfo=told)

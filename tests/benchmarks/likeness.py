"""How much a slide painted like a reference resembles it, on the 20x images of a prepared folder.

    python -m tests.benchmarks.likeness PREPARED [WEIGHTS]

A slide is painted like each of the images, from its sketch to 20x at a few places full of tissue, and its patches are
seen by the encoder. own: how many of them lie nearest to the mean of their own reference among all of them. own, stain
taken out: the same with the means of each slide and of each image moved to one colour before they are seen: only
texture distinguishes them. plain: share of the patches of a slide without reference that lie nearest to that image.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everslide.model.evaluation.fields import MemoryTiles, field_of
from everslide.model.geometry import TOP_SCALE, Rect, mpp
from everslide.model.mini.model import SHIPPED_WEIGHTS, MiniModel, load_mini
from everslide.model.mini.patch_encoder import PATCH_PX, PatchEncoder, load_encoder
from everslide.model.mini.sections import make_sketch
from everslide.model.mini.style_extraction import style_of_picture
from everslide.model.pyramid.painter import Painter
from everslide.model.slide import Slide
from everslide.model.stain import optical_density
from everslide.model.style_reference import Reference
from everslide.model.training.prepare import plane, read_index

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
PLACES, SIDE = 2, 4
"""Places of a slide, each of so many patches a side; of an image as many patches in all."""


def patches(field: Pixels) -> Pixels:
    """The patches (n, PATCH_PX, PATCH_PX, 3) of a field that are tissue for the most part."""
    rows, columns = (side // PATCH_PX for side in field.shape[:2])
    cut = field[: rows * PATCH_PX, : columns * PATCH_PX].reshape(rows, PATCH_PX, columns, PATCH_PX, 3)
    flat = cut.swapaxes(1, 2).reshape(-1, PATCH_PX, PATCH_PX, 3)
    return np.asarray(flat[(optical_density(flat).mean(-1) > 0.08).mean((1, 2)) > 0.7])


def painted(model: MiniModel, reference: Reference | None) -> Pixels:
    """Patches of a slide at places full of tissue."""
    slide = Slide("like", 5)
    sketch = make_sketch(slide, reference=reference)
    painter = Painter(slide, model, MemoryTiles(), sketch, reference)
    top = field_of(painter, TOP_SCALE, Rect(0, 0, *slide.size_at(TOP_SCALE)))
    dense = np.argwhere(optical_density(top).mean(-1) > 0.15)
    zoom, side = round(mpp(TOP_SCALE) / mpp(0)), SIDE * PATCH_PX
    found = []
    for place in range(PLACES):
        row, col = (int(v) for v in dense[(2 * place + 1) * len(dense) // (2 * PLACES)])
        found.append(patches(field_of(painter, 0, Rect(col * zoom, row * zoom, side, side))))
    return np.concatenate(found)


def alike(cut: Pixels) -> Pixels:
    """Patches with the mean and deviation of each colour that all slides are given."""
    values = cut.astype(np.float32)
    mean, deviation = values.mean((0, 1, 2)), values.std((0, 1, 2))
    return np.asarray(((values - mean) / deviation * 30 + 180).clip(0, 255), np.uint8)


def nearest(encoder: PatchEncoder, cut: Pixels, means: Floats) -> NDArray[np.int64]:
    """Which of the means (n, E) each patch lies nearest to."""
    return np.asarray(np.square(encoder.embed(cut)[:, None] - means[None]).sum(-1).argmin(1))


def main(prepared: Path, weights: Path) -> None:
    encoder, model = load_encoder(), load_mini(weights)
    images = [image for image in read_index(prepared) if image.finest == 0 and image.kind == "field"]
    rng = np.random.default_rng(7)
    real = []
    for image in images:
        cut = patches(np.asarray(plane(prepared, image, 0)))
        real.append(cut[rng.permutation(len(cut))[: PLACES * SIDE * SIDE]])
    means = np.stack([encoder.embed(cut).mean(0) for cut in real])
    bare = np.stack([encoder.embed(alike(cut)).mean(0) for cut in real])
    plain = nearest(encoder, painted(model, None), means)
    print(f"by chance {1 / len(images):.2f}\n")
    print("| reference | split | own | own, stain taken out | plain |\n|---|---|---|---|---|")
    for i, image in enumerate(images):
        like = painted(model, Reference(style_of_picture(np.asarray(plane(prepared, image, 0)), mpp(0), encoder)))
        own, texture = nearest(encoder, like, means) == i, nearest(encoder, alike(like), bare) == i
        row = f"{own.mean():.2f} | {texture.mean():.2f} | {(plain == i).mean():.2f}"
        print(f"| {image.name} | {image.split} | {row} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else SHIPPED_WEIGHTS)

"""What a picture looks like: prototypes of the embeddings of its cells, its colours, and what it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from everslide.model.conditions.cells import CELL_PX
from everslide.model.conditions.encoder import PATCH_PX, PatchEncoder, load_encoder
from everslide.model.conditions.reference import COLOURS, Look
from everslide.model.errors import ImageError
from everslide.model.geometry import BASE_MPP
from everslide.model.make_up import make_up_of
from everslide.model.picture import read_rgb
from everslide.model.stain import optical_density

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
PROTOTYPES = 12
"""At most so many kinds of cell are kept."""
COARSEST_UM_PER_PX = 1.3
"""A coarser picture does not show what the encoder looks at."""
MIN_TISSUE = 0.5
LARGEST_PX = 4096
"""At most this much of a picture's side is looked at."""


def look_of(pixels: Pixels, um_per_px: float, encoder: PatchEncoder | None = None) -> Look:
    """The look of a picture (H, W, 3) uint8 of so many um per pixel. Raises ImageError where it shows no tissue."""
    if not 0.1 <= um_per_px <= COARSEST_UM_PER_PX:
        raise ImageError(
            f"a reference of {um_per_px:g} um per pixel: expected 0.1 to {COARSEST_UM_PER_PX} (nuclei must be seen)"
        )
    seen = pixels[:LARGEST_PX, :LARGEST_PX]
    scale = um_per_px / BASE_MPP
    size = (round(seen.shape[1] * scale), round(seen.shape[0] * scale))
    if min(size) < PATCH_PX:
        raise ImageError(
            f"a reference of {size[0]} x {size[1]} px at 20x: expected at least {PATCH_PX} a side; take a larger one"
        )
    if abs(scale - 1) > 0.02:
        seen = np.asarray(Image.fromarray(seen).resize(size, Image.Resampling.LANCZOS))
    lattice = (encoder or load_encoder()).embedding_map(seen)
    rows, columns = (side // CELL_PX for side in seen.shape[:2])
    dense = optical_density(seen[: rows * CELL_PX, : columns * CELL_PX]).mean(-1) > 0.06
    tissue = dense.reshape(rows, CELL_PX, columns, CELL_PX).mean((1, 3)) >= MIN_TISSUE
    if not tissue.any():
        raise ImageError("a reference without tissue: expected a picture that is stained tissue for the most part")
    found = lattice[:rows, :columns][tissue]
    blocks = (
        seen[: rows * CELL_PX, : columns * CELL_PX].reshape(rows, CELL_PX, columns, CELL_PX, 3).mean((1, 3))[tissue]
    )
    return Look(_prototypes(found), _palette(blocks), make_up_of(seen))


def read_look(path: Path, um_per_px: float) -> Look:
    """The look of a picture in a file. Raises ImageError."""
    return look_of(read_rgb(path), um_per_px)


def _prototypes(found: Floats, rounds: int = 12) -> Floats:
    """At most PROTOTYPES means of the embeddings (n, E): k-means from seeds that lie far apart."""
    chosen = [found[int(np.square(found - found.mean(0)).sum(1).argmin())]]
    while len(chosen) < min(PROTOTYPES, len(found)):
        distance = np.square(found[:, None] - np.array(chosen)[None]).sum(-1).min(1)
        if distance.max() <= 1e-9:
            break
        chosen.append(found[int(distance.argmax())])
    centres = np.array(chosen)
    for _ in range(rounds):
        nearest = np.square(found[:, None] - centres[None]).sum(-1).argmin(1)
        centres = np.stack(
            [found[nearest == i].mean(0) if (nearest == i).any() else centres[i] for i in range(len(centres))]
        )
    return np.round(centres, 4).astype(np.float32)


def _palette(blocks: NDArray[np.floating[Any]]) -> Floats:
    """Colours (COLOURS, 3) of tissue from blocks (n, 3): means of equal shares of them, darkest to palest."""
    ordered = blocks[np.argsort(blocks.sum(-1), kind="stable")]
    parts = np.array_split(ordered, COLOURS) if len(ordered) >= COLOURS else [ordered] * COLOURS
    return np.round(np.stack([part.mean(0) for part in parts]), 2).astype(np.float32)

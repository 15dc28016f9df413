"""The style of a picture: the mean embedding of its patches of tissue, and the colours of its tissue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from everslide.model.errors import ImageError
from everslide.model.geometry import BASE_MPP
from everslide.model.image_io.user_picture import read_rgb
from everslide.model.mini.patch_encoder import PATCH_PX, PatchEncoder, load_encoder
from everslide.model.stain import optical_density
from everslide.model.style_reference import COLOURS, Style

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
COARSEST_UM_PER_PX = 1.3
"""In a coarser picture nuclei cannot be seen, and the encoder needs them."""
BLOCK_PX = 64
"""Side in 20x pixels of the squares whose mean colours a palette is made of."""
TISSUE_DENSITY, MIN_TISSUE = 0.06, 0.5
"""Mean optical density above which a pixel is tissue, and the share of a patch or block that must be tissue."""
LARGEST_PX = 4096
"""Only the top-left LARGEST_PX x LARGEST_PX pixels of a picture are used."""
MOST_PATCHES = 256
"""At most so many patches are embedded, evenly spread over the picture."""


def style_of_picture(pixels: Pixels, um_per_px: float, encoder: PatchEncoder | None = None) -> Style:
    """The style of a picture (H, W, 3) uint8 of `um_per_px` um per pixel, 0.1 to COARSEST_UM_PER_PX.

    encoder: the shipped one by default. Raises ImageError where it is too small or too coarse, or shows no tissue.
    """
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
    patches, blocks = tissue_squares(seen, PATCH_PX), tissue_squares(seen, BLOCK_PX)
    if not len(patches) or not len(blocks):
        raise ImageError("a reference without tissue: expected a picture that is stained tissue for the most part")
    return Style(mean_embedding(patches, encoder or load_encoder()), _palette(blocks.mean((1, 2))))


def read_style(path: Path, um_per_px: float) -> Style:
    """`style_of_picture` of a file. Raises ImageError."""
    return style_of_picture(read_rgb(path), um_per_px)


def tissue_squares(pixels: Pixels, side: int) -> Pixels:
    """The squares (n, side, side, 3) of a picture (H, W, 3) uint8 that are mostly tissue.

    Squares do not overlap; they begin at the top-left corner, and what is left at the other edges is not used.
    """
    rows, columns = (length // side for length in pixels.shape[:2])
    squares = (
        pixels[: rows * side, : columns * side]
        .reshape(rows, side, columns, side, 3)
        .swapaxes(1, 2)
        .reshape(-1, side, side, 3)
    )
    share = (optical_density(squares[:, ::4, ::4]).mean(-1) > TISSUE_DENSITY).mean((1, 2))
    return np.asarray(squares[share >= MIN_TISSUE])


def mean_embedding(patches: Pixels, encoder: PatchEncoder, most: int = MOST_PATCHES) -> Floats:
    """The mean embedding (embedding,) float32 of 20x patches (n, PATCH_PX, PATCH_PX, 3) uint8, n > 0, or of `most` of
    them, evenly chosen."""
    chosen = patches[:: -(-len(patches) // most)]
    return np.asarray(np.round(encoder.embed(chosen).mean(0), 4), np.float32)


def _palette(blocks: NDArray[np.floating[Any]]) -> Floats:
    """Colours (COLOURS, 3) of tissue from blocks (n, 3): means of equal shares of them, darkest to palest."""
    ordered = blocks[np.argsort(blocks.sum(-1), kind="stable")]
    parts = np.array_split(ordered, COLOURS) if len(ordered) >= COLOURS else [ordered] * COLOURS
    return np.round(np.stack([part.mean(0) for part in parts]), 2).astype(np.float32)

"""Previews shown until a tile is painted: its nearest cached ancestor, enlarged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from everslide.model.geometry import TILE_PX, TileIndex
from everslide.server.encode import Pixels
from everslide.server.pixels import PixelTiles

GLASS_RGB = (243, 242, 243)
"""Colour of a preview when nothing at all is cached."""


@dataclass(frozen=True)
class Preview:
    """A stand-in for a tile, (256, 256, 3), and the tile that it was enlarged from; None: plain glass."""

    pixels: Pixels
    ancestor: TileIndex | None


def preview(tiles: PixelTiles, tile: TileIndex, max_scale: int) -> Preview:
    """`tile` enlarged from its nearest cached ancestor of scale <= max_scale; plain glass where none is cached."""
    ancestor = tile
    while ancestor.s < max_scale:
        ancestor = ancestor.parent
        pixels = tiles.get(ancestor)
        if pixels is not None:
            return Preview(_enlarge(pixels, tile, ancestor), ancestor)
    return Preview(np.full((TILE_PX, TILE_PX, 3), GLASS_RGB, np.uint8), None)


def _enlarge(pixels: Pixels, tile: TileIndex, ancestor: TileIndex) -> Pixels:
    """The part of `ancestor` that `tile` covers, as large as a tile."""
    per_side = 2 ** (ancestor.s - tile.s)
    side = TILE_PX / per_side  # pixels of the ancestor, below 1 from 9 scales up on
    left = (tile.col - ancestor.col * per_side) * side
    top = (tile.row - ancestor.row * per_side) * side
    image = Image.fromarray(pixels)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((TILE_PX, TILE_PX), Image.Resampling.BILINEAR, box=box))

"""Rectangles of a level, assembled from tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from everslide.model.geometry import TILE_PX, Rect
from everslide.server.deepzoom import TileAddress
from everslide.server.encode import Pixels
from everslide.server.errors import TooLargeError
from everslide.server.tiles import ServedSlide, TileService


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises TooLargeError where a region has more pixels than one request may read."""
    if width * height > max_pixels:
        raise TooLargeError(
            f"at most {max_pixels} pixels",
            f"{width} x {height} = {width * height}",
            "ask for less, or for a coarser level",
        )


def read_region(
    service: TileService, slide: ServedSlide, level: int, z_rect: Rect, gone: Callable[[], bool], viewer: str = ""
) -> Pixels:
    """The pixels (height, width, 3) uint8 of a rectangle of a level, painted where needed, one tile after the other.

    z_rect: in pixels of the level, on the slide. Raises what `TileService.pixels` raises.
    """
    out = np.empty((z_rect.height, z_rect.width, 3), np.uint8)
    for row in range(z_rect.y // TILE_PX, (z_rect.bottom - 1) // TILE_PX + 1):
        for col in range(z_rect.x // TILE_PX, (z_rect.right - 1) // TILE_PX + 1):
            tile = Rect(col * TILE_PX, row * TILE_PX, TILE_PX, TILE_PX)
            part = tile.intersection(z_rect)
            assert part is not None
            pixels = service.pixels(slide, TileAddress(level, col, row), gone, viewer)
            out[part.y - z_rect.y : part.bottom - z_rect.y, part.x - z_rect.x : part.right - z_rect.x] = pixels[
                part.y - tile.y : part.bottom - tile.y, part.x - tile.x : part.right - tile.x
            ]
    return out

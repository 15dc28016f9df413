"""Viewports that viewers post, and the urgency of a tile for them."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from everslide.model.geometry import TILE_PX
from everslide.server.deepzoom import TileAddress

REMEMBERED_VIEWPORTS = 1024
LIFETIME_SECONDS = 600.0
"""A viewport that was not posted again for so long is ignored."""
MARGIN = 0.5
"""Tiles within this share of the viewport's size around it are kept in the queue: the viewer may be on its way."""


@dataclass(frozen=True)
class Viewport:
    """What a viewer shows of a slide: the Deep Zoom level it draws, and a rectangle in 20x pixels."""

    level: int
    l0_x: float
    l0_y: float
    l0_width: float
    l0_height: float

    def meets(self, tile: L0Tile, margin: float = 0.0) -> bool:
        """Whether the tile and the viewport, grown on every side by a share of its size, have an area in common."""
        dx, dy = self.l0_width * margin, self.l0_height * margin
        return (
            tile.l0_x < self.l0_x + self.l0_width + dx
            and tile.l0_x + tile.l0_side > self.l0_x - dx
            and tile.l0_y < self.l0_y + self.l0_height + dy
            and tile.l0_y + tile.l0_side > self.l0_y - dy
        )

    def distance(self, tile: L0Tile) -> float:
        """20x pixels from the viewport's centre to the tile's, in units of the tile's side."""
        dx = tile.l0_x + tile.l0_side / 2 - (self.l0_x + self.l0_width / 2)
        dy = tile.l0_y + tile.l0_side / 2 - (self.l0_y + self.l0_height / 2)
        return math.hypot(dx, dy) / tile.l0_side


@dataclass(frozen=True)
class L0Tile:
    """A tile's place in 20x pixels."""

    level: int
    l0_x: int
    l0_y: int
    l0_side: int


def l0_tile(address: TileAddress, s: int) -> L0Tile:
    """address: of a tile of scale s."""
    side = TILE_PX << s
    return L0Tile(address.level, address.col * side, address.row * side, side)


@dataclass(frozen=True, order=True)
class Urgency:
    """How soon a tile should be painted for a viewer; the smallest first. distance: from the centre, in tiles."""

    hidden: bool
    distance: float


SEEN = Urgency(False, 0.0)
"""For viewers that posted no viewport."""


class Viewports:
    """The latest viewport of every viewer on every slide, for a while. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._posted: OrderedDict[tuple[str, str], tuple[float, Viewport]] = OrderedDict()

    def post(self, viewer: str, slide: str, viewport: Viewport) -> None:
        """Keep a viewer's latest viewport on a slide, in place of the one before."""
        with self._lock:
            self._posted[viewer, slide] = self._clock(), viewport
            self._posted.move_to_end((viewer, slide))
            while len(self._posted) > REMEMBERED_VIEWPORTS:
                self._posted.popitem(last=False)

    def of(self, viewer: str, slide: str) -> Viewport | None:
        """A viewer's latest viewport on a slide; None where there is none, or it is too old."""
        with self._lock:
            posted = self._posted.get((viewer, slide))
        return posted[1] if posted is not None and self._clock() - posted[0] < LIFETIME_SECONDS else None

    def urgency(self, viewer: str, slide: str, tile: L0Tile) -> Urgency:
        """How soon a tile should be painted for a viewer."""
        viewport = self.of(viewer, slide)
        if viewport is None:
            return SEEN
        seen = tile.level <= viewport.level and viewport.meets(tile)
        return Urgency(not seen, viewport.distance(tile))

    def wanted(self, viewer: str, slide: str, tile: L0Tile) -> bool:
        """Whether a requested tile is still of use: in or near the view, at most one level finer than is drawn."""
        viewport = self.of(viewer, slide)
        return viewport is None or (tile.level <= viewport.level + 1 and viewport.meets(tile, MARGIN))

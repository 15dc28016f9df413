"""Prediction of the tiles that will be requested next: ahead of a moving view, around recent views, and overviews.

It only lists tiles: `everslide.server.idle_painting` paints them while the server is idle.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from everslide.model.geometry import TILE_PX
from everslide.server.deepzoom import DeepZoom, TileAddress
from everslide.server.viewports import Viewport

REMEMBERED_LOOKS = 16
"""Number of views whose surroundings are painted, the latest first."""
LOOK_SECONDS = 4.0
"""The view of a viewer that posts no viewport: the tiles that it requested in so many seconds before the latest one."""
STRIPS = 6
"""Rows or columns of tiles ahead of a movement."""
MOST_AHEAD = 24
"""Tiles ahead of a movement, whole rows or columns, at least one."""
MOST_IN_VIEW = 96
"""A view of more tiles is not that of a screen: nothing is painted around it."""
MAP_LEVELS, OVERVIEW_LEVELS = 2, 2
"""Levels of a bounded slide that are painted without being asked for: above its coarsest magnification, for the small
map and the whole slide on a screen, and from that magnification down."""
ENDLESS_SCALE, ENDLESS_VIEW = 4, (8, 6)
"""Where a slide without an end opens, in its middle, and how many tiles of it."""


@dataclass(frozen=True)
class Guess:
    """A tile of a slide that may be asked for."""

    slide: str
    address: TileAddress


@dataclass(frozen=True)
class _Box:
    """Tiles left .. right, top .. bottom of a level, all included."""

    level: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def count(self) -> int:
        return (self.right - self.left + 1) * (self.bottom - self.top + 1)

    def grown(self, by: int) -> _Box:
        return _Box(self.level, self.left - by, self.top - by, self.right + by, self.bottom + by)

    def parents(self) -> _Box:
        return _Box(self.level - 1, self.left // 2, self.top // 2, self.right // 2, self.bottom // 2)

    def moved(self, cols: int, rows: int) -> _Box:
        return _Box(self.level, self.left + cols, self.top + rows, self.right + cols, self.bottom + rows)

    def tiles(self) -> Iterator[TileAddress]:
        for row in range(self.top, self.bottom + 1):
            for col in range(self.left, self.right + 1):
                yield TileAddress(self.level, col, row)


@dataclass
class _Look:
    """What a viewer looks at: the viewport it posted, else its latest tiles. cols, rows: -1, 0 or 1, where it goes."""

    slide: str
    box: _Box
    cols: int = 0
    rows: int = 0
    posted: bool = False
    asked: deque[tuple[float, TileAddress]] = field(default_factory=lambda: deque(maxlen=64))


class Foresight:
    """Remembers what viewers look at, and predicts tiles. changed: called when there may be new guesses. Safe to use
    from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._looks: OrderedDict[tuple[str, str], _Look] = OrderedDict()
        self._overviews: dict[str, DeepZoom] = {}
        self.changed: Callable[[], None] = lambda: None

    def begin_with(self, slide: str, zoom: DeepZoom) -> None:
        """Guess that somebody will open the slide."""
        with self._lock:
            self._overviews[slide] = zoom
        self.changed()

    def asked(self, viewer: str, slide: str, address: TileAddress) -> None:
        """Record that a viewer requested a tile."""
        now = self._clock()
        with self._lock:
            look = self._looks.get((viewer, slide))
            if look is not None and look.posted:
                return
            if look is None or look.box.level != address.level:
                look = self._looks[viewer, slide] = _Look(slide, _Box(address.level, *(address.col, address.row) * 2))
            while look.asked and look.asked[0][0] < now - LOOK_SECONDS:
                look.asked.popleft()
            before = [tile for _, tile in look.asked if tile != address]
            if before:
                look.cols, look.rows = _direction(
                    address.col - sum(tile.col for tile in before) / len(before),
                    address.row - sum(tile.row for tile in before) / len(before),
                )
            look.asked.append((now, address))
            cols, rows = ([getattr(tile, side) for _, tile in look.asked] for side in ("col", "row"))
            look.box = _Box(address.level, min(cols), min(rows), max(cols), max(rows))
            self._freshen(viewer, slide)
        self.changed()

    def looked(self, viewer: str, slide: str, zoom: DeepZoom, viewport: Viewport) -> None:
        """Record a viewport that a viewer posted."""
        level = max(zoom.min_level, min(viewport.level, zoom.max_level))
        side = TILE_PX << zoom.scale(level)
        left, top = (int(edge // side) for edge in (viewport.l0_x, viewport.l0_y))
        right, bottom = (
            int(-(-end // side)) - 1 for end in (viewport.l0_x + viewport.l0_width, viewport.l0_y + viewport.l0_height)
        )
        box = _Box(level, left, top, max(left, right), max(top, bottom))
        with self._lock:
            before = self._looks.get((viewer, slide))
            look = self._looks[viewer, slide] = _Look(slide, box, posted=True)
            if before is not None and before.box.level == level:
                moved = (box.left - before.box.left, box.top - before.box.top)
                look.cols, look.rows = _direction(*moved) if any(moved) else (before.cols, before.rows)
            self._freshen(viewer, slide)
        self.changed()

    def guesses(self) -> Iterator[Guess]:
        """Predicted tiles, the likeliest first. Some may lie outside their slide."""
        with self._lock:
            looks = [_Look(look.slide, look.box, look.cols, look.rows) for look in reversed(self._looks.values())]
            overviews = dict(self._overviews)
        for part in (_ahead, _around):
            for look in looks:
                if look.box.count <= MOST_IN_VIEW:
                    for address in part(look):
                        yield Guess(look.slide, address)
        for slide, zoom in overviews.items():
            for address in _overview(zoom):
                yield Guess(slide, address)

    def _freshen(self, viewer: str, slide: str) -> None:
        self._looks.move_to_end((viewer, slide))
        while len(self._looks) > REMEMBERED_LOOKS:
            self._looks.popitem(last=False)


def _direction(cols: float, rows: float) -> tuple[int, int]:
    """A movement in tiles -> the axis along which it goes, or both where it goes aslant."""
    across, down = abs(cols), abs(rows)
    most = max(across, down)
    return (
        (cols > 0) - (cols < 0) if across > 0.4 * most else 0,
        (rows > 0) - (rows < 0) if down > 0.4 * most else 0,
    )


def _ahead(look: _Look) -> Iterator[TileAddress]:
    """Strips of tiles that come into view if the movement goes on."""
    if not (look.cols or look.rows):
        return
    seen, count = set(look.box.tiles()), 0
    for step in range(1, STRIPS + 1):
        strip = [tile for tile in look.box.moved(step * look.cols, step * look.rows).tiles() if tile not in seen]
        if count and count + len(strip) > MOST_AHEAD:
            return
        seen.update(strip)
        count += len(strip)
        yield from strip


def _around(look: _Look) -> Iterator[TileAddress]:
    """What is in view, a ring of one tile about it, and the tiles above for who zooms out."""
    ring = look.box.grown(1)
    yield from dict.fromkeys(itertools.chain(look.box.tiles(), ring.tiles(), ring.parents().tiles()))


def _overview(zoom: DeepZoom) -> Iterator[TileAddress]:
    """Where a slide opens."""
    if zoom.ends:
        first, end = max(0, zoom.root_level - MAP_LEVELS), min(zoom.root_level + OVERVIEW_LEVELS, zoom.max_level + 1)
        for level in range(first, end):
            cols, rows = zoom.grid(level)
            yield from _Box(level, 0, 0, cols - 1, rows - 1).tiles()
    else:
        level = max(zoom.min_level, zoom.level(ENDLESS_SCALE))
        (cols, rows), (across, down) = zoom.grid(level), ENDLESS_VIEW
        left, top = (cols - across) // 2, (rows - down) // 2
        yield from _Box(level, left, top, left + across - 1, top + down - 1).tiles()

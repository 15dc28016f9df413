"""Where sections lie on the glass, and their silhouettes. Keyed by place: any part of an endless slide can be made
without the rest.

The slide is divided into cells. A cell holds the pieces of one case on a square canvas: a resection as a slab, a core
biopsy as a sliver, several biopsies or levels side by side. The size and shape of the pieces are those measured on real
sections of the organ (`everslide sections`); each piece is drawn anew, as a thick bent line with a rough outline,
sometimes hollow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from everslide.model.geometry import TOP_SCALE, mpp
from everslide.model.pyramid.keyed_noise import uniforms
from everslide.model.pyramid.value_noise import fractal, step

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
LAYOUT_FORMAT = 4
"""Part of every fingerprint: raise it when the same seed would give other silhouettes."""
GLASS_GREY = 242
"""Grey level of clean glass."""
CANVAS_PX = 160
UM_PER_PX = mpp(TOP_SCALE)
CANVAS_UM = CANVAS_PX * UM_PER_PX
EMPTY_SHARE = 0.1
"""Probability that a cell is empty. A slide whose cells would all be empty has tissue in one of them."""
SPINE = 24
"""Points of the centre line of a piece."""
ATTEMPTS = 24
TURNS = 3
"""Ways that the largest piece of a canvas is turned before it is made smaller."""
MOST_SHARE = 0.65
"""Share of a canvas that the area of a piece may have, at most."""
SEARCH = 4
"""The search for a free place for a piece runs on a grid so many times coarser than the canvas."""
SOFT_PX = 0.5
"""Deviation of the blur of outlines. In the first three pixels from the glass 49 real sections have 0.37, 0.66 and 0.83
of the darkness of their inside, made-up ones 0.29, 0.72 and 0.86; 0.54, 0.80 and 0.88 if nothing is blurred."""
GAP_UM = 500.0
RIM_UM = 2 * UM_PER_PX
BEND, ROUGHNESS = 9.0, 1.6
"""Radians that a long piece is bent by, and share of its width that its outline goes in and out, for each unit that its
solidity lacks to one. Fitted: drawn pieces have the solidity of the real ones."""
TORN_SHARE = 0.4
LEAST_HOLLOW, WALL_SAMPLES = 0.02, 64
CUT_MM2 = 60.0
"""Pieces of this area and more were cut from a larger one."""


@dataclass(frozen=True)
class PieceShape:
    """Measured shape of one piece of tissue.

    area_mm2: of its tissue. elongation: standard deviation along its longest axis over that across, 1 or more.
    solidity: its area over that of its convex hull. hollow: area of its holes over that of the piece with holes filled.
    """

    area_mm2: float
    elongation: float
    solidity: float
    hollow: float


@dataclass(frozen=True, eq=False)
class Canvas:
    """The pieces of one cell, on a square of CANVAS_PX pixels of plane TOP_SCALE.

    x_px, y_px: the square's top-left pixel in that plane. place: column and row of the cell. cover: (CANVAS_PX,
    CANVAS_PX), share of each pixel that is tissue, 0 to 1.
    """

    x_px: int
    y_px: int
    place: tuple[int, int]
    cover: Floats


class Layout:
    """The canvases of a slide of width_um x height_um. groups: the pieces of each measured section; the seed draws one
    section, and all cells have pieces like those of that one."""

    def __init__(self, seed: int, width_um: float, height_um: float, groups: Sequence[Sequence[PieceShape]]) -> None:
        self._seed, self._groups = seed, groups
        self._cells = (max(1, int(width_um / CANVAS_UM)), max(1, int(height_um / CANVAS_UM)))
        self._cell_um = (width_um / self._cells[0], height_um / self._cells[1])
        self._case = int(uniforms(seed, "case", 0, 0, 1)[0] * len(groups))

    def near(self, left: float, right: float, top: float, bottom: float) -> Iterator[Canvas]:
        """The canvases of all cells that meet the rectangle left .. right, top .. bottom, in um. A canvas lies within
        its cell, unless the slide is narrower than a canvas."""
        for row in range(math.floor(top / self._cell_um[1]), math.floor(bottom / self._cell_um[1]) + 1):
            for col in range(math.floor(left / self._cell_um[0]), math.floor(right / self._cell_um[0]) + 1):
                if 0 <= col < self._cells[0] and 0 <= row < self._cells[1]:
                    canvas = self._canvas(col, row)
                    if canvas is not None:
                        yield canvas

    @lru_cache(maxsize=64)  # noqa: B019 (a layout lives as long as its slide)
    def _canvas(self, col: int, row: int) -> Canvas | None:
        u = uniforms(self._seed, "cell", col, row, 3)
        if u[0] < EMPTY_SHARE and (col, row) != self._never_empty:
            return None
        cover = self._cover(col, row)
        corner = []
        for number, cell, free, middle in zip((col, row), self._cell_um, u[1:], thickest(cover)[::-1], strict=True):
            if cell >= CANVAS_UM:
                corner.append(number * cell + free * (cell - CANVAS_UM))
            else:  # the only cell of a slide this narrow shows the thickest part of its tissue
                corner.append(cell / 2 - (middle + 0.5) * UM_PER_PX)
        return Canvas(round(corner[0] / UM_PER_PX), round(corner[1] / UM_PER_PX), (col, row), cover)

    @cached_property
    def _never_empty(self) -> tuple[int, int] | None:
        """Column and row of the cell that has tissue though all are drawn empty; None where one is not.

        The search ends at the first that is not: after 1.1 cells on average and, but for one slide in 10^20, after 20,
        however large the slide is.
        """
        cols, rows = self._cells
        cells = ((col, row) for row in range(rows) for col in range(cols))
        if any(uniforms(self._seed, "cell", col, row, 3)[0] >= EMPTY_SHARE for col, row in cells):
            return None
        u = uniforms(self._seed, "never empty", 0, 0, 2)
        return int(u[0] * cols), int(u[1] * rows)

    def _cover(self, col: int, row: int) -> Floats:
        """The silhouettes of a cell's pieces, (N, N) in [0, 1]."""
        fine: Doubles = (np.arange(CANVAS_PX, dtype=np.float64) + 0.5) * UM_PER_PX
        coarse: Doubles = (np.arange(CANVAS_PX // SEARCH, dtype=np.float64) + 0.5) * (UM_PER_PX * SEARCH)
        depth = np.full((CANVAS_PX, CANVAS_PX), -np.inf)
        taken = np.full((len(coarse), len(coarse)), -np.inf)
        before: tuple[PieceShape, int, float] | None = None
        for number, shape in enumerate(self._groups[self._case]):
            u = uniforms(self._seed, f"piece {number}", col, row, 8 + 3 * ATTEMPTS)
            salt, turn = int(u[0] * 2**30), 2 * np.pi * u[1]
            if before and _levels(before[0], shape):
                salt, turn = before[1], before[2] + 0.2 * (u[1] - 0.5)  # another level of the piece before
            before = (shape, salt, turn)
            piece = Piece(shape, self._seed, salt, 0.75 + 0.5 * u[2], u[3:8])
            for attempt in range(ATTEMPTS):
                x, y, more = u[8 + 3 * attempt : 11 + 3 * attempt]
                angle = turn + (2 * np.pi * more if attempt > ATTEMPTS // 2 else 0.0)
                place = (CANVAS_UM * (0.1 + 0.8 * x), CANVAS_UM * (0.1 + 0.8 * y), angle)
                if number == 0:  # the largest: turned and moved until it fits, then made smaller
                    if attempt and attempt % TURNS == 0:
                        piece = piece.smaller()
                    angle = turn + (2 * np.pi * more if attempt % TURNS else 0.0)
                    wanted = (CANVAS_UM * (0.4 + 0.2 * x), CANVAS_UM * (0.4 + 0.2 * y), angle)
                    fitting = piece.fitted(wanted)
                    if fitting is None:
                        continue
                    place = fitting
                found = piece.depth(coarse[None], coarse[:, None], place)
                rim = min(-found[edge].max() for edge in (0, -1, (slice(None), 0), (slice(None), -1)))
                if rim > RIM_UM and float(np.minimum(found, taken).max()) < -GAP_UM / 2:
                    taken = np.maximum(taken, found)
                    depth = np.maximum(depth, piece.depth(fine[None], fine[:, None], place))
                    break
        cover = gaussian_filter(np.clip(depth / UM_PER_PX + 0.5, 0, 1), SOFT_PX)
        cover[0], cover[-1], cover[:, 0], cover[:, -1] = 0, 0, 0, 0
        return np.asarray(cover, np.float32)


@dataclass(frozen=True)
class Piece:
    """A piece drawn after a measured shape.

    seed, salt: key of its outline. size: its area over the measured one. u: five numbers in [0, 1) that vary
    elongation, tears, bend and cuts.
    """

    shape: PieceShape
    seed: int
    salt: int
    size: float
    u: Doubles

    def smaller(self) -> Piece:
        """The same piece with 15 % less area."""
        return Piece(self.shape, self.seed, self.salt, 0.85 * self.size, self.u)

    @property
    def length_um(self) -> float:
        """Length, along its longer axis."""
        return math.sqrt(self._area * self._elongation * 4 / math.pi)

    @property
    def width_um(self) -> float:
        """Width, across it."""
        return self._area / self.length_um

    @property
    def _area(self) -> float:
        return (
            min(self.shape.area_mm2 * self.size, MOST_SHARE * (CANVAS_UM / 1000) ** 2) * 1e6 / (1 - self.shape.hollow)
        )

    @property
    def _elongation(self) -> float:
        return float(np.clip(self.shape.elongation * (0.85 + 0.3 * self.u[0]), 1.0, 9.0))

    def depth(self, x: Doubles, y: Doubles, place: tuple[float, float, float]) -> Doubles:
        """Signed distance, about, from the outline in um at places x, y in um: positive inside, negative outside.

        place: the piece's middle (x, y) in um and its rotation in radians. x and y broadcast together.
        """
        dx, dy, turn = x - place[0], y - place[1], place[2]
        across = dx * math.cos(turn) + dy * math.sin(turn)
        along = dy * math.cos(turn) - dx * math.sin(turn)
        depth = self._whole(across, along)
        if self.shape.hollow >= LEAST_HOLLOW:
            depth = np.minimum(depth, self._wall_um - depth)
        return self._torn(depth, across, along)

    def fitted(self, place: tuple[float, float, float]) -> tuple[float, float, float] | None:
        """The place nearest to one at which it lies on the canvas, turned like that; None where it is too long."""
        grain = UM_PER_PX * SEARCH
        count = 2 * CANVAS_PX // SEARCH
        at: Doubles = (np.arange(count, dtype=np.float64) + 0.5) * grain - CANVAS_UM
        inside = self.depth(at[None], at[:, None], (0.0, 0.0, place[2])) > 0
        middle = []
        for axis, wanted in zip((0, 1), place[:2], strict=True):
            reached = at[inside.any(axis)]
            if not reached.size:
                return None
            low, high = reached[0] - grain - RIM_UM, reached[-1] + grain + RIM_UM
            if high - low > CANVAS_UM:
                return None
            middle.append(float(np.clip(wanted, -low, CANVAS_UM - high)))
        return middle[0], middle[1], place[2]

    def _whole(self, across: Doubles, along: Doubles) -> Doubles:
        """As `depth` without hollow and tears, in the piece's own coordinates: origin in its middle, not rotated."""
        spine, half = self._spine()
        lacking = 1 - self.shape.solidity
        long = float(np.clip((self._elongation - 1.4) / 2, 0, 1))
        rough = ROUGHNESS * lacking * (1 - 0.5 * long) + 0.1
        waves = max(1500.0, 0.8 * self.width_um)
        warp = [fractal(self.seed, self.salt + k, across, along, waves, 5, 0.62, turned=True) for k in (1, 2)]
        across = across + rough * 0.5 * self.width_um * warp[0]
        along = along + rough * 0.5 * self.width_um * warp[1]
        best = np.full(np.broadcast_shapes(across.shape, along.shape), -np.inf)
        for (x0, y0), (x1, y1), thick in zip(spine[:-1], spine[1:], half[1:], strict=True):
            vx, vy = x1 - x0, y1 - y0
            t = np.clip(((across - x0) * vx + (along - y0) * vy) / max(vx * vx + vy * vy, 1.0), 0, 1)
            best = np.maximum(best, thick - np.hypot(across - x0 - t * vx, along - y0 - t * vy))
        ridge = fractal(self.seed, self.salt + 3, across, along, 1.2 * waves, 4, turned=True)
        best = best + rough * 0.5 * self.width_um * ridge
        return self._cut(best, across, along)

    @cached_property
    def _wall_um(self) -> float:
        """Thickness of the wall around the hollow, chosen so that the hollow has the measured share of the area."""
        reach = self.length_um / 2 + self.width_um
        at: Doubles = np.linspace(-reach, reach, WALL_SAMPLES)
        depth = self._whole(at[None], at[:, None])
        return float(np.quantile(depth[depth > 0], 1 - self.shape.hollow))

    def _cut(self, depth: Doubles, x: Doubles, y: Doubles) -> Doubles:
        """A large piece with one or two straight sides, where a knife went."""
        if self._area < CUT_MM2 * 1e6:
            return depth
        for k in range(1 + int(2 * self.u[2])):
            turn = 2 * np.pi * (self.u[4] + 0.37 * k)
            reach = 0.5 * math.sqrt(self._area) * (0.7 + 0.25 * self.u[3])
            depth = np.minimum(depth, reach - (x * math.cos(turn) + y * math.sin(turn)))
        return depth

    def _torn(self, depth: Doubles, x: Doubles, y: Doubles) -> Doubles:
        """With a tear in some pieces: a narrow crack along a winding line."""
        if self.u[1] > TORN_SHARE or self.width_um < 2500:
            return depth
        cleft = np.abs(fractal(self.seed, self.salt + 4, x, y, 5200.0, 3, turned=True))
        open_ = step(fractal(self.seed, self.salt + 5, x, y, 4000.0, 2, turned=True), 0.25, 0.2)
        return np.minimum(depth, (cleft - 0.03 * open_) * 4000.0 + 1e4 * (1 - open_))

    def _spine(self) -> tuple[Doubles, Doubles]:
        """Points (SPINE, 2) along its middle, in um around the origin, and half its width there (SPINE,)."""
        s = (np.arange(SPINE) + 0.5) / SPINE
        long = float(np.clip((self._elongation - 1.4) / 2, 0, 1))
        bend = BEND * (1 - self.shape.solidity) * long * (0.7 + 0.6 * self.u[2])
        curl = (s - 0.5) + 0.6 * (self.u[3] - 0.5) * np.sin(2 * np.pi * s + 6 * self.u[4])
        heading = bend * curl
        reach = max(self.length_um - self.width_um, 1.0) / SPINE
        points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * reach, 0)
        swell = 1 + 0.15 * np.sin(2 * np.pi * (0.5 + self.u[3]) * s + 6 * self.u[4])
        return points - points.mean(0), self.width_um / 2 * swell


def _levels(a: PieceShape, b: PieceShape) -> bool:
    """Whether two pieces are so alike that they may be levels of one."""
    return (
        abs(math.log(a.area_mm2 / b.area_mm2)) < 0.2
        and abs(math.log(a.elongation / b.elongation)) < 0.25
        and abs(a.solidity - b.solidity) < 0.08
    )


def thickest(cover: Floats) -> tuple[int, int]:
    """Row and column of the pixel of `cover` (H, W) in [0, 1] that lies deepest in tissue, farthest from any
    outline."""
    depth = distance_transform_edt(np.pad(cover, 1) > 0.5)[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(col)

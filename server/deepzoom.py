"""Deep Zoom levels of a slide, and conversion between levels and scales. Integers only.

Deep Zoom counts levels from a single pixel (0) to full resolution (`max_level`), scales count from full resolution (0)
to coarser: s = max_level - level. Coordinates of tiles begin with `t_`, pixels of a level with `z_`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from everslide.model.geometry import MAGNIFICATION_SCALES, TILE_PX, TileIndex
from everslide.model.slide import Slide
from everslide.server.errors import MalformedError, NotFoundError

_NATURAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_TILE_NAME = re.compile(r"([^_]*)_([^_.]*)\.(.*)", re.DOTALL)
OVERVIEW_TILES = 16
"""A slide whose coarsest painted scale has at most this many tiles is served up to a single pixel; on a larger one
the levels above would need any number of painted tiles at once."""


@dataclass(frozen=True, order=True)
class TileAddress:
    """A tile as Deep Zoom names it: level (0 is a single pixel), column, row."""

    level: int
    col: int
    row: int


def natural(text: str, what: str) -> int:
    """ "0", "1", "20" ... -> int. Raises MalformedError for anything else: signs, spaces, leading zeros, 20 digits."""
    if not _NATURAL.fullmatch(text):
        raise MalformedError(f"{what} as a whole number such as 12", repr(text[:40]), "correct the address")
    return int(text)


def parse_tile_name(name: str) -> tuple[int, int, str]:
    """ "12_7.jpeg" -> (12, 7, "jpeg"). Raises MalformedError; the suffix is not checked."""
    match = _TILE_NAME.fullmatch(name)
    if match is None:
        raise MalformedError("a tile name such as 12_7.jpeg", repr(name[:40]), "correct the address")
    return natural(match[1], "the column"), natural(match[2], "the row"), match[3]


class DeepZoom:
    """The Deep Zoom pyramid of `slide`. Scales up to `top_scale` are painted, coarser ones are box means.

    max_level: full resolution. min_level: the coarsest level served. root_level: the level of 0.15625x.
    """

    def __init__(self, slide: Slide, top_scale: int) -> None:
        self.slide = slide
        self.max_level = (max(slide.width_px, slide.height_px) - 1).bit_length()
        self.root_level = max(0, self.max_level - MAGNIFICATION_SCALES[-1])
        top_level = max(0, self.max_level - top_scale)
        t_cols, t_rows = self.grid(top_level)
        self.min_level = top_level if slide.unbounded or t_cols * t_rows > OVERVIEW_TILES else 0

    @property
    def ends(self) -> bool:
        """Whether it is served up to the level of a single pixel, where Deep Zoom viewers begin."""
        return self.min_level == 0 and not self.slide.unbounded

    def scale(self, level: int) -> int:
        """Deep Zoom level -> scale s."""
        return self.max_level - level

    def level(self, s: int) -> int:
        """Scale s -> Deep Zoom level."""
        return self.max_level - s

    def tile_index(self, address: TileAddress) -> TileIndex:
        """Deep Zoom address -> tile of a scale."""
        return TileIndex(self.scale(address.level), address.col, address.row)

    def address(self, tile: TileIndex) -> TileAddress:
        """Tile of a scale -> Deep Zoom address."""
        return TileAddress(self.level(tile.s), tile.col, tile.row)

    def level_size(self, level: int) -> tuple[int, int]:
        """(z_width, z_height): the slide in pixels of a level."""
        return self.slide.size_at(self.scale(level))

    def grid(self, level: int) -> tuple[int, int]:
        """(t_cols, t_rows): columns and rows of tiles of a level."""
        z_width, z_height = self.level_size(level)
        return -(-z_width // TILE_PX), -(-z_height // TILE_PX)

    def tile_size(self, address: TileAddress) -> tuple[int, int]:
        """(z_width, z_height) of one tile: 256 x 256, less at the slide's right and lower edges."""
        z_width, z_height = self.level_size(address.level)
        return min(TILE_PX, z_width - address.col * TILE_PX), min(TILE_PX, z_height - address.row * TILE_PX)

    def holds(self, address: TileAddress) -> bool:
        """Whether there is such a tile."""
        if not self.min_level <= address.level <= self.max_level:
            return False
        t_cols, t_rows = self.grid(address.level)
        return 0 <= address.col < t_cols and 0 <= address.row < t_rows

    def check(self, address: TileAddress) -> None:
        """Raises NotFoundError where there is no such tile."""
        if not self.min_level <= address.level <= self.max_level:
            raise NotFoundError(
                f"a level in {self.min_level} .. {self.max_level}", f"level {address.level}", "see the slide's metadata"
            )
        t_cols, t_rows = self.grid(address.level)
        if not (0 <= address.col < t_cols and 0 <= address.row < t_rows):
            raise NotFoundError(
                f"a column in 0 .. {t_cols - 1} and a row in 0 .. {t_rows - 1} of level {address.level}",
                f"column {address.col}, row {address.row}",
                "see the slide's metadata",
            )

    def descriptor(self, suffix: str) -> str:
        """The `.dzi` file: XML that names tile size, overlap, format and extent."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="{suffix}" Overlap="0"'
            f' TileSize="{TILE_PX}"><Size Width="{self.slide.width_px}" Height="{self.slide.height_px}"/></Image>\n'
        )

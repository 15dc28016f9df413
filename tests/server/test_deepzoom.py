"""Pyramids written out in full."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from everslide.model.geometry import TileIndex
from everslide.model.slide import Slide
from everslide.server.deepzoom import DeepZoom, TileAddress, natural, parse_tile_name
from everslide.server.errors import MalformedError, NotFoundError

TOP_SCALE = 9


def zoom(width_px: int, height_px: int, unbounded: bool = False) -> DeepZoom:
    return DeepZoom(Slide("a", 1, width_px, height_px, unbounded), TOP_SCALE)


# level: (z_width, z_height, t_cols, t_rows)
PYRAMIDS = {
    (1000, 700): [
        (1, 1, 1, 1),
        (2, 2, 1, 1),
        (4, 3, 1, 1),
        (8, 6, 1, 1),
        (16, 11, 1, 1),
        (32, 22, 1, 1),
        (63, 44, 1, 1),
        (125, 88, 1, 1),
        (250, 175, 1, 1),
        (500, 350, 2, 2),
        (1000, 700, 4, 3),
    ],
    (256, 256): [(2**level, 2**level, 1, 1) for level in range(9)],
    (257, 256): [
        (1, 1, 1, 1),
        (2, 1, 1, 1),
        (3, 2, 1, 1),
        (5, 4, 1, 1),
        (9, 8, 1, 1),
        (17, 16, 1, 1),
        (33, 32, 1, 1),
        (65, 64, 1, 1),
        (129, 128, 1, 1),
        (257, 256, 2, 1),
    ],
    (131072, 98304): [
        (1, 1, 1, 1),
        (2, 2, 1, 1),
        (4, 3, 1, 1),
        (8, 6, 1, 1),
        (16, 12, 1, 1),
        (32, 24, 1, 1),
        (64, 48, 1, 1),
        (128, 96, 1, 1),
        (256, 192, 1, 1),
        (512, 384, 2, 2),
        (1024, 768, 4, 3),
        (2048, 1536, 8, 6),
        (4096, 3072, 16, 12),
        (8192, 6144, 32, 24),
        (16384, 12288, 64, 48),
        (32768, 24576, 128, 96),
        (65536, 49152, 256, 192),
        (131072, 98304, 512, 384),
    ],
}


@pytest.mark.parametrize("extent", PYRAMIDS)
def test_whole_pyramids(extent: tuple[int, int]) -> None:
    pyramid = zoom(*extent)
    assert pyramid.min_level == 0
    levels = range(pyramid.max_level + 1)
    assert [(*pyramid.level_size(level), *pyramid.grid(level)) for level in levels] == PYRAMIDS[extent]


def test_an_unbounded_slide_begins_at_the_coarsest_painted_scale() -> None:
    pyramid = zoom(2**31, 2**31, unbounded=True)
    assert (pyramid.min_level, pyramid.root_level, pyramid.max_level) == (22, 24, 31)
    assert pyramid.level_size(31) == (2147483648, 2147483648)
    assert pyramid.grid(31) == (8388608, 8388608)
    assert pyramid.grid(22) == (16384, 16384)


def test_a_huge_bounded_slide_has_no_overview_of_thousands_of_tiles() -> None:
    assert zoom(2**31, 2**31).min_level == 22
    assert zoom(2**19, 2**19).min_level == 0  # 4 x 4 tiles of scale 9
    assert zoom(2**19 + 1, 2**19).min_level == 11  # 5 x 4


@pytest.mark.parametrize(("extent", "max_level", "root_level"), [((131072, 98304), 17, 10), ((1000, 700), 10, 3)])
def test_level_of_the_root(extent: tuple[int, int], max_level: int, root_level: int) -> None:
    pyramid = zoom(*extent)
    assert (pyramid.max_level, pyramid.root_level) == (max_level, root_level)


@pytest.mark.parametrize(
    ("address", "tile"),
    [
        (TileAddress(17, 511, 383), TileIndex(0, 511, 383)),
        (TileAddress(10, 3, 2), TileIndex(7, 3, 2)),
        (TileAddress(0, 0, 0), TileIndex(17, 0, 0)),
    ],
)
def test_addresses_and_tiles(address: TileAddress, tile: TileIndex) -> None:
    pyramid = zoom(131072, 98304)
    assert pyramid.tile_index(address) == tile
    assert pyramid.address(tile) == address


@pytest.mark.parametrize(
    ("address", "size"),
    [
        (TileAddress(10, 0, 0), (256, 256)),
        (TileAddress(10, 3, 0), (232, 256)),
        (TileAddress(10, 0, 2), (256, 188)),
        (TileAddress(10, 3, 2), (232, 188)),
        (TileAddress(9, 1, 1), (244, 94)),
        (TileAddress(0, 0, 0), (1, 1)),
    ],
)
def test_tiles_end_at_the_slides_edge(address: TileAddress, size: tuple[int, int]) -> None:
    assert zoom(1000, 700).tile_size(address) == size


@pytest.mark.parametrize(
    "address",
    [
        TileAddress(11, 0, 0),
        TileAddress(-1, 0, 0),
        TileAddress(10, 4, 0),
        TileAddress(10, 0, 3),
        TileAddress(10, -1, 0),
    ],
)
def test_no_such_tile(address: TileAddress) -> None:
    with pytest.raises(
        NotFoundError, match=r"expected a (level in 0 \.\. 10|column in 0 \.\. 3 and a row in 0 \.\. 2)"
    ):
        zoom(1000, 700).check(address)


def test_levels_below_the_coarsest_painted_one_of_an_unbounded_slide_are_not_there() -> None:
    pyramid = zoom(2**31, 2**31, unbounded=True)
    pyramid.check(TileAddress(22, 16383, 16383))
    with pytest.raises(NotFoundError, match=r"a level in 22 \.\. 31"):
        pyramid.check(TileAddress(21, 0, 0))


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", " 1", "1 ", "1.0", "1e3", "0x1", "٣", "1" * 20, "nan"])
def test_malformed_numbers(text: str) -> None:
    with pytest.raises(MalformedError, match="a whole number such as 12"):
        natural(text, "the column")


@pytest.mark.parametrize(
    ("name", "parts"),
    [("0_0.jpeg", (0, 0, "jpeg")), ("8388607_12.png", (8388607, 12, "png")), ("1_2.tar.gz", (1, 2, "tar.gz"))],
)
def test_tile_names(name: str, parts: tuple[int, int, str]) -> None:
    assert parse_tile_name(name) == parts


@pytest.mark.parametrize("name", ["", "0_0", "0.jpeg", "0_0_0.jpeg", "_.jpeg", "a_b.jpeg", "0-0.jpeg", "0_-1.jpeg"])
def test_malformed_tile_names(name: str) -> None:
    with pytest.raises(MalformedError):
        parse_tile_name(name)


def test_descriptor() -> None:
    root = ElementTree.fromstring(zoom(131072, 98304).descriptor("jpeg"))
    space = "{http://schemas.microsoft.com/deepzoom/2008}"
    assert root.tag == f"{space}Image"
    assert root.attrib == {"Format": "jpeg", "Overlap": "0", "TileSize": "256"}
    assert [(child.tag, child.attrib) for child in root] == [
        (f"{space}Size", {"Width": "131072", "Height": "98304"}),
    ]

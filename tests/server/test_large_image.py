"""The tile source for large_image, through large_image."""

from __future__ import annotations

import pickle
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import large_image
import numpy as np
import pytest
from large_image.exceptions import TileSourceError

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex
from everslide.model.mini.sections import make_sketch
from everslide.model.mini.weights import save_weights
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.painter import Painter
from everslide.model.slide import Slide
from everslide.server.large_image_source import EverslideTileSource
from tests.model.networks import tiny_weights

SLIDE = Slide("demo", 5, 3000, 2100, model="speckle")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "demo.everslide.yaml"
    path.write_text("name: demo\nseed: 5\nwidth_px: 3000\nheight_px: 2100\nmodel: speckle\n")
    return path


def opened(path: Path | str) -> Any:
    return large_image.open(str(path), noCache=True)


def painted(source: Any) -> int:
    count: int = source._service.queue.progress("demo").painted
    return count


def test_large_image_finds_the_source_and_metadata_paints_nothing(path: Path) -> None:
    source = opened(path)
    assert isinstance(source, EverslideTileSource)
    metadata = source.getMetadata()
    assert (metadata["sizeX"], metadata["sizeY"], metadata["levels"]) == (3000, 2100, 5)
    assert (metadata["tileWidth"], metadata["tileHeight"]) == (256, 256)
    assert (metadata["magnification"], metadata["mm_x"], metadata["mm_y"]) == (20.0, 0.0005, 0.0005)
    assert metadata["dtype"] == "uint8"
    assert metadata["bandCount"] == 3
    internal = source.getInternalMetadata()
    assert internal["synthetic"] is True
    assert internal["notice"] == "SYNTHETIC - not for diagnosis"
    assert (internal["model"], internal["seed"]) == ("speckle", 5)
    assert source.getBandInformation()
    assert painted(source) == 0


def test_tiles_are_those_of_the_painter(path: Path) -> None:
    source, painter = opened(path), Painter(SLIDE, SpeckleModel(), MemoryTiles(), make_sketch(SLIDE))
    for z, x, y in [(4, 3, 2), (3, 1, 1), (0, 0, 0), (4, 11, 8)]:
        tile = source.getTile(x, y, z, numpyAllowed="always")
        np.testing.assert_array_equal(tile, painter.tile(TileIndex(4 - z, x, y)))


def test_regions_thumbnails_and_iteration(path: Path) -> None:
    source, painter = opened(path), Painter(SLIDE, SpeckleModel(), MemoryTiles(), make_sketch(SLIDE))
    region, _ = source.getRegion(
        region={"left": 700, "top": 500, "width": 300, "height": 200}, format=large_image.constants.TILE_FORMAT_NUMPY
    )
    whole = np.hstack([painter.tile(TileIndex(0, col, 2)) for col in (2, 3)])
    assert region.shape == (200, 300, 3)
    np.testing.assert_array_equal(region[12:], whole[0:188, 188:488])
    thumbnail, mime = source.getThumbnail(width=200, height=200, encoding="PNG")
    assert (thumbnail[:4], mime) == (b"\x89PNG", "image/png")
    tiles = list(source.tileIterator(scale={"magnification": 2.5}, format=large_image.constants.TILE_FORMAT_NUMPY))
    assert len(tiles) == 4
    np.testing.assert_array_equal(tiles[0]["tile"], painter.tile(TileIndex(3, 0, 0)))


def test_steps_and_guidance(tmp_path: Path) -> None:
    with pytest.raises(TileSourceError, match="its model speckle has no choice of steps or guidance"):
        EverslideTileSource("everslide://demo?seed=5&model=speckle&steps=2", noCache=True)
    with pytest.raises(TileSourceError, match=r"guidance 0\.5: expected a number"):
        EverslideTileSource("everslide://demo?seed=5&model=speckle&guidance=0.5", noCache=True)
    save_weights(tmp_path / "mini.safetensors", tiny_weights())
    place = f"everslide://demo?seed=5&width_px=3000&height_px=2100&weights={tmp_path / 'mini.safetensors'}"
    own, two = opened(place), opened(f"{place}&steps=2")
    said = [source.getInternalMetadata() for source in (own, two)]
    assert [(each["steps"], each["guidance"]) for each in said] == [(None, 1.0), (2, 1.0)]
    assert said[0]["fingerprint"] != said[1]["fingerprint"]
    tiles = [source.getTile(1, 1, 3, numpyAllowed="always") for source in (own, two)]
    assert not np.array_equal(*tiles)


def test_eight_threads_paint_a_tile_once(path: Path) -> None:
    source = opened(path)
    together, tiles = threading.Barrier(8), []

    def ask() -> None:
        together.wait()
        tiles.append(source.getTile(5, 5, 4, numpyAllowed="always").tobytes())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(tiles) == 8 and len(set(tiles)) == 1
    assert painted(source) == 1


def test_a_pickled_source_paints_the_same(path: Path) -> None:
    source = opened(path)
    again = pickle.loads(pickle.dumps(source))
    assert again.getMetadata() == source.getMetadata()
    first, second = (each.getTile(2, 1, 3, numpyAllowed="always") for each in (source, again))
    np.testing.assert_array_equal(first, second)


def test_an_address_is_a_slide_too(path: Path) -> None:
    address = "everslide://demo?seed=5&model=speckle&width_px=3000&height_px=2100"
    one, other = opened(address), opened(path)
    np.testing.assert_array_equal(
        one.getTile(1, 1, 2, numpyAllowed="always"), other.getTile(1, 1, 2, numpyAllowed="always")
    )


def test_an_endless_slide_is_never_shown_whole() -> None:
    source = opened("everslide://endless?seed=6&model=speckle&width_px=1073741824&height_px=1073741824&unbounded=true")
    with pytest.raises(TileSourceError, match="never shown whole"):
        source.getTile(0, 0, 0)
    middle = 2 ** (source.levels - 2)
    assert source.getTile(middle, middle, source.levels - 1, numpyAllowed="always").shape == (256, 256, 3)


def test_the_cache_is_beside_the_file(path: Path) -> None:
    path.write_text(path.read_text() + "cache: tiles\n")
    opened(path).getTile(0, 0, 1)
    assert any(file.is_file() for file in (path.parent / "tiles").rglob("*"))


BOMB = (
    "a: &a [x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghijkl"))
    + "seed: *l\n"
)
"""Nine to the eleventh times x."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: many\n", "field 'seed'"),
        ("name: demo\n", "field 'seed'"),
        ("seed: 5\ncolour: red\n", "field 'colour'"),
        ("seed: 5\nname: UPPER\n", "slide name"),
        ("seed: 5\nmodel: nothing\n", "model 'nothing'"),
        ("- 5\n", "expected fields"),
        ("seed: [5\n", "cannot be read as YAML"),
        ("!!python/object/apply:os.system ['true']\n", "cannot be read as YAML"),
        ("[" * 5000, "cannot be read as YAML"),
        ("seed: 2020-13-45\n", "cannot be read as YAML: month"),
        (f"seed: {'9' * 5000}\n", "cannot be read as YAML: Exceeds"),
        (f"seed: 5\nname: a{' ' * 100_000}\n", "expected at most 100000 bytes"),
        ("seed: yes\n", "field 'seed': .*true or false"),
        ('seed: 5\ncache: "C:\\temp\\new"\n', "field 'cache': .*control characters"),
        (BOMB, "field 'seed'"),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_field(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(TileSourceError, match=words):
        EverslideTileSource(str(path), noCache=True)


@pytest.mark.parametrize(
    "address",
    [
        "everslide://[?seed=7",
        "everslide://demo",
        "everslide://?seed=7",
        "everslide://demo/other?seed=7",
        "everslide://demo?seed=7#other",
        "everslide://demo?seed=7&seed=8",
        "everslide://demo?seed=",
    ],
)
def test_a_bad_address_is_an_error_that_names_it(address: str) -> None:
    with pytest.raises(TileSourceError, match=r"^everslide://"):
        large_image.open(address)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "picture.yaml").write_text("seed: 5")
    assert not EverslideTileSource.canRead(str(tmp_path / "picture.yaml"))
    assert not EverslideTileSource.canRead(str(tmp_path / "missing.everslide.yaml"))

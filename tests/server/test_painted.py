"""The service with a real painter: what the painter promises must arrive at the browser unchanged."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray
from PIL import Image

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex
from everslide.model.mini.model import load_mini
from everslide.model.mini.sections import make_sketch
from everslide.model.mini.weights import save_weights
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.pyramid.windows import LocalWindows
from everslide.model.sampling_config import SamplingConfig
from everslide.model.slide import Slide
from everslide.server.app import create_app
from everslide.server.assembly import assemble, make_stores
from everslide.server.deepzoom import TileAddress
from everslide.server.encode import PNG
from everslide.server.painters import ModelFiles, Painters, load_painters
from everslide.server.queue import PaintQueue
from everslide.server.settings import Settings
from everslide.server.slides import Catalogue, Entry
from everslide.server.tiles import TileService
from tests.model.networks import tiny_weights

SMALL = Slide("small", 5, 3000, 2100, model="speckle")
ENDLESS = Slide("endless", 6, 2**31, 2**31, unbounded=True, model="speckle")


@pytest.fixture(scope="module")
def speckle() -> dict[str, Painters]:
    return {"speckle": load_painters("speckle")}


@pytest.fixture
def services(speckle: dict[str, Painters], tmp_path: Path) -> Iterator[list[TileService]]:
    """Two services of the same slides that share nothing, one with files and one without."""
    catalogue = Catalogue(tuple(Entry(slide, slide.name) for slide in (SMALL, ENDLESS)))
    settings = Settings(cache=tmp_path), Settings(cache=None, memory_size=0, raw_size=0)
    services = [TileService(catalogue, speckle, make_stores(each), PaintQueue()) for each in settings]
    yield services
    for service in services:
        service.close()


@pytest.fixture
def clients(services: list[TileService], tmp_path: Path) -> list[FlaskClient]:
    return [create_app(service, tmp_path).test_client() for service in services]


def tile(client: FlaskClient, slide: str, level: int, col: int, row: int) -> NDArray[np.uint8]:
    answer = client.get(f"/slides/{slide}_files/{level}/{col}_{row}.png")
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.data)) as image:
        return np.asarray(image)


def box_mean(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """2x2 means rounded half up; a last odd row or column is left out."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    blocks = pixels[: 2 * height, : 2 * width].astype(int).reshape(height, 2, width, 2, 3)
    mean: NDArray[np.uint8] = ((blocks.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8)
    return mean


def level_image(client: FlaskClient, service: TileService, level: int) -> NDArray[np.uint8]:
    t_cols, t_rows = service.slide("small").zoom.grid(level)
    rows = [
        np.concatenate([tile(client, "small", level, col, row) for col in range(t_cols)], 1) for row in range(t_rows)
    ]
    return np.concatenate(rows, axis=0)


def test_every_level_of_a_slide_is_the_mean_of_the_next(
    clients: list[FlaskClient], services: list[TileService]
) -> None:
    images = [level_image(clients[0], services[0], level) for level in range(13)]
    assert images[12].shape == (2100, 3000, 3)
    for coarse, fine in itertools.pairwise(images):
        mean = box_mean(fine)
        assert np.array_equal(coarse[: mean.shape[0], : mean.shape[1]], mean)


def test_near_two_to_the_31_the_parent_is_the_mean_of_its_children(clients: list[FlaskClient]) -> None:
    col, row = 8388606, 8388604
    parent = tile(clients[0], "endless", 30, col // 2, row // 2)
    top = [tile(clients[0], "endless", 31, col + dx, row) for dx in (0, 1)]
    bottom = [tile(clients[0], "endless", 31, col + dx, row + 1) for dx in (0, 1)]
    children = np.concatenate([np.concatenate(top, axis=1), np.concatenate(bottom, axis=1)], axis=0)
    assert np.array_equal(box_mean(children), parent)


def test_order_and_cache_change_nothing(clients: list[FlaskClient]) -> None:
    """One client asks in order, with files; the other in another order, without any memory between requests."""
    places = [(level, col, row) for level in (12, 11, 10, 4) for col in range(2) for row in range(2)]
    places = [(level, col, row) for level, col, row in places if level > 8 or col == row == 0]
    shuffled = random.Random(3).sample(places, len(places))
    paths = {place: f"/slides/small_files/{place[0]}/{place[1]}_{place[2]}.jpeg" for place in places}
    one = {place: clients[0].get(paths[place]).data for place in places}
    other = {place: clients[1].get(paths[place]).data for place in shuffled}
    assert one == other
    assert len(set(one.values())) == len(places)


def test_fingerprints_do_not_depend_on_the_place_of_the_cache(services: list[TileService]) -> None:
    assert services[0].slide("small").fingerprint == services[1].slide("small").fingerprint


def test_slides_of_two_sampling_configs_share_nothing(tmp_path: Path) -> None:
    """Neither tiles nor windows, which several painting threads have in common."""
    weights = tmp_path / "mini.safetensors"
    save_weights(weights, tiny_weights())
    own = Slide("own", 5, 3000, 2100)
    two = replace(own, name="two", sampling=SamplingConfig(2))
    settings = Settings(cache=tmp_path / "cache", paint_threads=2)
    assembly = assemble(settings, Catalogue((Entry(own, ""), Entry(two, ""))), {"mini": ModelFiles(weights)})
    address, painted = TileAddress(11, 1, 1), {}
    for slide in (two, own):
        painted[slide.name] = assembly.service.pixels(assembly.service.slide(slide.name), address, lambda: False)
    assembly.close()
    for slide in (own, two):
        alone = Painter(slide, load_mini(weights), MemoryTiles(), make_sketch(slide)).tile(TileIndex(1, 1, 1))
        assert np.array_equal(painted[slide.name], alone)
    assert not np.array_equal(painted["own"], painted["two"])


@pytest.mark.parametrize("model", ["mini", "speckle"])
def test_below_a_picture_all_detail_is_the_model_s(model: str) -> None:
    """Nothing is drawn there, whatever the model."""
    rng = np.random.default_rng(4)
    picture, slide = ImageTop(rng.integers(90, 240, (64, 64, 3)).astype(np.uint8), 4), Slide("below", 7, 1024, 1024)
    painters = load_painters(model, paints=LocalWindows(SpeckleModel()))
    painted = painters.make(slide, MemoryTiles(), picture, None).tile(TileIndex(2, 0, 0))
    assert np.array_equal(painted, Painter(slide, SpeckleModel(), MemoryTiles(), picture).tile(TileIndex(2, 0, 0)))


def test_the_overview_of_an_endless_slide_is_not_painted(
    clients: list[FlaskClient], services: list[TileService]
) -> None:
    level = services[0].slide("endless").zoom.min_level
    middle = 2 ** (level - 9)
    assert clients[0].get(f"/slides/endless_files/{level}/{middle}_{middle}.jpeg").status_code == 200
    assert clients[0].get(f"/slides/endless_files/{level - 1}/{middle // 2}_{middle // 2}.jpeg").status_code == 404


PAINTER_STAGES = (
    "everslide.model.pyramid.painter.PYRAMID_FORMAT",
    "everslide.model.pyramid.keyed_noise.SEED_FORMAT",
    "everslide.model.pyramid.sketch.SKETCH_FORMAT",
    "everslide.model.pyramid.sketch.LAYOUT_FORMAT",
    "numpy.__version__",
    "scipy.__version__",
    "everslide.server.encode.ENCODING_FORMAT",
    "everslide.server.encode._PNG_UP",
)


@pytest.mark.parametrize("stage", PAINTER_STAGES)
def test_tags_and_keys_change_with_the_code_of_every_stage(
    stage: str, speckle: dict[str, Painters], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles of another version never mix with those of this one, however they are kept."""

    def facts() -> tuple[str, str, str]:
        service = TileService(
            Catalogue((Entry(SMALL, "small"),)), speckle, make_stores(Settings(cache=tmp_path)), PaintQueue()
        )
        slide = service.slide("small")
        tile = TileIndex(3, 0, 0)
        tag = slide.etag(slide.zoom.address(tile), PNG)
        service.close()
        return slide.fingerprint, tag, slide.tiles.key(tile).name

    before = facts()
    monkeypatch.setattr(stage, "99")
    assert all(now != then for now, then in zip(facts(), before, strict=True))


@pytest.mark.parametrize("setting", ["JPEG_QUALITY", "_JPEG_SUBSAMPLING", "_WEBP_QUALITY", "_WEBP_METHOD"])
def test_other_settings_of_jpeg_and_webp_change_tags_and_leave_the_lossless_tiles(
    setting: str, speckle: dict[str, Painters], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def facts() -> tuple[str, str]:
        service = TileService(
            Catalogue((Entry(SMALL, "small"),)), speckle, make_stores(Settings(cache=tmp_path)), PaintQueue()
        )
        slide = service.slide("small")
        service.close()
        return slide.fingerprint, slide.tiles.key(TileIndex(3, 0, 0)).name

    before = facts()
    monkeypatch.setattr(f"everslide.server.encode.{setting}", "99")
    after = facts()
    assert after[0] != before[0] and after[1] == before[1]

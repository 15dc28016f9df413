"""Places amid tissue: for tours and quizzes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from everslide.cache.memory import MemoryStore
from everslide.model.organs import style_of
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Region
from everslide.server.app import create_app
from everslide.server.painters import load_painters
from everslide.server.queue import PaintQueue
from everslide.server.slides import Catalogue, Entry
from everslide.server.tiles import Stores, TileService
from everslide.server.tissue_places import spread, tissue_density, tissue_places
from tests.server.stub import Studio, make_service
from tests.server.test_organs import KNOWS


@pytest.fixture
def service() -> Iterator[TileService]:
    """Slides of speckle: whole, without an end, far too large to be shown whole, and small."""
    slides = (
        Slide("whole", 7, model="speckle"),
        Slide("endless", 11, 2**31, 2**31, unbounded=True, model="speckle"),
        Slide("vast", 3, 2**40, 2**39, model="speckle"),
        Slide("small", 5, 3000, 2000, model="speckle"),
    )
    stores = Stores(*(MemoryStore(10**8) for _ in range(3)))
    entries = tuple(Entry(slide, slide.name) for slide in slides)
    service = TileService(Catalogue(entries), {"speckle": load_painters("speckle")}, stores, PaintQueue())
    yield service
    service.close()


@pytest.mark.parametrize("name", ["whole", "endless", "vast", "small"])
def test_places_lie_amid_tissue_and_are_the_same_every_time(service: TileService, name: str) -> None:
    slide = service.slide(name)
    places = tissue_places(service, slide, 8, lambda: False)
    assert places == tissue_places(service, slide, 8, lambda: False)
    assert len({(place.x, place.y) for place in places}) == len(places)
    assert all(place.tissue > 0.2 and place.organ is None for place in places)
    width, height = slide.entry.slide.width_px, slide.entry.slide.height_px
    assert all(0 <= place.x < width and 0 <= place.y < height for place in places)
    if name == "whole":
        assert len(places) == 8 and places[0].tissue == max(place.tissue for place in places)


def test_the_densest_come_first_and_none_is_near_another() -> None:
    density = np.zeros((60, 80))
    density[10:20, 10:20], density[40:50, 60:70], density[0, 0] = 0.9, 0.8, 0.4
    found = spread(density, 20, seed=1)
    shares = [share for _, _, share in found]
    assert shares == sorted(shares, reverse=True) and {0.9, 0.8} == set(shares)
    places = [(row, col) for row, col, _ in found]
    assert all(max(abs(a - c), abs(b - d)) > 6 for i, (a, b) in enumerate(places) for c, d in places[:i])
    chips = np.where(density == 0.4, 0.1, 0.0)
    assert spread(chips, 20, seed=1) == [(0, 0, 0.1)], "a chip of a biopsy, where there is nothing larger"
    assert len(spread(density, 1, seed=1)) == 1 and spread(np.zeros((4, 4)), 3, seed=1) == []
    assert {spread(density, 1, seed)[0][:2] for seed in range(9)} != {found[0][:2]}, "drawn from the seed"


def test_glass_is_no_tissue() -> None:
    pixels = np.full((40, 40, 3), 243, np.uint8)
    pixels[10:30, 10:30] = (200, 120, 170)
    density = tissue_density(pixels)
    assert density[20, 20] == pytest.approx(1) and density[2, 2] == pytest.approx(0)


def test_a_place_in_a_region_is_of_the_organ_of_the_region() -> None:
    service = make_service(Studio(capabilities=KNOWS))
    half = Region(0, 0, 30000, 49152, style_of("lymph node", 1))
    service.add(Entry(Slide("two", 5, model="stub", organ="skin"), "two", None, Reference(None, (half,))))
    places = tissue_places(service, service.slide("two"), 20, lambda: False)
    assert {place.organ for place in places if place.x * 0.5 < 29000} == {"lymph node"}
    assert {place.organ for place in places if place.x * 0.5 > 31000} == {"skin"}
    service.close()


def test_over_http(service: TileService, tmp_path: object) -> None:
    client = create_app(service, tmp_path).test_client()  # type: ignore[arg-type]
    answer = client.get("/api/slides/whole/tissue?count=3")
    assert answer.status_code == 200 and answer.json is not None and len(answer.json["places"]) == 3
    assert answer.json["places"][0].keys() == {"x", "y", "tissue", "organ"}
    for wrong in ("count=0", "count=21", "count=x"):
        assert client.get(f"/api/slides/whole/tissue?{wrong}").status_code == 400
    assert client.get("/api/slides/none/tissue").status_code == 404

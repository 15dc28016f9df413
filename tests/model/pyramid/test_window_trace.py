from __future__ import annotations

from pathlib import Path

import numpy as np

from everslide.model.geometry import TileIndex
from everslide.model.mini.model import MiniModel, load_mini
from everslide.model.mini.weights import save_weights
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.window_trace import NO_DIFFERENCE_DB, PaintedWindow, WatchedWindows
from everslide.model.pyramid.windows import LocalWindows
from everslide.model.sampling_config import SamplingConfig
from everslide.model.slide import Slide
from tests.model.networks import tiny_weights
from tests.model.painting import sketch_of

SLIDE = Slide("demo", 7, 8192, 8192, model="speckle")


def tiny_mini(folder: Path) -> MiniModel:
    save_weights(folder / "mini.safetensors", tiny_weights())
    return load_mini(folder / "mini.safetensors", side_by_side=1)


class NoTiles:
    def get(self, tile: TileIndex) -> None:
        return None

    def put(self, tile: TileIndex, pixels: object) -> None:
        return


def test_watching_changes_nothing_and_misses_no_window() -> None:
    seen: list[PaintedWindow] = []
    watched = Painter(SLIDE, WatchedWindows(LocalWindows(SpeckleModel()), seen.append), NoTiles(), sketch_of(SLIDE))
    plain = Painter(SLIDE, SpeckleModel(), NoTiles(), sketch_of(SLIDE))
    tile = TileIndex(6, 0, 0)
    assert np.array_equal(watched.tile(tile), plain.tile(tile))
    assert watched.fingerprint == plain.fingerprint
    assert len(seen) == watched.counts.windows
    assert [window.s for window in seen] == sorted((window.s for window in seen), reverse=True)
    assert all(window.seconds > 0 for window in seen)


def test_agreement_is_that_of_rounding() -> None:
    parent = np.full((160, 160, 3), 100, np.uint8)
    none = np.zeros((160, 160, 3, 3), np.float32)
    noise = np.zeros((9, 160, 160), np.float32)
    assert PaintedWindow(0, 0.1, parent, noise, none).agreement_db == NO_DIFFERENCE_DB
    assert np.array_equal(PaintedWindow(0, 0.1, parent, noise, none).unclosed, np.full((320, 320, 3), 100))
    # Children 150, 150, 50, 50 of 100 agree; 300, 300, -100, -100 are cut to 255 and 0, whose mean is 128.
    bands = none.copy()
    bands[..., 1, :] = 50
    assert PaintedWindow(0, 0.1, parent, noise, bands).agreement_db == NO_DIFFERENCE_DB
    bands[..., 1, :] = 200
    expected = 10 * np.log10(255**2 / 28**2)
    assert abs(PaintedWindow(0, 0.1, parent, noise, bands).agreement_db - expected) < 1e-9


def test_the_steps_of_a_window_end_in_its_detail(tmp_path: Path) -> None:
    seen: list[PaintedWindow] = []
    windows = WatchedWindows(LocalWindows(tiny_mini(tmp_path)), seen.append)
    slide = Slide("demo", 7, 8192, 8192, sampling=SamplingConfig(2))
    Painter(slide, windows, NoTiles(), sketch_of(slide)).tile(TileIndex(7, 0, 0))
    steps = seen[-1].steps()
    assert len(steps) == 2
    assert np.array_equal(steps[-1].astype(np.float32), seen[-1].bands)
    assert np.array_equal(seen[-1].with_detail(steps[-1]), seen[-1].unclosed)


def test_a_model_without_steps_shows_none() -> None:
    seen: list[PaintedWindow] = []
    watched = WatchedWindows(LocalWindows(SpeckleModel()), seen.append)
    Painter(SLIDE, watched, NoTiles(), sketch_of(SLIDE)).tile(TileIndex(7, 0, 0))
    assert list(seen[-1].steps()) == []

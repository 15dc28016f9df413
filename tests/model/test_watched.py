from __future__ import annotations

import numpy as np

from everslide.model.fake import SpeckleDenoiser
from everslide.model.geometry import TileIndex
from everslide.model.painter import Painter
from everslide.model.slide import Slide
from everslide.model.watched import NO_DIFFERENCE_DB, PaintedWindow, WatchedWindows
from everslide.model.windows import LocalWindows

SLIDE = Slide("demo", 7, 8192, 8192, model="speckle")


class NoTiles:
    def get(self, tile: TileIndex) -> None:
        return None

    def put(self, tile: TileIndex, pixels: object) -> None:
        return


def test_watching_changes_nothing_and_misses_no_window() -> None:
    seen: list[PaintedWindow] = []
    watched = Painter(SLIDE, WatchedWindows(LocalWindows(SpeckleDenoiser()), seen.append), NoTiles())
    plain = Painter(SLIDE, SpeckleDenoiser(), NoTiles())
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

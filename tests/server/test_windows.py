"""Windows shared by threads: painted once, kept as they come, and the same bytes however many threads paint."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from everslide.cache.local_leases import LocalLeases
from everslide.cache.memory import MemoryStore
from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex, WindowIndex
from everslide.model.mini.model import MiniModel
from everslide.model.pyramid.batching import GatheredWindows
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.slide import Slide
from everslide.server.errors import GoneError
from everslide.server.windows import SharedWindows
from tests.model.networks import tiny_weights
from tests.model.painting import SlowSpeckle
from tests.model.pictures import tissue

PARENT = np.full((160, 160, 3), 90, np.uint8)
TILES = [TileIndex(0, 2 + i % 3, 2 + i // 3) for i in range(9)] + [TileIndex(1, 1, 1), TileIndex(2, 0, 0)]


def shared(windows: GatheredWindows) -> SharedWindows:
    return SharedWindows(windows, MemoryStore(10**8), LocalLeases())


def painter(model: MiniModel | SpeckleModel | SharedWindows) -> Painter:
    return Painter(Slide("photo", 3, 2048, 2048), model, MemoryTiles(), ImageTop(tissue(512, 512), 2))


@pytest.mark.parametrize("threads", [2, 3])
def test_one_and_several_painting_threads_paint_the_same_tiles_in_any_order(threads: int) -> None:
    one = painter(MiniModel(tiny_weights(), torch.device("cpu"), batch=1))
    alone = {tile: one.tile(tile) for tile in TILES}
    gathered = GatheredWindows(MiniModel(tiny_weights(), torch.device("cpu"), 1, side_by_side=threads))
    for seed in (1, 2):
        several, order = painter(shared(gathered)), random.Random(seed).sample(TILES, len(TILES))
        with ThreadPoolExecutor(threads) as pool:
            for tile, pixels in zip(order, pool.map(several.tile, order), strict=True):
                np.testing.assert_array_equal(pixels, alone[tile])
    gathered.close()


def test_threads_that_want_the_same_tiles_paint_no_window_twice() -> None:
    model, alone = SlowSpeckle(), painter(SlowSpeckle())
    gathered = GatheredWindows(model)
    several = painter(shared(gathered))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(several.tile, TILES * 2))
    gathered.close()
    for tile in TILES:
        alone.tile(tile)
    assert len(model.batches) == gathered.counts.windows == alone.counts.windows


class Gated(SlowSpeckle):
    """Begins a window only where it has a permit, so that no thread is ahead of another by chance."""

    def __init__(self, permits: int) -> None:
        super().__init__()
        self.permits = threading.Semaphore(permits)

    def bands(self, *given: Any) -> Any:
        """See `WindowModel.bands`."""
        self.permits.acquire()
        return super().bands(*given)


def test_what_was_painted_before_the_work_ended_is_kept() -> None:
    asked = 0

    def gone_at_the_third() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise GoneError("a client that waits", "none", "ask again")

    model, store, leases = Gated(2), MemoryStore(10**8), LocalLeases()
    gathered = GatheredWindows(model)
    windows, context = [WindowIndex(0, i, 0) for i in range(9)], GenerationContext(1)
    with pytest.raises(GoneError):
        SharedWindows(gathered, store, leases, gone_at_the_third).paint(context, windows, [PARENT] * 9)
    assert store.stats().entries == 2
    model.permits.release(9)
    SharedWindows(gathered, store, leases).paint(context, windows, [PARENT] * 9)
    gathered.close()
    assert 9 <= len(model.batches) <= 10, "at most the one that was being painted is painted again"

"""Windows painted one by one, in batches, and gathered from several threads: the same bands, and batches that fill."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.geometry import WindowIndex
from everslide.model.pyramid.batching import GatheredWindows
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.windows import LocalWindows, Windows
from tests.model.painting import SlowSpeckle

Pixels = NDArray[np.uint8]


def parent(tone: int) -> Pixels:
    return np.full((160, 160, 3), tone, np.uint8)


def alone(seed: int, window: WindowIndex, below: Pixels) -> NDArray[np.float16]:
    (bands,) = LocalWindows(SpeckleModel()).paint(GenerationContext(seed), [window], [below])
    return bands


def test_both_are_windows() -> None:
    gathered = GatheredWindows(SpeckleModel())
    assert isinstance(LocalWindows(SpeckleModel()), Windows)
    assert isinstance(gathered, Windows)
    assert not isinstance(SpeckleModel(), Windows)
    assert gathered.fingerprint == SpeckleModel().fingerprint
    gathered.close()


def test_windows_of_several_threads_share_a_batch() -> None:
    model = SlowSpeckle(batch=4)
    gathered = GatheredWindows(model, seconds=60)  # a full batch does not wait
    together, painted = threading.Barrier(4), {}

    def ask(i: int) -> None:
        together.wait()
        (painted[i],) = gathered.paint(GenerationContext(9), [WindowIndex(2, i, 0)], [parent(100 + i)])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(model.batches) == 1
    assert (gathered.counts.windows, gathered.counts.batches, gathered.counts.places) == (4, 1, 4)
    for i in range(4):
        np.testing.assert_array_equal(painted[i], alone(9, WindowIndex(2, i, 0), parent(100 + i)))
    gathered.close()


def test_slides_and_scales_are_not_mixed() -> None:
    model = SlowSpeckle(batch=4)
    gathered = GatheredWindows(model, seconds=0.2)
    results: dict[tuple[int, int], NDArray[np.float16]] = {}

    def ask(seed: int, s: int) -> None:
        (results[seed, s],) = gathered.paint(GenerationContext(seed), [WindowIndex(s, 0, 0)], [parent(90)])

    kinds = [(1, 0), (1, 3), (2, 0), (2, 3)]
    threads = [threading.Thread(target=ask, args=kind) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(model.batches) == 4
    for seed, s in kinds:
        np.testing.assert_array_equal(results[seed, s], alone(seed, WindowIndex(s, 0, 0), parent(90)))
    gathered.close()


def test_a_lonely_window_is_painted_too() -> None:
    gathered = GatheredWindows(SpeckleModel(batch=8))
    (bands,) = gathered.paint(GenerationContext(3), [WindowIndex(1, 5, 5)], [parent(50)])
    np.testing.assert_array_equal(bands, alone(3, WindowIndex(1, 5, 5), parent(50)))
    assert (gathered.counts.windows, gathered.counts.places) == (1, 8)
    gathered.close()


def test_a_failure_reaches_those_who_asked_and_nobody_else() -> None:
    class Failing(SpeckleModel):
        def bands(
            self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels
        ) -> NDArray[np.float32]:
            if windows[0].s == 7:
                raise RuntimeError("out of memory")
            return super().bands(context, windows, parents)

    gathered = GatheredWindows(Failing())
    with pytest.raises(RuntimeError, match="out of memory"):
        gathered.paint(GenerationContext(1), [WindowIndex(7, 0, 0)], [parent(0)])
    assert len(gathered.paint(GenerationContext(1), [WindowIndex(1, 0, 0)], [parent(0)])) == 1
    gathered.close()


def test_closing_finishes_what_was_asked() -> None:
    gathered = GatheredWindows(SpeckleModel(batch=4))
    bands = gathered.paint(
        GenerationContext(1), [WindowIndex(0, i, 0) for i in range(6)], [parent(i) for i in range(6)]
    )
    gathered.close()
    assert len(bands) == 6
    assert gathered.counts.batches == 2


def test_a_model_that_takes_two_threads_paints_two_windows_at_the_same_time() -> None:
    model = Meeting(2)
    gathered, windows = GatheredWindows(model), [WindowIndex(0, i, 0) for i in range(4)]
    assert gathered.places == 2
    for painted in (gathered.paint, LocalWindows(model).paint):
        bands = painted(GenerationContext(1), windows, [parent(10 * i) for i in range(4)])
        for i, window in enumerate(windows):
            np.testing.assert_array_equal(bands[i], alone(1, window, parent(10 * i)))
    gathered.close()


def test_windows_that_are_not_begun_are_given_up_with_whoever_asked() -> None:
    model = SlowSpeckle()
    gathered = GatheredWindows(model)
    windows = [WindowIndex(0, i, 0) for i in range(50)]
    each = gathered.paint_each(GenerationContext(1), windows, [parent(1)] * 50)
    i, bands = next(each)
    each.close()
    np.testing.assert_array_equal(bands, alone(1, windows[i], parent(1)))
    gathered.close()
    assert len(model.batches) < 50


class Meeting(SpeckleModel):
    """Speckle that waits until so many of its windows are being painted."""

    def __init__(self, side_by_side: int) -> None:
        super().__init__()
        self.side_by_side = side_by_side
        self._together = threading.Barrier(side_by_side)

    def bands(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> NDArray[np.float32]:
        """See `WindowModel.bands`."""
        self._together.wait(30)
        return super().bands(context, windows, parents)

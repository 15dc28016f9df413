"""Sharing of painted windows among threads and processes: each window is painted once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

import numpy as np

from everslide.cache.local_leases import LeaseBook
from everslide.cache.store import ByteStore, Key
from everslide.model.geometry import WindowGrid, WindowIndex
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.windows import Bands, Counts, PaintsEach, Parent, WrappedWindows

_WAIT_SECONDS = 0.5


def _nothing() -> None:
    return


def window_name(fingerprint: str, context: GenerationContext, window: WindowIndex, parent: Parent) -> str:
    """The store key of a window: all that its bands depend on. fingerprint: of the model."""
    below = hashlib.sha256(parent.tobytes()).hexdigest()[:24]
    return f"window-1/{fingerprint}/{context.key}/{window.s}/{window.col}_{window.row}/{below}"


def bands_from(data: bytes, grid: WindowGrid) -> Bands:
    """Bytes float16 -> the bands (h, h, 3, 3) of a window of `grid`, h half a window."""
    side = grid.window_px // 2
    return np.frombuffer(data, np.float16).reshape(side, side, 3, 3)


class SharedWindows(WrappedWindows):
    """A `Windows` that takes a window from `store`, or paints it with `paints`, or waits while another thread or
    process paints it.

    No thread waits while it holds a lease, so there is no deadlock. Each window is stored, and its lease released, as
    soon as it is painted. still_wanted: called while waiting and before each window; what it raises ends the work, and
    windows painted until then stay stored. alone: whether the calling thread may paint only one window at a time.
    """

    def __init__(
        self,
        paints: PaintsEach,
        store: ByteStore,
        leases: LeaseBook,
        still_wanted: Callable[[], None] = _nothing,
        alone: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(paints)
        self._paints, self._store, self._leases = paints, store, leases
        self._still_wanted, self._alone = still_wanted, alone

    @property
    def counts(self) -> Counts:
        return self._paints.counts

    def paint(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> list[Bands]:
        """See `Windows.paint`."""
        names = [
            window_name(self.fingerprint, context, window, parent)
            for window, parent in zip(windows, parents, strict=True)
        ]
        found: dict[int, Bands] = {}
        while True:
            missing = [i for i in range(len(windows)) if i not in found and not self._look(names[i], i, found)]
            if not missing:
                return [found[i] for i in range(len(windows))]
            self._still_wanted()
            if self._alone():
                missing = missing[:1]
            with ExitStack() as held:
                leases = {i: lease for i in missing if (lease := self._lease(names[i], i, found, held)) is not None}
                mine = list(leases)
                if mine:
                    each = self._paints.paint_each(context, [windows[i] for i in mine], [parents[i] for i in mine])
                    with closing(each):
                        for number, painted in each:
                            i = mine[number]
                            data = painted.tobytes()
                            found[i] = bands_from(data, self.grid)  # the bytes that the store keeps, not as many again
                            self._store.put(Key(names[i]), data)
                            leases.pop(i).close()
                            if leases:
                                self._still_wanted()
                    continue
            if any(i not in found for i in missing):
                self._leases.wait(next(names[i] for i in missing if i not in found), _WAIT_SECONDS)

    def _look(self, name: str, i: int, found: dict[int, Bands]) -> bool:
        data = self._store.get(Key(name))
        if data is None:
            return False
        found[i] = bands_from(data, self.grid)
        return True

    def _lease(self, name: str, i: int, found: dict[int, Bands], held: ExitStack) -> ExitStack | None:
        """The lease of a window that this thread has to paint: it is free, and nobody was done in the meantime. Close
        it, or `held`, to let others have it."""
        lease = self._leases.acquire(name)
        if lease is None:
            return None
        own = held.enter_context(ExitStack())
        own.enter_context(lease)
        if self._look(name, i, found):
            own.close()
            return None
        return own

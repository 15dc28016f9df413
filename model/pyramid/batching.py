"""Micro-batches: windows that several threads want at the same time, painted together by one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from everslide.model.geometry import WindowIndex
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.pyramid.windows import Bands, Counts, Parent, count_batch, paint_batch


@dataclass(frozen=True, eq=False)
class _Wish:
    context: GenerationContext
    window: WindowIndex
    parent: Parent
    painted: Future[Bands] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[str, int]:
        """What the windows of a batch have in common."""
        return self.context.key, self.window.s


class GatheredWindows:
    """Paints windows in one thread, which owns the model, for any number of threads that ask.

    A batch has the model's one shape and windows of one scale and slide. The first window waits for others to
    join it for `seconds` at most, and not at all where a batch is a single window.
    """

    def __init__(self, model: WindowModel, seconds: float = 0.005) -> None:
        self._model = model
        self.fingerprint, self.grid, self.scales = model.fingerprint, model.grid, model.scales
        self.steerable, self.capabilities = model.steerable, model.capabilities
        self._seconds = seconds if model.batch > 1 else 0.0
        self.counts = Counts()
        self._wishes: queue.SimpleQueue[_Wish | None] = queue.SimpleQueue()
        self._put_off: list[_Wish] = []
        self._thread = threading.Thread(target=self._run, name="windows", daemon=True)
        self._thread.start()

    @property
    def batch(self) -> int:
        """Windows painted at the same time."""
        return self._model.batch

    def paint(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> list[Bands]:
        """See `Windows.paint`; safe to call from several threads."""
        wishes = [_Wish(context, window, parent) for window, parent in zip(windows, parents, strict=True)]
        for wish in wishes:
            self._wishes.put(wish)
        return [wish.painted.result() for wish in wishes]

    def close(self) -> None:
        """Paint what was asked for until now, and end the thread."""
        self._wishes.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._gather()) is not None:
            try:
                bands = paint_batch(
                    self._model,
                    batch[0].context,
                    [wish.window for wish in batch],
                    [wish.parent for wish in batch],
                )
            except Exception as error:  # it belongs to those who asked
                for wish in batch:
                    wish.painted.set_exception(error)
                continue
            count_batch(self.counts, self._model, batch[0].context, len(batch))
            for wish, painted in zip(batch, bands, strict=True):
                wish.painted.set_result(painted)

    def _gather(self) -> list[_Wish] | None:
        """The next batch: the oldest wish and others of its scale and slide; None at the end."""
        first = self._put_off.pop(0) if self._put_off else self._wishes.get()
        if first is None:
            return None
        kind, size = first.kind, self._model.batch
        alike = [wish for wish in self._put_off if wish.kind == kind][: size - 1]
        self._put_off = [wish for wish in self._put_off if wish not in alike]
        batch = [first, *alike]
        deadline = time.monotonic() + self._seconds
        while len(batch) < size:
            try:
                wish = self._wishes.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if wish is None:
                self._wishes.put(None)  # the end comes after this batch
                break
            (batch if wish.kind == kind else self._put_off).append(wish)
        return batch

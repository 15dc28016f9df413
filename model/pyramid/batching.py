"""Windows that any number of threads ask for, painted in as many threads as suit the model, in batches of one shape."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Sequence
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
    """Paints windows in `side_by_side` threads of its own, for any number of threads that ask.

    A batch has the model's one shape and windows of one scale and slide. The first window waits for others to
    join it for `seconds` at most, and not at all where a batch is a single window. Which thread paints a window, and
    beside which others, changes none of its bytes.
    """

    def __init__(self, model: WindowModel, seconds: float = 0.005) -> None:
        self._model = model
        self.fingerprint, self.grid, self.scales = model.fingerprint, model.grid, model.scales
        self.steerable, self.capabilities = model.steerable, model.capabilities
        self._seconds = seconds if model.batch > 1 else 0.0
        self.counts = Counts()
        self._changed = threading.Condition()
        self._wishes: list[_Wish] = []  # the oldest first
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, name=f"windows {i}", daemon=True) for i in range(model.side_by_side)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def places(self) -> int:
        """Windows painted at the same time."""
        return self._model.batch * self._model.side_by_side

    def paint(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> list[Bands]:
        """See `Windows.paint`; safe to call from several threads."""
        painted = dict(self.paint_each(context, windows, parents))
        return [painted[i] for i in range(len(windows))]

    def paint_each(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> Generator[tuple[int, Bands], None, None]:
        """See `PaintsEach.paint_each`; safe to call from several threads."""
        wishes = [_Wish(context, window, parent) for window, parent in zip(windows, parents, strict=True)]
        done: queue.SimpleQueue[int] = queue.SimpleQueue()
        for i, wish in enumerate(wishes):
            wish.painted.add_done_callback(lambda _, i=i: done.put(i))  # type: ignore[misc]
        with self._changed:
            self._wishes += wishes
            self._changed.notify_all()
        try:
            for _ in wishes:
                i = done.get()
                yield i, wishes[i].painted.result()
        finally:
            with self._changed:
                self._wishes = [wish for wish in self._wishes if wish not in wishes]

    def close(self) -> None:
        """Paint what was asked for until now, and end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._gather():
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
            with self._changed:
                count_batch(self.counts, self._model, batch[0].context, len(batch))
            for wish, painted in zip(batch, bands, strict=True):
                wish.painted.set_result(painted)

    def _gather(self) -> list[_Wish]:
        """The next batch: the oldest wish and others of its scale and slide; none at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._wishes or self._closing)
                if not self._wishes:
                    return []
                if batch := self._complete(self._wishes[0]):
                    self._wishes = [wish for wish in self._wishes if wish not in batch]
                    return batch

    def _complete(self, first: _Wish) -> list[_Wish]:
        """The batch of `first` when it is full or no other may join it any more. The lock is held, but for the wait."""
        full = (0, self._model.batch)
        self._changed.wait_for(lambda: self._closing or len(self._batch_of(first)) in full, self._seconds)
        return self._batch_of(first)

    def _batch_of(self, first: _Wish) -> list[_Wish]:
        """Those to be painted with `first`, which comes first; none where it was given up or taken meanwhile."""
        alike = [wish for wish in self._wishes if wish.kind == first.kind][: self._model.batch]
        return alike if first in self._wishes else []

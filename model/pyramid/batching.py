"""Windows requested by any number of threads, gathered into batches of the model's one shape, and painted in the
model's own number of threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from everslide.model.geometry import WindowIndex
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.pyramid.windows import Bands, Counts, Parent, count_batch, in_order, paint_batch


@dataclass(frozen=True, eq=False)
class _Request:
    context: GenerationContext
    window: WindowIndex
    parent: Parent
    painted: Future[Bands] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[str, int]:
        """Requests of equal kind may share a batch."""
        return self.context.key, self.window.s


class GatheredWindows:
    """A `Windows` that paints with `model` in `model.side_by_side` threads of its own. Safe to use from several
    threads.

    A batch holds windows of one scale and one context. The first window waits at most `seconds` for others to join it,
    and not at all where the batch size is 1. Neither the thread nor the other windows of its batch change a window's
    bytes. Call `close` at the end.
    """

    def __init__(self, model: WindowModel, seconds: float = 0.005) -> None:
        self._model = model
        self.fingerprint, self.grid, self.scales = model.fingerprint, model.grid, model.scales
        self.steerable, self.capabilities = model.steerable, model.capabilities
        self._seconds = seconds if model.batch > 1 else 0.0
        self.counts = Counts()
        self._changed = threading.Condition()
        self._requests: list[_Request] = []  # the oldest first
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, name=f"windows {i}", daemon=True) for i in range(model.side_by_side)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def places(self) -> int:
        """How many windows are painted at the same time."""
        return self._model.batch * self._model.side_by_side

    def paint(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> list[Bands]:
        """See `Windows.paint`; safe to call from several threads."""
        return in_order(self.paint_each(context, windows, parents))

    def paint_each(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> Generator[tuple[int, Bands], None, None]:
        """See `PaintsEach.paint_each`; safe to call from several threads."""
        requests = [_Request(context, window, parent) for window, parent in zip(windows, parents, strict=True)]
        done: queue.SimpleQueue[int] = queue.SimpleQueue()
        for i, request in enumerate(requests):
            request.painted.add_done_callback(lambda _, i=i: done.put(i))  # type: ignore[misc]
        with self._changed:
            self._requests += requests
            self._changed.notify_all()
        try:
            for _ in requests:
                i = done.get()
                yield i, requests[i].painted.result()
        finally:
            with self._changed:
                self._requests = [request for request in self._requests if request not in requests]

    def close(self) -> None:
        """Paint what was requested until now, and end the threads."""
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
                    [request.window for request in batch],
                    [request.parent for request in batch],
                )
            except Exception as error:  # raised again in the threads that requested the windows
                for request in batch:
                    request.painted.set_exception(error)
                continue
            with self._changed:
                count_batch(self.counts, self._model, batch[0].context, len(batch))
            for request, painted in zip(batch, bands, strict=True):
                request.painted.set_result(painted)

    def _gather(self) -> list[_Request]:
        """The next batch: the oldest request and others of its kind; empty when all is done and closing."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._requests or self._closing)
                if not self._requests:
                    return []
                if batch := self._complete(self._requests[0]):
                    self._requests = [request for request in self._requests if request not in batch]
                    return batch

    def _complete(self, first: _Request) -> list[_Request]:
        """The batch of `first` when it is full or no other may join it any more. The lock is held, but for the wait."""
        full = (0, self._model.batch)
        self._changed.wait_for(lambda: self._closing or len(self._batch_of(first)) in full, self._seconds)
        return self._batch_of(first)

    def _batch_of(self, first: _Request) -> list[_Request]:
        """`first` and others of its kind; empty where `first` was given up or taken by another thread meanwhile."""
        alike = [request for request in self._requests if request.kind == first.kind][: self._model.batch]
        return alike if first in self._requests else []

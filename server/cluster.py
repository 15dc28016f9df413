"""A Dask cluster as the engine: windows as named pure tasks on workers of one numeric fingerprint.

The members of a cluster trust each other: Dask's own protocol carries pickles between them. Keep it on a network of
its own, or use its TLS. What Everslide itself sends and keeps are bytes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from distributed import Client, Future, KilledWorker, Worker, WorkerPlugin, get_worker
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from everslide.model.errors import EverslideError
from everslide.model.geometry import WindowGrid, WindowIndex
from everslide.model.pyramid.batching import GatheredWindows
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.windows import Bands, Counts, Parent, in_order
from everslide.model.sampling_config import SamplingCapabilities, SamplingConfig
from everslide.model.style_reference import Reference
from everslide.server.painters import ModelFiles, load_model
from everslide.server.windows import bands_from, window_name
from everslide.server.worked import WORK_BYTES, UnreportedWork, add_work

log = logging.getLogger(__name__)

_RETRIES = 3
"""How often a window is tried again after its task failed, and after the scheduler gave it up because too many workers
died while they had it, mostly a coincidence where workers come and go, or because the scheduler itself died."""
_POLL_SECONDS = 0.2
_PLUGIN = "everslide"


class EngineError(EverslideError):
    """The engine that should paint cannot be used; raised at start."""


def resource_of(model: str, fingerprint: str) -> str:
    """The Dask resource of workers that paint the same bytes: a task goes to no other worker."""
    return f"everslide-{model}-{fingerprint[:16]}"


def check_paints_from_parents(model: str, capabilities: SamplingCapabilities) -> None:
    """Raise EngineError for a model that paints from a slide's topmost plane too: a task carries a window's parent."""
    if capabilities.from_top:
        raise EngineError(
            f"model {model!r}, as its options have it, paints from a slide's topmost plane, which workers are not sent "
            "(preset=joint): serve it without --scheduler, or choose another preset"
        )


class Brush(WorkerPlugin):
    """The model of a worker, shared by its threads: their windows are gathered into batches, and painted on all
    cores."""

    def __init__(self, model: str, windows: GatheredWindows) -> None:
        self.model, self.windows, self.work = model, windows, UnreportedWork(windows.counts)
        self.name = _PLUGIN

    def teardown(self, worker: Worker) -> None:
        self.windows.close()


def paint_window(
    seed: int,
    s: int,
    col: int,
    row: int,
    parent: bytes,
    reference: str = "",
    steps: int | None = None,
    guidance: float = 1.0,
    picture_s: int | None = None,
) -> bytes:
    """The Dask task: paint one window on a worker.

    parent: (h, h, 3) uint8 as bytes, h half a window. reference: what the slide shall look like, as JSON; "" for none.
    steps, guidance: its `SamplingConfig`. picture_s: see `GenerationContext`. Returns the work of the worker since its
    last answer (`everslide.server.worked`), then the bands (h, h, 3, 3) float16, as bytes.
    """
    brush: Any = get_worker().plugins[_PLUGIN]
    grid: WindowGrid = brush.windows.grid
    pixels = np.frombuffer(parent, np.uint8).reshape(grid.window_px // 2, grid.window_px // 2, 3)
    like = Reference.from_dict(json.loads(reference)) if reference else None
    context = GenerationContext(seed, like, SamplingConfig(steps, guidance), picture_s)
    (bands,) = brush.windows.paint(context, [WindowIndex(s, col, row, grid)], [pixels])
    data: bytes = brush.work.take() + bands.tobytes()
    return data


@dataclass(frozen=True)
class WorkerModel:
    """What a worker paints with: the name of its model, and the facts of `Windows`."""

    name: str
    fingerprint: str
    grid: WindowGrid
    scales: int
    steerable: bool
    capabilities: SamplingCapabilities


def _models(dask_worker: Worker) -> WorkerModel | None:
    """The model of a worker of Everslide."""
    brush: Any = dask_worker.plugins.get(_PLUGIN)
    if brush is None:
        return None
    windows: GatheredWindows = brush.windows
    facts = (windows.fingerprint, windows.grid, windows.scales, windows.steerable, windows.capabilities)
    return WorkerModel(brush.model, *facts)


class Cluster:
    """The workers behind a scheduler. Raises EngineError where it cannot be reached."""

    def __init__(self, address: str, timeout: float = 30.0) -> None:
        self.address = address
        self._timeout = timeout
        try:
            self._client = Client(address, timeout=timeout, name="everslide", set_as_default=False)
        except (OSError, ValueError) as error:
            raise EngineError(
                f"scheduler {address}: cannot be reached: {error}; is `dask scheduler` running?"
            ) from error

    def workers(self) -> int:
        """How many workers the scheduler knows now."""
        try:
            return len(self._client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, CommClosedError):
            return 0

    def windows(self, model: str) -> ClusterWindows:
        """The windows of a model, painted by the cluster. Waits for a worker that has the model; raises EngineError
        when none comes within the timeout, or where workers would paint different bytes."""
        deadline = time.monotonic() + self._timeout
        while not (found := self._painters_of(model)):
            if time.monotonic() > deadline:
                raise EngineError(
                    f"scheduler {self.address}: expected a worker with the model {model!r}, found none; start "
                    f"`everslide worker {self.address} --model {model}`"
                )
            time.sleep(_POLL_SECONDS)
        if len(found) > 1:
            raise EngineError(
                f"scheduler {self.address}: its workers would paint different bytes of {model!r} (fingerprints "
                f"{', '.join(sorted(each.fingerprint[:12] for each in found))}): run the same versions on one kind of "
                "machine, with the same options of the model"
            )
        chosen = found.pop()
        check_paints_from_parents(model, chosen.capabilities)
        return ClusterWindows(self._client, chosen)

    def close(self) -> None:
        with suppress(OSError, CommClosedError, TimeoutError):
            self._client.close()

    def _painters_of(self, model: str) -> set[WorkerModel]:
        """What the workers that have the model paint with."""
        known: dict[str, Any] = self._client.run(_models, on_error="ignore")
        return {each for each in known.values() if isinstance(each, WorkerModel) and each.name == model}


class ClusterWindows:
    """Paints windows as Dask tasks, whose keys name all that they depend on; first those whose tile was begun first,
    and again if a worker dies. Safe to use from several threads.

    counts: work of the workers' batches, as they report it with their answers. still_wanted: called while waiting; what
    it raises cancels the tasks that nobody else wants. begun_at: seconds since the epoch when what the calling thread
    paints was begun. So what was begun is finished: were coarse windows painted first, those that others ask for would
    keep the finest waiting for as long as the workers are busy.
    """

    def __init__(self, client: Client, model: WorkerModel) -> None:
        self._client, self._model = client, model.name
        self.fingerprint, self.grid, self.scales = model.fingerprint, model.grid, model.scales
        self.steerable, self.capabilities = model.steerable, model.capabilities
        self.counts = Counts()
        self._lock = threading.Lock()
        self.still_wanted: Callable[[], None] = lambda: None
        self.begun_at: Callable[[], float] = time.time

    def paint(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> list[Bands]:
        """See `Windows.paint`. Raises what a task raised on its last try."""
        return in_order(self.paint_each(context, windows, parents))

    def paint_each(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> Generator[tuple[int, Bands], None, None]:
        """See `PaintsEach.paint_each`. Raises what a task raised on its last try."""
        futures = [self._submit(context, window, parent) for window, parent in zip(windows, parents, strict=True)]
        done: queue.SimpleQueue[int] = queue.SimpleQueue()

        def tell(i: int) -> None:
            futures[i].add_done_callback(lambda _: done.put(i))

        def try_again(i: int, after: Exception) -> None:
            given_up[i] += 1
            if given_up[i] > _RETRIES:
                raise after
            if isinstance(after, KilledWorker):
                futures[i].retry()
            else:  # a new scheduler does not know it
                futures[i] = self._submit(context, windows[i], parents[i])
            tell(i)

        for i in range(len(futures)):
            tell(i)
        given_up, left = Counter[int](), len(futures)
        try:
            while left:
                i = self._wait(done)
                try:
                    data: bytes = futures[i].result()
                except (KilledWorker, FutureCancelledError) as error:
                    try_again(i, error)
                    continue
                left -= 1
                with self._lock:
                    add_work(self.counts, data)
                yield i, bands_from(data[WORK_BYTES:], self.grid)
        finally:
            for future in futures:
                future.release()  # the scheduler cancels what nobody else wants

    def _wait(self, done: queue.SimpleQueue[int]) -> int:
        """The index of one more that is done."""
        while True:
            self.still_wanted()
            try:
                return done.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue

    def _submit(self, context: GenerationContext, window: WindowIndex, parent: Parent) -> Future[bytes]:
        return self._client.submit(
            paint_window,
            context.seed,
            window.s,
            window.col,
            window.row,
            parent.tobytes(),
            json.dumps(context.reference.as_dict()) if context.reference else "",
            context.sampling.steps,
            context.sampling.guidance,
            context.picture_s,
            key=window_name(self.fingerprint, context, window, parent),
            priority=-self.begun_at(),
            retries=_RETRIES,
            resources={resource_of(self._model, self.fingerprint): 1},
            pure=True,
        )


def run_worker(scheduler: str, model: str, files: ModelFiles, threads: int, name: str | None) -> None:
    """Paint for a scheduler until a signal comes. threads: windows asked for at the same time; 0 takes as many as are
    painted at the same time. Raises EngineError, also where it ends without a signal: then the scheduler has gone, and
    who supervises the worker is to start it again."""
    loaded = load_model(model, files)
    check_paints_from_parents(model, loaded.capabilities)
    windows = GatheredWindows(loaded)
    places = threads or windows.places

    async def paint() -> None:
        try:
            worker = await Worker(
                scheduler,
                nthreads=places,
                name=name,
                resources={resource_of(model, windows.fingerprint): places},
                plugins=(Brush(model, windows),),
                dashboard=False,
            )
        except (OSError, ValueError) as error:
            raise EngineError(f"scheduler {scheduler}: cannot be reached: {error}") from error
        leaving: list[asyncio.Future[Any]] = []

        def leave() -> None:
            leaving.append(asyncio.ensure_future(worker.close_gracefully()))

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, leave)
        log.info("painting %s for %s as %s", model, scheduler, worker.address)
        await worker.finished()
        if not leaving:
            raise EngineError(
                f"scheduler {scheduler}: expected it to stay, found that it closed this worker or has gone; start the "
                "scheduler, then this worker again"
            )

    asyncio.run(paint())

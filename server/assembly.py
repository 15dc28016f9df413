"""Construction of the service from its settings: stores, engine, queue, painters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from everslide.cache.files import FileStore
from everslide.cache.local_leases import LeaseBook, LocalLeases
from everslide.cache.memory import MemoryStore
from everslide.cache.shared_flight import SharedFlight
from everslide.cache.store import ByteStore
from everslide.cache.tiered import TieredStore
from everslide.model.errors import EverslideError
from everslide.model.pyramid.batching import GatheredWindows
from everslide.model.pyramid.windows import PaintsEach, Windows
from everslide.server.errors import GoneError
from everslide.server.events import Broker
from everslide.server.idle_painting import IdlePainter
from everslide.server.metrics import Metrics, Reading
from everslide.server.painters import ModelFiles, load_model, load_painters
from everslide.server.queue import PaintQueue
from everslide.server.settings import MIB, Settings
from everslide.server.slides import DEMO_NAMES, Catalogue
from everslide.server.tiles import Check, Stores, TileService
from everslide.server.windows import SharedWindows

if TYPE_CHECKING:
    from everslide.cache.leases import Leases
    from everslide.cache.redis_link import RedisLink

log = logging.getLogger(__name__)

_WINDOW_LIFE_SECONDS = 600
"""Windows on Redis are read by those who paint next to them, now or soon; tiles are what is kept."""
_WINDOW_MEMORY = 96 * MIB
"""Window outputs kept in memory for several painting threads: 200."""
_CLUSTER_THREADS = 8
"""Tiles put together at the same time where others paint their windows."""


@dataclass
class Assembly:
    """A service, and functions that close what belongs to it, called in reverse order."""

    service: TileService
    closers: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        for close in reversed(self.closers):
            close()


def assemble(
    settings: Settings,
    catalogue: Catalogue,
    files: Mapping[str, ModelFiles] | None = None,
    also: Iterable[str] = (),
) -> Assembly:
    """The service for the slides of `catalogue`, with their models loaded.

    files: weights and options of models by name, for those that are not shipped. also: further models to load; one that
    cannot be loaded is logged, and not served. Raises StoreError, WeightsError, SlideError, EngineError.
    """
    closers: list[Callable[[], None]] = []
    link, leases = _redis(settings)
    if link is not None and leases is not None:
        closers += [link.close, leases.close]
    broker = Broker(settings.event_streams)
    names = sorted({entry.slide.model for entry in catalogue})
    engine = _Engine(settings, files or {}, closers)
    base = {name: engine.windows(name) for name in names}
    for name in sorted(set(also) - base.keys()):
        try:
            base[name] = engine.windows(name)
        except EverslideError as error:
            log.warning("the model %r is not served: %s", name, error)
    queue = PaintQueue(settings.max_waiting, engine.threads(base.values()), broker=broker)
    shared = {name: _shared(base[name], queue, link, leases) for name in base}
    models = {name: load_painters(name, paints=shared[name], bare=base[name]) for name in base}
    flight = SharedFlight(leases) if leases is not None else None
    metrics = Metrics()
    service = TileService(catalogue, models, make_stores(settings, link), queue, flight, metrics)
    metrics.watch(lambda: _readings(service, base, link, leases))
    if link is not None:
        service.checks.append(Check("redis", link.reachable, needed=False))
    if (workers := engine.workers) is not None:
        service.checks.append(Check("workers", lambda: workers() > 0, needed=True))
    closers += [service.close, broker.close]
    return Assembly(service, closers)


def _redis(settings: Settings) -> tuple[RedisLink, Leases] | tuple[None, None]:
    """What several processes share. The client is imported only where it is used: a fifth of a second."""
    if not settings.redis:
        return None, None
    from everslide.cache.leases import Leases
    from everslide.cache.redis_link import RedisLink

    link = RedisLink(settings.redis)
    return link, Leases(link, round(settings.lease_seconds * 1000))


def paint_while_idle(assembly: Assembly) -> None:
    """Let the service paint tiles that are likely to be requested while it is idle, until it is closed."""
    service = assembly.service
    idle = IdlePainter(service.foresight, service.queue, service.paint_ahead)
    for slide in service.served():
        if slide.entry.slide.name in DEMO_NAMES:
            service.foresight.begin_with(slide.entry.slide.name, slide.zoom)
    idle.start()
    assembly.closers.append(idle.close)


def make_stores(settings: Settings, link: RedisLink | None = None) -> Stores:
    """The stores of the settings: half of `memory_size` for lossless tiles, half for encoded ones; behind the lossless
    ones a folder, and before that Redis, where they are set. Raises StoreError."""
    half = settings.memory_size // 2
    lossless: ByteStore = MemoryStore(half)
    if settings.cache is not None:
        lossless = TieredStore(lossless, FileStore(settings.cache, settings.cache_size))
    if link is not None:
        from everslide.cache.redis_store import RedisStore

        lossless = TieredStore(lossless, RedisStore(link))
    return Stores(lossless, MemoryStore(half), MemoryStore(settings.raw_size))


@runtime_checkable
class Distributed(Protocol):
    """A `Windows` that is painted by workers of a cluster. It calls `still_wanted` while it waits: what that raises
    cancels the work. begun_at: when that work was begun, seconds since the epoch."""

    still_wanted: Callable[[], None]
    begun_at: Callable[[], float]


class _Engine:
    """Where windows are painted: on the cluster that is named, else in this process."""

    def __init__(
        self,
        settings: Settings,
        files: Mapping[str, ModelFiles],
        closers: list[Callable[[], None]],
    ) -> None:
        self._settings, self._files, self._closers = settings, files, closers
        self.workers: Callable[[], int] | None = None
        self._cluster = None
        if settings.scheduler:
            from everslide.server.cluster import Cluster

            self._cluster = Cluster(settings.scheduler)
            self.workers = self._cluster.workers
            closers.append(self._cluster.close)

    def windows(self, model: str) -> PaintsEach:
        if self._cluster is not None:
            return self._cluster.windows(model)
        gathered = GatheredWindows(load_model(model, self._files.get(model)))
        self._closers.append(gathered.close)
        return gathered

    def threads(self, windows: Iterable[Windows]) -> int:
        """How many tiles to paint at the same time: as many as windows are."""
        if self._settings.paint_threads:
            return self._settings.paint_threads
        if self._cluster is not None:
            return _CLUSTER_THREADS
        return max((each.places for each in windows if isinstance(each, GatheredWindows)), default=1)


def _shared(windows: PaintsEach, queue: PaintQueue, link: RedisLink | None, leases: Leases | None) -> Windows:
    """Windows painted once among this process's threads, and among all processes on the same Redis server."""

    def still_wanted() -> None:
        if queue.abandoned():
            raise GoneError("a client that waits for its tile, and for idle work none", "the contrary", "ask again")

    if isinstance(windows, Distributed):
        windows.still_wanted, windows.begun_at = still_wanted, queue.begun_at
    store: ByteStore = MemoryStore(_WINDOW_MEMORY)
    book: LeaseBook = LocalLeases()
    if link is not None and leases is not None:
        from everslide.cache.redis_store import RedisStore

        store, book = RedisStore(link, lambda rank: _WINDOW_LIFE_SECONDS), leases
    return SharedWindows(windows, store, book, still_wanted, queue.is_idle_work)


def _readings(
    service: TileService, windows: Mapping[str, Windows], link: RedisLink | None, leases: Leases | None
) -> Iterable[Reading]:
    stores = service.stores
    for name, store in (("lossless", stores.lossless), ("encoded", stores.encoded), ("raw", stores.raw)):
        stats, label = store.stats(), {"store": name}
        yield "cache_hits_total", "Values found.", label, stats.hits
        yield "cache_misses_total", "Values not found.", label, stats.misses
        yield "cache_evictions_total", "Values given up for others.", label, stats.evictions
        yield "cache_corrupt_total", "Damaged values, deleted.", label, stats.corrupt
        yield "cache_errors_total", "Operations that a disk or server refused.", label, stats.errors
        yield "cache_bytes", "Bytes kept.", label, stats.bytes
        yield "cache_entries", "Values kept.", label, stats.entries
    yield "queue_waiting", "Requests that wait for the painter.", {}, service.queue.waiting
    yield "event_streams", "Pages that listen to what is painted.", {}, service.queue.broker.listeners
    for name, each in windows.items():
        label = {"model": name}
        yield "windows_painted_total", "Windows painted for this process.", label, each.counts.windows
        yield "denoiser_calls_total", "Network evaluations.", label, each.counts.denoiser_calls
        yield "batches_total", "Batches painted.", label, each.counts.batches
        yield (
            "batch_places_total",
            "Places in those batches; windows over places is the fill.",
            label,
            each.counts.places,
        )
    if link is not None and leases is not None:
        yield "redis_up", "Whether Redis answers.", {}, float(link.reachable())
        yield "redis_errors_total", "Commands that failed.", {}, link.errors
        yield "leases_held", "Leases that this process holds.", {}, leases.held()

"""A real Dask scheduler and real workers on loopback: the same bytes, whoever paints, and whoever dies."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex, WindowIndex
from everslide.model.mini.model import load_mini
from everslide.model.mini.sections import make_sketch
from everslide.model.mini.weights import save_weights
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.windows import LocalWindows
from everslide.model.sampling_config import SamplingCapabilities, SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Style
from everslide.server.encode import decode
from everslide.server.painters import ModelFiles
from everslide.server.settings import Settings
from everslide.server.slides import Catalogue, Entry
from tests.model.networks import tiny_weights
from tests.model.zoomldm.tiny import write_checkpoint
from tests.server.processes import COMMAND

if importlib.util.find_spec("distributed") is None:
    REASON = "NOT TESTED: the package distributed is missing: pip install 'everslide[cluster]'"
    if os.environ.get("CI") == "true":
        pytest.fail(REASON)
    pytest.skip(REASON, allow_module_level=True)

from everslide.server.assembly import Assembly, assemble
from everslide.server.cluster import Cluster, EngineError, check_paints_from_parents, run_worker

_OTHER_WORKER = """
import logging, sys
from functools import partial
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.server import cluster
from everslide.server.painters import ModelFiles
scheduler, name, model, fingerprint, batch = sys.argv[1:]
logging.basicConfig(level=logging.INFO)
brush = SpeckleModel(int(batch))
brush.fingerprint = fingerprint
cluster.load_model = lambda *_: brush
cluster.GatheredWindows = partial(cluster.GatheredWindows, seconds=60)  # a batch is painted when it is full
cluster.run_worker(scheduler, model, ModelFiles(), 0, name)
"""
SLIDE = Slide("demo", 7, model="speckle")
ENTRY = Entry(SLIDE, "Demo")


@dataclass
class RealCluster:
    """A scheduler, and workers that a test starts and kills."""

    address: str
    scheduler: subprocess.Popen[bytes]
    logs: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def hire(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self._start(name, *COMMAND, "worker", self.address, "--model", "speckle", "--name", name, *arguments)

    def hire_other(self, name: str, model: str, fingerprint: str, batch: int) -> subprocess.Popen[bytes]:
        """A worker whose numbers are not those of the others."""
        arguments = [self.address, name, model, fingerprint, str(batch)]
        return self._start(name, sys.executable, "-c", _OTHER_WORKER, *arguments)

    def await_workers(self, *names: str, model: str = "speckle") -> None:
        """Return when they take windows, and listen to signals."""
        for name in names:
            until(lambda name=name: f"painting {model} for" in (self.logs / name).read_text())

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(command, stderr=(self.logs / name).open("wb"))
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            if process.poll() is None:
                process.kill()
            process.wait(20)


def start_scheduler(logs: Path, port: str = "0") -> tuple[str, subprocess.Popen[bytes]]:
    """Its address, and its process."""
    note = logs / "scheduler.json"
    note.unlink(missing_ok=True)
    flags = ["--host", "127.0.0.1", "--port", port, "--no-dashboard", "--scheduler-file", str(note)]
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *flags],
        stderr=(logs / "scheduler").open("ab"),
        env={**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"},  # it gives up at the first death
    )
    until(lambda: note.exists() and note.stat().st_size > 0)
    return json.loads(note.read_text())["address"], scheduler


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    logs = tmp_path_factory.mktemp("dask")
    cluster = RealCluster(*start_scheduler(logs), logs)
    for name in ("one", "two"):
        cluster.hire(name)
    cluster.await_workers("one", "two")
    yield cluster
    cluster.close()


def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def assembly(cluster: RealCluster) -> Iterator[Assembly]:
    assembly = assemble(Settings(cache=None, scheduler=cluster.address, memory_size=10**7), Catalogue((ENTRY,)))
    yield assembly
    assembly.close()


def paint(assembly: Assembly, tile: TileIndex) -> np.ndarray[Any, Any]:
    slide = assembly.service.slide("demo")
    return assembly.service.pixels(slide, slide.zoom.address(tile), lambda: False)


@lru_cache
def _painter() -> Painter:
    return Painter(SLIDE, SpeckleModel(), MemoryTiles(), make_sketch(SLIDE))


def painted_here(tile: TileIndex) -> np.ndarray[Any, Any]:
    return _painter().tile(tile)


def test_the_same_bytes_as_the_embedded_engine(assembly: Assembly) -> None:
    tiles = [TileIndex(0, 300 + i % 2, 200 + i // 2) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        painted = list(pool.map(lambda tile: paint(assembly, tile), tiles))
    for tile, pixels in zip(tiles, painted, strict=True):
        np.testing.assert_array_equal(pixels, painted_here(tile))
    embedded = assemble(Settings(cache=None), Catalogue((ENTRY,)))
    assert embedded.service.slide("demo").fingerprint == assembly.service.slide("demo").fingerprint
    embedded.close()


def test_both_workers_paint(cluster: RealCluster, assembly: Assembly) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: paint(assembly, TileIndex(0, 300 + i, 202)), range(6)))
    client = Cluster(cluster.address)
    done = client._client.run(lambda dask_worker: dask_worker.plugins["everslide"].windows.counts.windows)
    client.close()
    assert len(done) == 2
    assert min(done.values()) > 0


def test_a_worker_killed_while_it_paints_costs_nothing_but_time(cluster: RealCluster, assembly: Assembly) -> None:
    """It is halted first, so that it surely has windows to paint when it dies."""
    tiles = [TileIndex(0, 302 + i, 205) for i in range(8)]
    victim, client = cluster.workers[0], Cluster(cluster.address)
    workers = client._client.scheduler_info(n_workers=-1)["workers"]
    (address,) = (address for address, facts in workers.items() if facts["name"] == "one")
    victim.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(paint, assembly, tile) for tile in tiles]
        until(lambda: client._client.processing()[address])
        victim.send_signal(signal.SIGKILL)
        painted = [answer.result(120) for answer in answers]
    for tile, pixels in zip(tiles, painted, strict=True):
        np.testing.assert_array_equal(pixels, painted_here(tile))
    client.close()
    victim.wait(10)
    assert assembly.service.checks[0].passes(), "one worker is enough"
    cluster.hire("three")
    cluster.await_workers("three")


def test_a_worker_that_is_stopped_finishes_its_windows(cluster: RealCluster, assembly: Assembly) -> None:
    worker = cluster.hire("four")
    cluster.await_workers("four")
    worker.terminate()
    assert worker.wait(60) == 0
    pixels = paint(assembly, TileIndex(3, 9, 9))
    np.testing.assert_array_equal(pixels, painted_here(TileIndex(3, 9, 9)))


def test_what_a_slide_chooses_reaches_the_worker(cluster: RealCluster, tmp_path: Path) -> None:
    weights = tmp_path / "mini.safetensors"
    save_weights(weights, tiny_weights())
    like = Reference(Style(np.full(64, 2, np.float32), np.full((5, 3), 150, np.float32)))
    client, window, parent = Cluster(cluster.address), WindowIndex(2, 1, 1), np.full((160, 160, 3), 150, np.uint8)
    before = client.workers()
    worker = cluster.hire("tiny", "--model", "mini", "--weights", str(weights))
    try:
        cluster.await_workers("tiny", model="mini")
        engine, here = client.windows("mini"), LocalWindows(load_mini(weights))
        assert engine.capabilities == here.capabilities and engine.capabilities.steps == (1, 2, 4, 8)
        for context in (
            GenerationContext(1, sampling=SamplingConfig(2)),
            GenerationContext(1),
            GenerationContext(1, like),
            GenerationContext(1, picture_s=3),
        ):
            (painted,), (expected,) = (each.paint(context, [window], [parent]) for each in (engine, here))
            np.testing.assert_array_equal(painted, expected)
        assert engine.counts.denoiser_calls == 2 + 1 + 1 + 1
    finally:
        worker.kill()
        worker.wait(20)
    until(lambda: client.workers() == before)
    client.close()


def test_what_was_begun_first_is_painted_first(cluster: RealCluster) -> None:
    """Though it is finer: coarse windows that others go on asking for would keep it waiting for ever."""
    facts = ("speckle-in-turn", SpeckleModel.fingerprint, 1)
    client = Cluster(cluster.address)
    before = client.workers()
    worker = cluster.hire_other("six", *facts)
    cluster.await_workers("six", model="speckle-in-turn")
    engine = client.windows("speckle-in-turn")
    worker.kill()
    worker.wait(20)
    until(lambda: client.workers() == before)

    def ask(s: int) -> list[tuple[float, int]]:
        windows = [WindowIndex(s, i, 0) for i in range(20)]
        each = engine.paint_each(GenerationContext(1), windows, [np.full((160, 160, 3), 150, np.uint8)] * 20)
        return [(time.monotonic(), s) for _ in each]

    begun = {3: time.time(), 0: time.time() - 60}  # the fine ones a minute before the coarse ones
    with ThreadPoolExecutor(2) as pool:
        pending = []
        for s in (3, 0):
            engine.begun_at = partial(begun.__getitem__, s)
            pending.append(pool.submit(ask, s))
            time.sleep(1)
        worker = cluster.hire_other("seven", *facts)
        order = [s for _, s in sorted(pending[0].result(60) + pending[1].result(60))]
    assert order[:20].count(0) >= 15, order
    worker.kill()
    worker.wait(20)
    until(lambda: client.workers() == before)
    client.close()


def test_windows_nobody_wants_are_cancelled(cluster: RealCluster) -> None:
    class NotWantedError(Exception):
        pass

    def refuse() -> None:
        raise NotWantedError

    client = Cluster(cluster.address)
    windows = client.windows("speckle")
    windows.still_wanted = refuse
    parents = [np.full((160, 160, 3), 200 + i % 40, np.uint8) for i in range(60)]
    with pytest.raises(NotWantedError):
        windows.paint(GenerationContext(1), [WindowIndex(0, i, 0) for i in range(60)], parents)
    windows.still_wanted = lambda: None
    (bands,) = windows.paint(GenerationContext(1), [WindowIndex(0, 5, 0)], [parents[5]])
    (expected,) = LocalWindows(SpeckleModel()).paint(GenerationContext(1), [WindowIndex(0, 5, 0)], [parents[5]])
    np.testing.assert_array_equal(bands, expected)
    client.close()


def test_a_worker_that_would_paint_other_bytes_gets_nothing_and_no_server_starts(
    cluster: RealCluster, assembly: Assembly
) -> None:
    client = Cluster(cluster.address)
    before = client.workers()
    other = cluster.hire_other("other", "speckle", "5bec41e1", batch=1)
    try:
        cluster.await_workers("other")
        assert client.workers() == before + 1
        tiles = [TileIndex(0, 320 + i, 210) for i in range(3)]
        for tile in tiles:
            np.testing.assert_array_equal(paint(assembly, tile), painted_here(tile))
        painted = client._client.run(
            lambda dask_worker: (dask_worker.name, dask_worker.plugins["everslide"].windows.counts.windows)
        )
        assert dict(painted.values())["other"] == 0
        assert sum(windows for _, windows in painted.values()) > 0
        with pytest.raises(EngineError, match="different bytes of 'speckle'"):
            client.windows("speckle")
        command = [*COMMAND, "serve", "--port", "0", "--no-cache", "--model", "speckle", "--scheduler", cluster.address]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert refused.returncode != 0
        assert "would paint different bytes" in refused.stderr
        assert "run the same versions on one kind of machine" in refused.stderr
    finally:
        other.kill()
        other.wait(20)
    until(lambda: client.workers() == before)
    assert client.windows("speckle").fingerprint
    client.close()


def test_the_batches_are_those_that_a_worker_gathers(cluster: RealCluster) -> None:
    """Of two servers' windows: each batch is counted once, whichever server gets the report."""
    worker = cluster.hire_other("five", "speckle-of-four", SpeckleModel.fingerprint, batch=4)
    clients = [Cluster(cluster.address), Cluster(cluster.address)]
    try:
        cluster.await_workers("five", model="speckle-of-four")
        engines = [client.windows("speckle-of-four") for client in clients]
        places = [WindowIndex(0, i, 0) for i in range(8)]
        parents = [np.full((160, 160, 3), 200 + i, np.uint8) for i in range(8)]
        with ThreadPoolExecutor(2) as pool:
            halves = [
                pool.submit(engine.paint, GenerationContext(1), places[half], parents[half])
                for engine, half in zip(engines, (slice(0, 5), slice(5, 8)), strict=True)
            ]
            painted = [bands for half in halves for bands in half.result(120)]
    finally:
        worker.kill()
        worker.wait(20)
    for bands, expected in zip(
        painted, LocalWindows(SpeckleModel(4)).paint(GenerationContext(1), places, parents), strict=True
    ):
        np.testing.assert_array_equal(bands, expected)
    for field_, most in (("windows", 8), ("denoiser_calls", 8), ("batches", 2), ("places", 8)):
        assert sum(getattr(engine.counts, field_) for engine in engines) == most, field_
    for client in clients:
        client.close()


def test_a_scheduler_killed_while_windows_are_painted_costs_nothing_but_time(tmp_path: Path) -> None:
    """The worker is halted first, so that the scheduler surely has windows when it dies."""
    own = RealCluster(*start_scheduler(tmp_path), tmp_path)
    worker = own.hire("first")
    own.await_workers("first")
    assembly = assemble(Settings(cache=None, scheduler=own.address, memory_size=10**7), Catalogue((ENTRY,)))
    watching = Cluster(own.address)
    try:
        worker.send_signal(signal.SIGSTOP)
        tiles = [TileIndex(0, 310 + i, 205) for i in range(3)]
        with ThreadPoolExecutor(3) as pool:
            answers = [pool.submit(paint, assembly, tile) for tile in tiles]
            until(lambda: any(watching._client.processing().values()))
            own.scheduler.kill()
            own.scheduler.wait(20)
            worker.send_signal(signal.SIGCONT)
            assert worker.wait(60) == 1, "so that who supervises it starts it again"
            assert "found that it closed this worker or has gone" in (tmp_path / "first").read_text()
            _, own.scheduler = start_scheduler(tmp_path, own.address.rpartition(":")[2])
            own.hire("second")
            painted = [answer.result(120) for answer in answers]
        for tile, pixels in zip(tiles, painted, strict=True):
            np.testing.assert_array_equal(pixels, painted_here(tile))
    finally:
        watching.close()
        assembly.close()
        own.close()


def test_no_scheduler_is_an_error_at_once() -> None:
    with pytest.raises(EngineError, match="cannot be reached"):
        Cluster("tcp://127.0.0.1:1", timeout=1)


def test_no_worker_with_the_model_is_an_error_that_says_what_to_do(cluster: RealCluster) -> None:
    client = Cluster(cluster.address, timeout=1)
    with pytest.raises(EngineError, match="everslide worker"):
        client.windows("mini")
    client.close()


def test_serve_paints_on_the_cluster(cluster: RealCluster, tmp_path: Path) -> None:
    from tests.server.processes import fetch, metric, serving

    with serving("--no-cache", "--scheduler", cluster.address) as (_, address):
        tile = decode(fetch(f"{address}/slides/demo_files/17/306_206.png"))
        assert b'"workers":true' in fetch(f"{address}/readyz")
        assert metric(address, "everslide_windows_painted_total") > 0
    np.testing.assert_array_equal(tile, painted_here(TileIndex(0, 306, 206)))


def test_what_paints_from_the_topmost_plane_is_refused_before_it_is_a_worker(tmp_path: Path) -> None:
    """No task carries a slide's topmost plane: `everslide worker --with preset=joint` says so, and no window fails."""
    files = ModelFiles(write_checkpoint(tmp_path), {"preset": "joint"})
    with pytest.raises(EngineError, match=r"topmost plane.*preset=joint.*without --scheduler"):
        run_worker("tcp://127.0.0.1:1", "zoomldm-brca", files, 1, None)
    check_paints_from_parents("zoomldm-brca", SamplingCapabilities(1))

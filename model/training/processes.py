"""Several processes that train together: they average their gradients, and stop at the same step."""

from __future__ import annotations

import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import ProcessException, spawn

from everslide.model.errors import DataError, EverslideError


def run_together(work: Callable[..., None], processes: int, *given: Any) -> None:
    """Call `work(rank, *given)` in so many processes at once, or in this one where it is one.

    Raises DataError with the message of a process that raised an EverslideError, and where there are more processes
    than GPUs.
    """
    if processes == 1:
        work(0, *given)
        return
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and processes > gpus:
        raise DataError(f"--processes {processes}: expected at most one for each GPU, found {gpus}")
    failures = get_context("spawn").SimpleQueue()
    with TemporaryDirectory() as meeting:  # a new one each time: a former run's file would keep processes waiting
        arguments = (processes, Path(meeting) / "processes", failures, work, *given)
        try:
            spawn(_one_of, arguments, nprocs=processes)  # type: ignore[no-untyped-call]
        except ProcessException as error:
            if failures.empty():
                raise
            raise DataError(failures.get()) from error


def _one_of(
    rank: int, count: int, meeting: Path, failures: SimpleQueue[str], work: Callable[..., None], *given: Any
) -> None:
    """One process of several, which find each other by the file `meeting`, and end with the one that started them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # sent when that one ends; ignored behind `nohup ... &`
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=rank, world_size=count)
    try:
        work(rank, *given)
    except EverslideError as error:
        failures.put(str(error))
        raise
    leave_processes()


def leave_processes() -> None:
    """Let go of the other processes of a run, once none of them waits for another any more.

    They meet in the store by which they found each other: who left after a barrier among themselves would close what a
    slower one is still being told by.
    """
    if not dist.is_initialized():
        return
    store = dist.distributed_c10d._get_default_store()
    if store.add("leaving", 1) == dist.get_world_size():
        store.set("all are leaving", "1")
    store.wait(["all are leaving"], dist.default_pg_timeout)
    dist.destroy_process_group()


def average_gradients(gradients: list[Tensor]) -> None:
    """Replace the gradients by their mean over the processes, in one message; leave them where there is one process."""
    if not dist.is_initialized():
        return
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    start = 0
    for g in gradients:
        g.copy_(flat[start : start + g.numel()].view_as(g))
        start += g.numel()


def of_first(seconds: float) -> float:
    """The seconds of the first process, in all of them."""
    if not dist.is_initialized():
        return seconds
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    shared = torch.tensor([seconds], dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared)

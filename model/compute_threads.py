"""The number of CPU threads that torch computes with. torch keeps it for each calling thread."""

from __future__ import annotations

import os

import torch

MOST_THREADS = 8


def available_threads() -> int:
    """Cores that this process may use, at most MOST_THREADS: small convolutions gain nothing from more."""
    return min(len(os.sched_getaffinity(0)), MOST_THREADS)


def compute_with(threads: int) -> None:
    """Set the number of threads that torch uses for calls from this thread.

    Call it before each evaluation that must be reproducible to the last bit: torch splits sums among its threads, and
    another model in the same process may have set another number. A thread that never called it has the number that
    any thread set last.
    """
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)

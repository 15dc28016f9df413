"""How many CPU threads torch computes with, which is a setting of the thread that asks for the computing."""

from __future__ import annotations

import os

import torch

MOST_THREADS = 8


def available_threads() -> int:
    """Cores that this process may use, 8 at most: small convolutions do not feed more."""
    return min(len(os.sched_getaffinity(0)), MOST_THREADS)


def compute_with(threads: int) -> None:
    """Have torch compute in so many threads when the calling thread asks. Call before each evaluation whose last bits
    are promised: sums are split by threads, and other models in the same process may want another number.

    torch keeps the number for each thread; one that asks for the first time gets what was set last by any of them.
    """
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)

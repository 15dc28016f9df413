"""Where and how the networks are evaluated: device, precision, and batches that shrink where memory ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch

from everslide.model.errors import WeightsError

Precision = Literal["float32", "bfloat16", "float16"]
T = TypeVar("T")
_log = logging.getLogger(__name__)


def choose_device(name: str = "auto") -> torch.device:
    """A device by torch's name (cpu, cuda, cuda:1, mps); auto: a GPU where there is one. Raises WeightsError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"device {name!r}: expected auto, cpu, cuda, cuda:1 or mps of this machine: {reason}"
        ) from error
    return device


@dataclass(frozen=True)
class Compute:
    """device: of the networks. batch: images at once. precision: of the networks alone; samplers stay in float32."""

    device: torch.device = field(default_factory=choose_device)
    batch: int = 1
    precision: Precision = "float32"

    @property
    def autocast(self) -> torch.dtype | None:
        """The type of autocast, or None where the networks run in their own."""
        return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.precision]


def in_batches(rows: Sequence[int], batch: int, work: Callable[[list[int]], T]) -> Iterator[tuple[list[int], T]]:
    """Yield (rows, work(rows)) for all rows in their order, at most `batch` at once.

    Where memory runs out, the batch is halved, for the rest too. Raises WeightsError where it does not suffice for one.
    """
    start = 0
    while start < len(rows):
        part = list(rows[start : start + batch])
        try:
            done = work(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(part) == 1:
                raise WeightsError(
                    "the memory of the device does not suffice for a single image: expected more of it; try "
                    "--precision bfloat16, or --device cpu"
                ) from error
            batch = len(part) // 2
            _log.warning("the memory of the device does not suffice for %d images at once: now %d", len(part), batch)
            continue
        yield part, done
        start += len(part)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the processor."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)

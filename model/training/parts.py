"""A checkpoint in half precision and in small files, to go on from on another machine.

Adam's moments keep their range in bfloat16; everything else that is a fraction is float16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from everslide.model.errors import DataError
from everslide.model.mini.tensors import write_tensors

LARGEST_BYTES = 15_000_000
KINDS = ("network", "average", "critic")
MOMENTS = ("exp_avg", "exp_avg_sq")


def save_parts(
    folder: Path,
    kinds: Mapping[str, Mapping[str, Tensor]],
    optimizer: Mapping[str, Any],
    facts: Mapping[str, str],
) -> list[Path]:
    """Write `resume-1.safetensors` and so on, each below LARGEST_BYTES; facts: in the header of each.

    kinds: the tensors of each of KINDS by name; optimizer: the state of the network's.
    Raises WeightsError where they cannot be written.
    """
    named = {f"{kind}.{name}": x.half() for kind, tensors in kinds.items() for name, x in tensors.items()}
    for index, state in optimizer["state"].items():
        named |= {f"{moment}.{index}": state[moment].bfloat16() for moment in MOMENTS}
    written = []
    for number, part in enumerate(_parts(named), start=1):
        path = folder / f"resume-{number}.safetensors"
        write_tensors(path, {name: x.cpu().contiguous() for name, x in part.items()}, facts)
        written.append(path)
    for old in set(folder.glob("resume-*.safetensors")) - set(written):
        old.unlink()
    return written


def load_parts(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, str]] | None:
    """Float32 tensors by kind (KINDS and MOMENTS) and name, and the facts; None where there are none.

    Raises DataError for a file that is damaged.
    """
    paths = sorted(folder.glob("resume-*.safetensors"))
    if not paths:
        return None
    out: dict[str, dict[str, Tensor]] = {kind: {} for kind in (*KINDS, *MOMENTS)}
    facts: dict[str, str] = {}
    for path in paths:
        try:
            with safe_open(path, "pt") as file:
                facts = dict(file.metadata() or {})
                for name in file.keys():  # noqa: SIM118 (not a mapping)
                    kind, _, rest = name.partition(".")
                    out[kind][rest] = file.get_tensor(name).float()
        except (SafetensorError, KeyError) as error:
            raise DataError(f"{path}: not a whole part of a run ({error!r}); copy all parts again") from error
    return out, facts


def moments(parts: Mapping[str, Mapping[str, Tensor]], step: int) -> dict[int, dict[str, Tensor]]:
    """The state of Adam, by the index of each parameter."""
    indices = sorted(int(index) for index in parts[MOMENTS[0]])
    return {i: {"step": torch.tensor(float(step)), **{m: parts[m][str(i)] for m in MOMENTS}} for i in indices}


def _parts(named: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The tensors in groups of at most LARGEST_BYTES."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, x in named.items():
        size_of = x.numel() * x.element_size()
        if part and size + size_of > LARGEST_BYTES:
            yield part
            part, size = {}, 0
        part[name] = x
        size += size_of
    if part:
        yield part

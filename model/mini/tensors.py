"""Safetensors files of one format each: atomic writing, and reading that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from everslide.model.errors import WeightsError
from everslide.model.whole_file import written_whole

UNFIT = (AssertionError, IndexError, OverflowError, RuntimeError, TypeError, ValueError)
"""What a network raises that is built of sizes of the wrong kind, or given tensors of other sizes."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write contiguous CPU tensors and a header to a safetensors file, mode 0644, atomically.

    Raises WeightsError where it cannot be written; a file that was there before is unchanged then.
    """
    try:
        with written_whole(path) as partial:
            save_file(dict(tensors), partial, metadata=dict(header))
            partial.chmod(0o644)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: cannot be written ({error}); what was there before is whole: make room and try again"
        ) from error


def read_tensors(path: Path, kind: str, command: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the header of a file of the format `kind`, which its header names.

    command: makes such a file. Raises WeightsError where the file is missing, damaged or of another format, or holds
    what is no finite number.
    """
    if not path.exists():
        raise WeightsError(f"{path}: no such file; train weights with `{command}`, or reinstall the package")
    try:
        with safe_open(path, "pt") as file:
            header = dict(file.metadata() or {})
            if header.get("format") != kind:
                raise WeightsError(
                    f"{path}: expected weights of the format {kind}, found {header.get('format')!r}; "
                    f"train them again with `{command}`"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error}); copy or train it again") from error
    for name, tensor in tensors.items():
        if wrong := int((~torch.isfinite(tensor)).sum()):
            raise WeightsError(
                f"{path}: expected finite numbers, found {wrong} of {tensor.numel()} in {name!r} that are none; "
                "copy the file or train it again"
            )
    return tensors, header

"""Atomic writing of safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from everslide.model.errors import WeightsError


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write contiguous CPU tensors and a header to a safetensors file, mode 0644, atomically.

    Raises WeightsError where it cannot be written; a file that was there before is unchanged then.
    """
    partial = path.with_suffix(".part")
    try:
        save_file(dict(tensors), partial, metadata=dict(header))
        partial.chmod(0o644)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise WeightsError(
            f"{path}: cannot be written ({error}); what was there before is whole: make room and try again"
        ) from error

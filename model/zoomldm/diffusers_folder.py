"""Folders of models as diffusers keeps them: components with a config.json and weights. No file in them is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.checkpoint import read_tensors

INDEX_NAME = "model_index.json"
WEIGHTS_STEM = "diffusion_pytorch_model"


def read_config(folder: Path, classes: tuple[str, ...] | None, name: str = "config.json") -> tuple[dict[str, Any], str]:
    """A component's configuration, and the class that it names ("" where none); classes: those expected.

    Raises WeightsError.
    """
    path = folder / name
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file; expected a model's folder as diffusers writes it") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: expected a JSON object, found {type(values).__name__}")
    kind = str(values.get("_class_name", ""))
    if classes is not None and kind not in classes:
        raise WeightsError(f"{path}: expected the configuration of {' or '.join(classes)}, found {kind or 'none'!r}")
    return values, kind


def read_weights(folder: Path) -> dict[str, Tensor]:
    """A component's tensors: safetensors, whole or in shards, or a .bin of tensors only. Raises WeightsError."""
    parts = sorted(folder.glob(f"{WEIGHTS_STEM}*.safetensors"))
    plain = folder / f"{WEIGHTS_STEM}.bin"
    if not parts and plain.is_file():
        return read_tensors(plain)
    if not parts:
        raise WeightsError(f"{folder}: expected {WEIGHTS_STEM}.safetensors, found no weights; fetch them")
    found: dict[str, Tensor] = {}
    exact = folder / f"{WEIGHTS_STEM}.safetensors"
    for path in [exact] if exact in parts else parts:
        try:
            found |= load_file(path)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{path}: not a whole safetensors file ({error}); copy it again") from error
    return found

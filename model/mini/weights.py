"""Weights of `mini` on disk: one safetensors file. Its header holds the sizes of the network, the training cases of
each organ, and the ranges of activations that 8-bit integers must span."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.errors import WeightsError
from everslide.model.mini.activation_ranges import Range, activation_ranges
from everslide.model.mini.network import DetailUNet, NetworkConfig
from everslide.model.mini.tensors import UNFIT, read_tensors, write_tensors

FORMAT = "everslide-mini-4"
WIDEST = 1e30
"""Ranges reach less far than this to either side of zero."""


@dataclass(frozen=True, eq=False)
class Weights:
    """All that a file of weights holds.

    config: sizes of the network. tensors: its parameters by name, of any float type. deviation: (scales, 3 bands, 3
    rotated colours) float32, standard deviation of real detail in grey levels. cases: organ -> number of training
    cases, for each of `config.organs`. ranges: of activations, see `everslide.model.mini.activation_ranges`; measured
    when weights are saved.
    """

    config: NetworkConfig
    tensors: dict[str, Tensor]
    deviation: NDArray[np.float32]
    cases: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)

    def build(self) -> DetailUNet:
        """The network with these weights, in float32. Raises WeightsError where names or shapes do not fit."""
        try:
            network = DetailUNet(self.config)
            network.load_state_dict({name: tensor.float() for name, tensor in self.tensors.items()})
        except UNFIT as error:
            raise WeightsError(f"the weights do not fit the network they describe: {error}") from error
        return network

    @property
    def digest(self) -> str:
        """SHA-256 over every tensor, hex: part of the numeric fingerprint."""
        sha = hashlib.sha256(json.dumps(self.config.as_dict(), sort_keys=True).encode())
        sha.update(self.deviation.tobytes())
        for name, tensor in sorted(_stored(self.tensors).items()):
            sha.update(name.encode())
            sha.update(tensor.view(torch.uint8).numpy().tobytes())
        return sha.hexdigest()


def _stored(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they are stored, in half precision."""
    return {name: tensor.to(torch.float16).contiguous().cpu() for name, tensor in tensors.items()}


def save_weights(path: Path, weights: Weights) -> None:
    """Write `weights` in half precision, with the ranges of their activations, atomically. Raises WeightsError."""
    stored = _stored(weights.tensors)
    ranges = activation_ranges(replace(weights, tensors=stored).build())
    tensors = stored | {"deviation": torch.from_numpy(np.ascontiguousarray(weights.deviation))}
    header = {
        "format": FORMAT,
        "config": json.dumps(weights.config.as_dict()),
        "cases": json.dumps(dict(weights.cases)),
        "ranges": json.dumps(ranges),
    }
    write_tensors(path, tensors, header)


def load_weights(path: Path) -> Weights:
    """Read a file written by `save_weights`. Raises WeightsError where it is missing, damaged or of another kind."""
    tensors, header = read_tensors(path, FORMAT, "everslide train")
    try:
        deviation = tensors.pop("deviation").numpy()
        config = NetworkConfig(**read_config(header))
        if deviation.shape != (config.scales, 3, 3):
            raise ValueError(f"'deviation' of shape {deviation.shape} for {config.scales} scales")
        cases = json.loads(header["cases"]) if config.organs else {}
        ranges = {name: _range(name, found) for name, found in json.loads(header["ranges"]).items()}
        return Weights(config, tensors, deviation, {organ: int(cases[organ]) for organ in config.organs}, ranges)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{path}: expected a tensor 'deviation' and a header with the sizes of the network and ranges, "
            f"found: {error!r}; the file is of another version of {FORMAT}: train or copy it again"
        ) from error


def _range(name: str, found: Any) -> Range:
    """A range as it stands in a header. Raises ValueError where it is none that float32 can be parted by."""
    low, high = found
    if not all(type(end) in (int, float) for end in found) or not (-WIDEST < low <= 0 and 1 / WIDEST < high < WIDEST):
        raise ValueError(f"the range {found!r:.60} of {name!r:.60}: expected two numbers, zero between them")
    return float(low), float(high)


def read_config(header: Mapping[str, str]) -> dict[str, Any]:
    """The sizes of a network in a header; JSON has lists where the dataclasses have tuples."""
    values: dict[str, Any] = json.loads(header["config"])
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

"""Weights of `mini` on disk: one safetensors file with its configuration and detail deviations in the header."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from everslide.model.contrast import ContrastModel
from everslide.model.errors import WeightsError
from everslide.model.network import DetailUNet, NetworkConfig
from everslide.model.sampler import Sampler

FORMAT = "everslide-mini-1"


@dataclass(frozen=True)
class Weights:
    """config, tensors by name (any float dtype), deviation (12, 3, 3) float32 (scale, band, colour), sampler, and the
    contrast model where one was fitted."""

    config: NetworkConfig
    tensors: dict[str, Tensor]
    deviation: NDArray[np.float32]
    sampler: Sampler = field(default_factory=Sampler)
    contrast: ContrastModel | None = None

    def build(self) -> DetailUNet:
        """The network with these weights, float32. Raises WeightsError where names or shapes do not fit."""
        network = DetailUNet(self.config)
        try:
            network.load_state_dict({name: tensor.float() for name, tensor in self.tensors.items()})
        except RuntimeError as error:
            raise WeightsError(f"the weights do not fit the network they describe: {error}") from error
        return network

    @property
    def digest(self) -> str:
        """SHA-256 over every tensor, hex: part of the numeric fingerprint."""
        sha = hashlib.sha256(json.dumps(self.config.as_dict(), sort_keys=True).encode())
        sha.update(self.deviation.tobytes())
        if self.contrast:
            sha.update(self.contrast.coefficients.tobytes())
        for name in sorted(self.tensors):
            sha.update(name.encode())
            sha.update(self.tensors[name].contiguous().view(torch.uint8).numpy().tobytes())
        return sha.hexdigest()


def save_weights(path: Path, weights: Weights) -> None:
    """Write `weights` in half precision, whole or not at all."""
    tensors = {name: tensor.to(torch.float16).contiguous().cpu() for name, tensor in weights.tensors.items()}
    tensors["deviation"] = torch.from_numpy(np.ascontiguousarray(weights.deviation))
    if weights.contrast:
        tensors["contrast"] = torch.from_numpy(weights.contrast.coefficients)
    header = {
        "format": FORMAT,
        "config": json.dumps(weights.config.as_dict()),
        "sampler": json.dumps(asdict(weights.sampler)),
    }
    partial = path.with_suffix(".part")
    save_file(tensors, partial, metadata=header)
    partial.chmod(0o644)
    partial.replace(path)


def load_weights(path: Path) -> Weights:
    """Read a file written by `save_weights`. Raises WeightsError where it is missing, damaged or of another kind."""
    if not path.exists():
        raise WeightsError(f"{path}: no such file; train weights with `everslide train`, or reinstall the package")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise WeightsError(f"{path}: expected the format {FORMAT}, found {header.get('format')!r}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error}); copy or train it again") from error
    try:
        deviation = tensors.pop("deviation").numpy()
        contrast = ContrastModel(tensors.pop("contrast").numpy()) if "contrast" in tensors else None
        config = NetworkConfig(**_tuples(json.loads(header["config"])))
        sampler = Sampler(**_tuples(json.loads(header.get("sampler", "{}"))))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path}: expected a tensor 'deviation' and a header with the sizes of the network and its sampler, "
            f"found: {error!r}; the file is of another version of {FORMAT}: train or copy it again"
        ) from error
    return Weights(config, tensors, deviation, sampler, contrast)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the dataclasses have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

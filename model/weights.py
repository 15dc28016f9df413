"""Weights of `mini` on disk: one safetensors file with its configuration and detail deviations in the header."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from everslide.model.conditions.cdm import CDM, CDMConfig
from everslide.model.contrast import ContrastModel
from everslide.model.errors import WeightsError
from everslide.model.network import DetailUNet, NetworkConfig
from everslide.model.sampler import Sampler

FORMAT = "everslide-mini-1"
CDM_PREFIX, TEACHER_PREFIX = "cdm.", "teacher."


@dataclass(frozen=True, eq=False)
class Weights:
    """config, tensors by name (any float dtype), deviation (12, 3, 3) float32 (scale, band, colour), sampler, and the
    contrast model and the tensors of the conditioning diffusion model where there are. teacher: what these weights were
    distilled from, which walks in more steps and may have a teacher too; of the same sizes and deviations."""

    config: NetworkConfig
    tensors: dict[str, Tensor]
    deviation: NDArray[np.float32]
    sampler: Sampler = field(default_factory=Sampler)
    contrast: ContrastModel | None = None
    cdm: dict[str, Tensor] | None = None
    teacher: Weights | None = None

    @property
    def lineage(self) -> tuple[Weights, ...]:
        """These weights, their teacher, its teacher, and so on."""
        return (self, *(self.teacher.lineage if self.teacher else ()))

    def build(self) -> DetailUNet:
        """The network with these weights, float32. Raises WeightsError where names or shapes do not fit."""
        network = DetailUNet(self.config)
        try:
            network.load_state_dict({name: tensor.float() for name, tensor in self.tensors.items()})
        except RuntimeError as error:
            raise WeightsError(f"the weights do not fit the network they describe: {error}") from error
        return network

    def build_cdm(self) -> CDM | None:
        """The conditioning diffusion model, float32, where there is one. Raises WeightsError where it does not fit."""
        if self.cdm is None:
            return None
        width = self.cdm["leave.weight"].shape[1]
        cdm = CDM(CDMConfig(embedding=self.config.cells, width=width, scales=self.config.scales))
        try:
            cdm.load_state_dict({name: tensor.float() for name, tensor in self.cdm.items()})
        except RuntimeError as error:
            raise WeightsError(f"the conditioning diffusion model does not fit: {error}") from error
        return cdm.eval()

    @property
    def digest(self) -> str:
        """SHA-256 over every tensor, hex: part of the numeric fingerprint."""
        sha = hashlib.sha256(json.dumps(self.config.as_dict(), sort_keys=True).encode())
        sha.update(self.deviation.tobytes())
        for name, tensor in sorted(_together(self).items()):
            sha.update(name.encode())
            sha.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
        return sha.hexdigest()


def _together(weights: Weights) -> dict[str, Tensor]:
    """Every tensor but the deviation under one name, as it is stored."""
    tensors = {name: tensor.to(torch.float16).contiguous().cpu() for name, tensor in weights.tensors.items()}
    for name, tensor in (weights.cdm or {}).items():
        tensors[CDM_PREFIX + name] = tensor.to(torch.float16).contiguous().cpu()
    if weights.contrast:
        tensors["contrast"] = torch.tensor(weights.contrast.coefficients)  # a copy: files hold no tensor twice
        if weights.contrast.below.any():
            tensors["contrast.below"] = torch.tensor(weights.contrast.below)
        if weights.contrast.finest:
            tensors["contrast.finest"] = torch.tensor([weights.contrast.finest])
    if weights.teacher:
        tensors |= {TEACHER_PREFIX + name: tensor for name, tensor in _together(weights.teacher).items()}
    return tensors


def save_weights(path: Path, weights: Weights) -> None:
    """Write `weights` in half precision, whole or not at all."""
    tensors = _together(weights) | {"deviation": torch.from_numpy(np.ascontiguousarray(weights.deviation))}
    header = {
        "format": FORMAT,
        "config": json.dumps(weights.config.as_dict()),
        "sampler": json.dumps(asdict(weights.sampler)),
    }
    if weights.teacher:
        header["teachers"] = json.dumps([asdict(taught.sampler) for taught in weights.teacher.lineage])
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
        config = NetworkConfig(**_tuples(json.loads(header["config"])))
        own = json.loads(header.get("sampler", "{}"))
        return _of(config, tensors, deviation, [own, *json.loads(header.get("teachers", "[]"))])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path}: expected a tensor 'deviation' and a header with the sizes of the network and its sampler, "
            f"found: {error!r}; the file is of another version of {FORMAT}: train or copy it again"
        ) from error


def _of(
    config: NetworkConfig, tensors: dict[str, Tensor], deviation: NDArray[np.float32], samplers: list[dict[str, Any]]
) -> Weights:
    """The first network of a lineage out of its stored tensors, and in it the rest."""
    taught = _taken(tensors, TEACHER_PREFIX)
    teacher = _of(config, taught, deviation, samplers[1:]) if samplers[1:] or taught else None
    contrast = None
    if "contrast" in tensors:
        contrast = ContrastModel(tensors.pop("contrast").numpy(), finest=int(tensors.pop("contrast.finest", 0)))
        if "contrast.below" in tensors:
            contrast = replace(contrast, below=tensors.pop("contrast.below").numpy())
    cdm = _taken(tensors, CDM_PREFIX)
    return Weights(config, tensors, deviation, Sampler(**_tuples(samplers[0])), contrast, cdm or None, teacher)


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, taken out, by the rest of their names."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the dataclasses have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

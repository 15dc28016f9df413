"""Inputs and outputs of the reference implementation, recorded: a part that comes with the tests, or all of them."""

from __future__ import annotations

import json
import lzma
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.zoomldm.checkpoint import authors_names, random_networks
from everslide.model.zoomldm.config import read_config

SHIPPED = Path(__file__).parent / "reference"


@dataclass(frozen=True)
class Recorded:
    """A tiny checkpoint, its CDM, and arrays by name. whole: the autoencoder's weights are among them."""

    config: Path
    weights: Mapping[str, NDArray[np.generic]]
    cdm: Mapping[str, NDArray[np.generic]]
    arrays: Mapping[str, NDArray[np.generic]]
    dtypes: Mapping[str, str]
    whole: bool

    @classmethod
    def read(cls, folder: Path) -> Recorded:
        """All of them, from the folder that the reference was recorded into."""
        assert (folder / "parity.npz").is_file(), f"--parity {folder}: expected parity.npz in it"
        weights, cdm, arrays = (np.load(folder / f"{name}.npz") for name in ("tiny_ckpt", "tiny_cdm", "parity"))
        manifest = json.loads((folder / "manifest.json").read_text())
        dtypes = {name: entry[1] for name, entry in manifest.items()}
        return cls(folder / "tiny_config.yaml", weights, cdm, arrays, dtypes, whole=True)

    @classmethod
    def shipped(cls) -> Recorded:
        """What comes with the tests; see `reference/README.md`."""
        data = lzma.decompress((SHIPPED / "reference.xz").read_bytes())
        size = int.from_bytes(data[:8], "little")
        index, packed = json.loads(data[8 : 8 + size]), _arrays(json.loads(data[8 : 8 + size]), data[8 + size :])
        arrays = {name.removeprefix("arrays/"): array for name, array in packed.items() if name.startswith("arrays/")}
        weights, cdm = (_unpacked(packed[part], index[part]) for part in ("checkpoint", "cdm"))
        cdm["pos_embed"] = packed["pos_embed"]
        return cls(SHIPPED / "config.yaml", weights, cdm, arrays, index["dtypes"], whole=False)

    def array(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """An array in the type it had before it was packed, or in `dtype`."""
        tensor = torch.from_numpy(np.asarray(self.arrays[name]).astype(self.dtypes[name]))
        return tensor if dtype is None else tensor.to(dtype)

    def write(self, folder: Path) -> Path:
        """The checkpoint as the authors publish theirs; what was not recorded of its autoencoder is random."""
        tensors = {name: _tensor(array) for name, array in self.weights.items()}
        if not self.whole:
            config = read_config(self.config)
            networks = random_networks(config, 0)
            state = {f"{part}.{n}": t for part, network in networks.items() for n, t in network.state_dict().items()}
            names = authors_names(config, networks)
            tensors |= {source: state[name] for name, source in names.items() if source not in tensors}
        torch.save(tensors, folder / "weights.ckpt")
        torch.save({"ema": {name: _tensor(array) for name, array in self.cdm.items()}}, folder / "cdm.ckpt")
        shutil.copy(self.config, folder / "config.yaml")
        return folder


def _arrays(index: dict[str, Any], data: bytes) -> dict[str, NDArray[np.generic]]:
    """Arrays one after the other, of each the first bytes of all numbers, then the second ones, and so on."""
    out, start = {}, 0
    for name, (dtype, shape) in index["arrays"].items():
        width, count = np.dtype(dtype).itemsize, int(np.prod(shape))
        planes = np.frombuffer(data, np.uint8, width * count, start).reshape(width, count)
        out[name] = np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
        start += width * count
    assert start == len(data)
    return out


def _unpacked(blob: NDArray[np.generic], index: list[tuple[str, list[int]]]) -> dict[str, NDArray[np.generic]]:
    out, start = {}, 0
    for name, shape in index:
        size = int(np.prod(shape))
        out[name] = blob[start : start + size].reshape(shape)
        start += size
    assert start == len(blob)
    return out


def _tensor(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float16 else np.asarray(array))

"""Filling sections: loads the network's weights and paints whole sections of a slide, each keyed by its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from scipy import ndimage
from torch import Tensor

from everslide.model.errors import WeightsError
from everslide.model.mini.section_network import (
    CANVAS_PX,
    DEPTH_PX,
    LATENT,
    SectionConfig,
    SectionUNet,
    noise_sides,
)
from everslide.model.mini.tensors import write_tensors
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.pyramid.patchwork import Patchwork
from everslide.model.pyramid.sketch import Fills

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
FORMAT = "everslide-sections-1"
SHIPPED_SECTIONS = Path(__file__).parent.parent / "weights" / "sections.safetensors"


@dataclass(frozen=True, eq=False)
class SectionWeights:
    """config, tensors by name; cases: how many training cases stand behind each organ."""

    config: SectionConfig
    tensors: dict[str, Tensor]
    cases: Mapping[str, int]


def save_sections(path: Path, weights: SectionWeights) -> None:
    """Write weights in half precision, whole or not at all. Raises WeightsError."""
    header = {
        "format": FORMAT,
        "config": json.dumps(weights.config.as_dict()),
        "cases": json.dumps(dict(weights.cases)),
    }
    write_tensors(path, {name: x.to(torch.float16).contiguous().cpu() for name, x in weights.tensors.items()}, header)


def load_fills(path: Path = SHIPPED_SECTIONS) -> Fills:
    """What fills the sections of slides that are painted from nothing: the network where there are weights of it, else
    a patchwork of the colours of real sections. Raises WeightsError where the weights are damaged."""
    return SectionPainter(path) if path.exists() else Patchwork()


class SectionPainter:
    """Paints sections on the CPU, one canvas at a time, with one thread: the same bytes for the same keys."""

    def __init__(self, path: Path) -> None:
        """Raises WeightsError where the file is missing or damaged."""
        try:
            with safe_open(path, "pt") as file:
                header = file.metadata() or {}
                if header.get("format") != FORMAT:
                    raise WeightsError(f"{path}: expected weights of {FORMAT}, found {header.get('format')!r}")
                tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
            values: dict[str, Any] = json.loads(header["config"])
            values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
            self._network = SectionUNet(SectionConfig(**values))
            self._network.load_state_dict(tensors)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(
                f"{path}: not whole weights of sections ({error}); train them with `everslide train --sections`"
            ) from error
        self._network = self._network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        sha = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
        for name, tensor in sorted(tensors.items()):
            sha.update(name.encode() + tensor.numpy().tobytes())
        cover = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
        cover[40:120, 50:110] = 1
        sha.update(torch.__version__.encode() + self.paint(1, (0, 0), cover, {}).tobytes())
        self.fingerprint = sha.hexdigest()

    @torch.inference_mode()
    def paint(self, seed: int, place: tuple[int, int], cover: Floats, organs: Mapping[str, float]) -> Pixels:
        """Colours (N, N, 3) of what lies under `cover` (N, N) in [0, 1], N = CANVAS_PX; on glass of one grey.

        seed: of the slide. place: of the canvas, any two integers. organs: the share of each.
        """
        config = self._network.config
        shape = torch.from_numpy(shape_channels(cover))[None].contiguous(memory_format=torch.channels_last)
        noise = tuple(
            torch.from_numpy(_normals(seed, f"section noise {level}", place, (1, channels, side, side)))
            for level, (channels, side) in enumerate(noise_sides(config, CANVAS_PX))
        )
        latent = torch.from_numpy(_normals(seed, "section latent", (0, 0), (1, LATENT)))
        organ = torch.tensor([[float(organs.get(name, 0.0)) for name in config.organs]])
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            painted = self._network(shape, noise, latent, organ)[0]
        finally:
            torch.set_num_threads(threads)
        grey = (painted.permute(1, 2, 0).numpy() + 1) * 127.5
        pixels: Pixels = np.floor(grey + np.float32(0.5)).clip(0, 255).astype(np.uint8)
        return pixels


def shape_channels(cover: Floats) -> Floats:
    """What the network is told of a silhouette (N, N) in [0, 1]: it, and how far from the outline; (2, N, N)."""
    inside = ndimage.distance_transform_edt(np.pad(cover, 1) > 0.5)[1:-1, 1:-1]
    return np.stack([cover, np.tanh(inside / DEPTH_PX)]).astype(np.float32)


def _normals(seed: int, stream: str, place: tuple[int, int], shape: tuple[int, ...]) -> Floats:
    """Standard normals keyed by seed, stream and place."""
    count = int(np.prod(shape))
    return keyed.normals_of(keyed.raw_bits(seed, stream, 0, *place, -(-count // 4)))[:count].reshape(shape)

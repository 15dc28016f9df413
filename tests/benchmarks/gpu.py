"""How many tiles a second one GPU paints: `mini` in bfloat16 batches, and ZoomLDM's preset `fast` at full size.

    python -m tests.benchmarks.gpu [--seconds 30] [--windows 64] [--json FILE]
    python -m tests.benchmarks.gpu --device cpu --seconds 1 --windows 2 --zoomldm-windows 1 --tiny    # without a GPU

Needs what Everslide needs and this repository: no server, no checkpoint (ZoomLDM's networks have random weights, which
take the same time). Windows lie every 256 px, so a window is a tile. Prints windows a second of mini for batches of 1,
8, 32 and --windows, whole and of the network alone, then of ZoomLDM, each after a warm-up, and the GPU's memory.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everslide.model.geometry import WindowIndex
from everslide.model.mini.model import SHIPPED_WEIGHTS, MiniModel
from everslide.model.mini.weights import load_weights
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.zoomldm.checkpoint import random_networks
from everslide.model.zoomldm.conditions import FieldConditions
from everslide.model.zoomldm.config import BRCA
from everslide.model.zoomldm.painting import PRESETS, LatentWindows
from everslide.model.zoomldm.zoomldm import ZoomLDM
from tests.benchmarks.arguments import at_least
from tests.model.zoomldm.tiny import TINY

GOALS = {"mini": 500.0, "zoomldm fast": 20.0}
"""Tiles a second on one H200."""


def per_second(work: Callable[[], int], device: torch.device, seconds: float) -> float:
    """How many `work` does a second, which says how many it did; once before it counts."""
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        done += work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return done / (time.perf_counter() - started)


def mini_per_second(device: torch.device, batch: int, seconds: float) -> float:
    """Whole windows of mini: parent in, bands out, noise included."""
    model = MiniModel(load_weights(SHIPPED_WEIGHTS), device, batch)
    parents = np.random.default_rng(1).integers(90, 230, (batch, 160, 160, 3)).astype(np.uint8)
    column = 0

    def work() -> int:
        nonlocal column
        column += batch
        model.bands(GenerationContext(1), [WindowIndex(0, column + i, 7) for i in range(batch)], parents)
        return batch

    return per_second(work, device, seconds)


def network_per_second(device: torch.device, batch: int, seconds: float) -> float:
    """The network of mini alone, noise and bands left out: what a batch costs the GPU."""
    model = MiniModel(load_weights(SHIPPED_WEIGHTS), device, batch)
    network, dtype = model._network, model._dtype
    sides = [160 >> halvings for halvings in range(len(network.config.noise))]

    def normals(channels: int, side: int) -> torch.Tensor:
        drawn = torch.randn(batch, channels, side, side, device=device, dtype=dtype)
        return drawn.to(memory_format=torch.channels_last)

    noise = tuple(normals(channels, side) for channels, side in zip(network.config.noise, sides, strict=True))
    z, parent = normals(9, 160), normals(3, 160)
    now, scale = torch.ones(batch, device=device), torch.zeros(batch, dtype=torch.int64, device=device)
    reference = torch.zeros(batch, network.config.conditions, device=device)

    @torch.inference_mode()
    def work() -> int:
        network(z, parent, now, scale, noise, reference)
        return batch

    return per_second(work, device, seconds)


def zoomldm_per_second(device: torch.device, batch: int, seconds: float, tiny: bool) -> float:
    """Windows of ZoomLDM with the preset `fast`, in bfloat16 on a GPU."""
    config = TINY if tiny else BRCA
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = ZoomLDM(config, random_networks(config, 0), "random", dtype, device)
    prototypes = torch.randn(4, config.summarizer.input_channels)
    windows = LatentWindows("zoomldm-brca", model, FieldConditions(model, prototypes), PRESETS["fast"], 1, batch)
    side = windows.grid.window_px // 2
    parents = np.random.default_rng(1).integers(90, 230, (batch, side, side, 3)).astype(np.uint8)
    column = 0

    def work() -> int:
        nonlocal column
        column += batch
        places = [WindowIndex(0, column + i, 7, windows.grid) for i in range(batch)]
        windows.bands(GenerationContext(1), places, parents)
        return batch

    return per_second(work, device, seconds)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=at_least(0, float), default=30.0, help="of each measurement")
    parser.add_argument("--windows", type=at_least(1), default=64, help="the largest batch of mini")
    parser.add_argument("--zoomldm-windows", type=at_least(1), default=16, help="the batch of ZoomLDM")
    parser.add_argument("--tiny", action="store_true", help="ZoomLDM's networks a few channels wide")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else f"cpu {torch.backends.cpu.get_cpu_capability()}"
    found: dict[str, Any] = {"device": name, "torch": torch.__version__, "mini": {}, "network alone": {}}
    print(f"{name}, torch {torch.__version__}")
    for batch in sorted({1, 8, 32, asked.windows} if cuda else {1, asked.windows}):
        found["mini"][batch] = mini_per_second(device, batch, asked.seconds)
        found["network alone"][batch] = network_per_second(device, batch, asked.seconds)
        print(
            f"mini, batch {batch}: {found['mini'][batch]:.1f} tiles/s, {found['network alone'][batch]:.1f} the network"
        )
    found["zoomldm fast"] = zoomldm_per_second(device, asked.zoomldm_windows, asked.seconds, asked.tiny)
    print(f"zoomldm fast{', tiny' if asked.tiny else ''}: {found['zoomldm fast']:.2f} tiles/s")
    if cuda:
        found["memory"] = torch.cuda.max_memory_allocated(device)
        print(f"at most {found['memory'] / 2**30:.1f} GiB of the GPU's memory")
        best = max(found["mini"].values())
        print(f"goals on one H200: mini {best:.0f} of {GOALS['mini']:.0f}, ZoomLDM {found['zoomldm fast']:.1f} of 20")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

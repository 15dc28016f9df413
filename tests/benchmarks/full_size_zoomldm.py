"""Full-size ZoomLDM with random weights on the CPU: parameters, time and peak memory of one 20x tile.

    python -m tests.benchmarks.full_size_zoomldm fast
    python -m tests.benchmarks.full_size_zoomldm faithful --steps 2

Random weights paint noise, but cost what trained ones cost. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace

import numpy as np
import torch

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.slide import Slide
from everslide.model.zoomldm.checkpoint import random_networks
from everslide.model.zoomldm.conditions import FieldConditions
from everslide.model.zoomldm.config import BRCA
from everslide.model.zoomldm.painting import PRESETS, LatentWindows
from everslide.model.zoomldm.zoomldm import ZoomLDM


def main() -> None:
    """Paint tile (1, 1) of 20x, which meets four windows, below an even picture of 10x."""
    parser = argparse.ArgumentParser()
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    started = time.perf_counter()
    networks = random_networks(BRCA, 0)
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = ZoomLDM(BRCA, networks, "random", torch.float32, device)
    preset = PRESETS[arguments.preset]
    if arguments.steps:
        preset = replace(preset, settings=replace(preset.settings, stride=-(-preset.settings.start // arguments.steps)))
    conditions = FieldConditions(model, torch.randn(4, BRCA.summarizer.input_channels))
    windows = LatentWindows("zoomldm-brca", model, conditions, preset, arguments.threads)
    loaded, cpu = time.perf_counter(), time.process_time()
    top = ImageTop(np.full((512, 512, 3), 180, np.uint8), 1)
    painter = Painter(Slide("bench", 1, 1024, 1024), windows, MemoryTiles(), top)
    tile = painter.tile(TileIndex(0, 1, 1))
    figures = {
        "parameters": counts,
        "preset": arguments.preset,
        "steps": len(preset.settings.times),
        "threads": arguments.threads,
        "setting_up_s": round(loaded - started, 1),
        "tile_wall_s": round(time.perf_counter() - loaded, 1),
        "tile_cpu_s": round(time.process_time() - cpu, 1),
        "windows": painter.counts.windows,
        "calls_per_window": vars(windows.calls),
        "peak_memory_GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "tile": list(tile.shape),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

"""What the service adds to a cold tile: the time over HTTP beside the painter's own, tile by tile.

    python -m tests.benchmarks.cold_tile [TILES]

Neighbouring 20x tiles of one slide, painted by a server with an empty cache and by a painter in this process, turn by
turn, with the model that needs no weights. Prints both medians and the median of the differences in milliseconds, and
exits with 1 where that is above 10.
"""

from __future__ import annotations

import statistics
import sys
import time
from tempfile import TemporaryDirectory

import torch

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex
from everslide.model.mini.sections import make_sketch
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.painter import Painter
from everslide.model.slide import Slide
from tests.server.processes import fetch, serving

LIMIT_MS = 10.0
LEVEL, COL, ROW, ACROSS = 17, 200, 150, 8
"""Tiles are taken row by row, ACROSS a row, from (COL, ROW) of the level of 20x."""


def main(tiles: int) -> int:
    torch.set_num_threads(1)
    slide = Slide("cold", 3)
    painter = Painter(slide, SpeckleModel(), MemoryTiles(), make_sketch(slide))
    differences, ours, theirs = [], [], []
    with TemporaryDirectory() as folder, serving("--cache", f"{folder}/cache", "--slide", "cold:3") as (_, address):
        for number in range(tiles):
            col, row = COL + number % ACROSS, ROW + number // ACROSS
            started = time.perf_counter()
            fetch(f"{address}/slides/cold_files/{LEVEL}/{col}_{row}.jpeg")
            answered = time.perf_counter()
            painter.tile(TileIndex(0, col, row))
            painted = time.perf_counter()
            ours.append(1000 * (answered - started))
            theirs.append(1000 * (painted - answered))
            differences.append(ours[-1] - theirs[-1])
    added = statistics.median(differences)
    print(f"{tiles} cold tiles: {statistics.median(ours):.1f} ms over HTTP, {statistics.median(theirs):.1f} ms painted")
    print(f"the service adds {added:.1f} ms (median of the differences)")
    return int(added > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 120))

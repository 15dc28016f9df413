"""What the sources of `mini`'s conditions are worth, on the held-out images of a prepared folder.

    python -m tests.benchmarks.mini_conditions PREPARED [WEIGHTS]

truth: correlation of the cells that a source gives with those that the encoder finds in the real 20x image below the
same parent. shuffled: the same against another place. common: correlation of the cells that two neighbouring windows
have in common. down: correlation of a cell with the mean of the four below it, told by real parents. ms: a window.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everslide.model.dataset import Examples
from everslide.model.geometry import WINDOW_PX, WindowIndex
from everslide.model.mini.cells import CELL_PX
from everslide.model.mini.encoder import load_encoder
from everslide.model.mini.model import SHIPPED_WEIGHTS
from everslide.model.mini.sources import CDMConditions, Conditions, ParentConditions
from everslide.model.mini.weights import load_weights
from everslide.model.wavelet import box_mean

SCALES = (0, 1, 2)
PLACES = 24
WIDE_PX = 2 * WINDOW_PX
Floats = NDArray[np.float32]


def told(source: Conditions, window: WindowIndex, child: NDArray[np.uint8]) -> Floats:
    """Cells (E, 5, 5) that a source gives a window, from the parent of its real child (320, 320, 3)."""
    found = source.of(5, [window], box_mean(child)[None])
    assert found is not None
    cells: Floats = found[0]
    return cells


def correlation(a: list[Floats], b: list[Floats]) -> float:
    """Of all numbers of two lists of arrays."""
    return float(np.corrcoef(np.stack(a).ravel(), np.stack(b).ravel())[0, 1])


def main(prepared: Path, weights: Path) -> None:
    encoder, cdm = load_encoder(), load_weights(weights).build_cdm()
    assert cdm is not None, f"{weights} holds no conditioning diffusion model"
    sources: dict[str, Conditions] = {
        "cdm": CDMConditions(cdm, encoder),
        "cdm, told no parent": CDMConditions(cdm, encoder, blind=True),
        "parent encoded": ParentConditions(encoder),
    }
    examples = Examples(prepared, "held-out", WIDE_PX, encoder)
    print("| source | scale | truth | shuffled | common | down | ms |\n|---|---|---|---|---|---|---|")
    for name, source in sources.items():
        for s in SCALES:
            rng = np.random.default_rng([3, s])
            rows: dict[str, list[Floats]] = {key: [] for key in ("truth", "given", "left", "right", "fine", "coarse")}
            seconds = []
            while len(rows["truth"]) < PLACES:
                found = examples.told(s, rng)
                if found is None:
                    continue
                child, cells = found
                at = (2 * int(rng.integers(1000)), 2 * int(rng.integers(1000)))
                window, beside = WindowIndex(s, *at), WindowIndex(s, at[0] + 1, at[1])
                started = time.perf_counter()
                given = told(source, window, child[:WINDOW_PX, :WINDOW_PX])
                seconds.append(time.perf_counter() - started)
                next_to = told(source, beside, child[:WINDOW_PX, 256 : 256 + WINDOW_PX])
                above = told(source, WindowIndex(s + 1, at[0] // 2, at[1] // 2), np.ascontiguousarray(box_mean(child)))
                rows["truth"].append(cells[:, :5, :5])
                rows["given"].append(given)
                rows["left"].append(given[:, :, 4])
                rows["right"].append(next_to[:, :, 0])
                rows["fine"].append(given[:, :4, :4].reshape(-1, 2, 2, 2, 2).mean((2, 4)))
                rows["coarse"].append(above[:, :2, :2])
            figures = [
                correlation(rows["given"], rows["truth"]),
                correlation(rows["given"], rows["truth"][1:] + rows["truth"][:1]),
                correlation(rows["left"], rows["right"]),
                correlation(rows["fine"], rows["coarse"]),
            ]
            numbers = " | ".join(f"{figure:.2f}" for figure in figures)
            print(f"| {name} | {20 / 2**s:g}x | {numbers} | {1e3 * float(np.median(seconds)):.0f} |")


if __name__ == "__main__":
    assert CELL_PX * 5 == WINDOW_PX
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else SHIPPED_WEIGHTS)

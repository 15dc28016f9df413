"""Memory of loading a full-size checkpoint: random weights, written as the authors write theirs, about 4 GB.

    python -m tests.benchmarks.zoomldm_loading FOLDER    # twice: the first time writes the checkpoint

Prints JSON: peak of the memory that is the process's own (not mapped from files), before, after converting, after
loading and one evaluation of the denoiser.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import torch

from everslide.model.zoomldm.config import BRCA
from everslide.model.zoomldm.zoomldm import load_zoomldm
from tests.model.zoomldm.tiny import write_checkpoint


class OwnMemory:
    """Watches RssAnon, which leaves out pages mapped from files."""

    def __init__(self) -> None:
        self.peak_gb = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.peak_gb = max(self.peak_gb, self.now_gb())
            time.sleep(0.01)

    @staticmethod
    def now_gb() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e6

    def take(self) -> float:
        """The peak since the last time, in GB."""
        peak, self.peak_gb = max(self.peak_gb, self.now_gb()), 0.0
        return round(peak, 2)


def main() -> None:
    """Write, or convert and load."""
    folder = Path(sys.argv[1])
    if not (folder / "weights.ckpt").exists():
        write_checkpoint(folder, BRCA)
        print(f"{folder}: written, {(folder / 'weights.ckpt').stat().st_size / 1e9:.2f} GB; run this again")
        return
    torch.set_num_threads(1)
    memory = OwnMemory()
    before, started = memory.take(), time.perf_counter()
    model = load_zoomldm(folder)
    converted, seconds = memory.take(), time.perf_counter() - started
    del model
    started = time.perf_counter()
    model = load_zoomldm(folder)
    loaded, again = memory.take(), time.perf_counter() - started
    with torch.inference_mode():
        model.eps(torch.randn(1, 3, 64, 64), 500, model.unconditional(1))
    size = sum(p.nbytes for part in (model.unet, model.autoencoder, model.summarizer) for p in part.parameters())
    figures = {
        "weights_GB": round(size / 1e9, 2),
        "own_memory_before_GB": before,
        "own_memory_converting_and_loading_GB": converted,
        "own_memory_loading_again_GB": loaded,
        "own_memory_one_evaluation_GB": memory.take(),
        "converting_and_loading_s": round(seconds, 1),
        "loading_again_s": round(again, 1),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

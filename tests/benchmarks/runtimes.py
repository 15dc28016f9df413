"""What the runtimes of `mini` cost on this CPU, and how near their pictures are to each other.

    python -m tests.benchmarks.runtimes [PAIRS]

The windows of a deep link to 20x into a painted slide are painted again, turn by turn, by torch and by OpenVINO, each
from the same parent. Prints for some scales the CPU milliseconds of a window (medians), their ratio (median of the
pairs), and the root mean square, in grey levels, of the detail and of the difference. CPU time, not the clock: what
else the machine does counts little.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TILE_PX, TOP_SCALE, TileIndex, WindowIndex
from everslide.model.mini.model import RUNTIMES, MiniModel, load_mini
from everslide.model.mini.sections import make_sketch
from everslide.model.organs import conditioned
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.windows import Bands, LocalWindows, Parent, paint_batch
from everslide.model.slide import Slide
from everslide.model.stain import optical_density

SCALES = (7, 4, 2, 0)
Kept = tuple[GenerationContext, WindowIndex, Parent]


class Recording(LocalWindows):
    """Keeps what each window was painted from, by scale."""

    def __init__(self, model: MiniModel) -> None:
        super().__init__(model)
        self.kept: defaultdict[int, list[Kept]] = defaultdict(list)

    def paint(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Sequence[Parent]
    ) -> list[Bands]:
        """See `Windows.paint`."""
        for window, parent in zip(windows, parents, strict=True):
            self.kept[window.s].append((context, window, parent))
        return super().paint(context, windows, parents)


def windows_of_a_deep_link(model: MiniModel) -> dict[int, list[Kept]]:
    """What the windows of a deep link amid tissue are painted from, by scale."""
    slide, recording = Slide("runtimes", 11, organ="liver"), Recording(model)
    like = conditioned(slide, None, dict(model.capabilities.organs), real=False)
    sketch = make_sketch(slide, reference=like)
    dense = np.argwhere(optical_density(sketch.tile(0, 0)).mean(-1) > 0.15)
    row, col = (int(v) for v in dense[len(dense) // 2])
    assert TILE_PX == 2**TOP_SCALE  # so that a pixel of the sketch is a tile of 20x
    Painter(slide, recording, MemoryTiles(), sketch, like).tile(TileIndex(0, col, row))
    return dict(recording.kept)


def timed(model: MiniModel, kept: Kept) -> tuple[float, Bands]:
    """CPU milliseconds of painting a window, and its bands."""
    context, window, parent = kept
    started = time.process_time()
    (bands,) = paint_batch(model, context, [window], [parent])
    return 1000 * (time.process_time() - started), bands


def main(pairs: int) -> None:
    loaded = {}
    for runtime in RUNTIMES:
        started = time.process_time()
        loaded[runtime] = load_mini(side_by_side=1, runtime=runtime)
        print(f"{runtime}: loaded in {time.process_time() - started:.2f} s of CPU")
    kept = windows_of_a_deep_link(loaded["torch"])
    for model in loaded.values():
        timed(model, kept[0][0])
    print("scale  torch ms  openvino ms  ratio  detail  difference")
    for s in SCALES:
        plain, other, details, apart = [], [], [], []
        for number in range(pairs):
            one = kept[s][number % len(kept[s])]
            (a, exact), (b, near) = timed(loaded["torch"], one), timed(loaded["openvino"], one)
            plain.append(a)
            other.append(b)
            details.append(float(np.square(exact.astype(np.float32)).mean()))
            apart.append(float(np.square(exact.astype(np.float32) - near).mean()))
        ratio = statistics.median(a / b for a, b in zip(plain, other, strict=True))
        root = [statistics.mean(x) ** 0.5 for x in (details, apart)]
        print(
            f"{s:5d}  {statistics.median(plain):8.1f}  {statistics.median(other):11.1f}  {ratio:5.2f}"
            f"  {root[0]:6.2f}  {root[1]:10.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)

"""Time and memory of the measures at the paper's sizes, on random embeddings: what is left once images are embedded.

    python -m tests.benchmarks.measure_at_size [IMAGES] [CHANNELS]    # 10000 and 2048, Inception's, by default

Prints JSON: CPU seconds of the Frechet distance and of the search for copies, and the process's peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np

from everslide.model.evaluation.similarity import frechet_distance, memorisation


def main(images: int, channels: int) -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    painted, real = (rng.standard_normal((images, channels)) for _ in range(2))
    before = time.process_time()
    frechet_distance(painted, real)
    middle = time.process_time()
    memorisation(painted, real)
    after = time.process_time()
    figures = {
        "images": images,
        "channels": channels,
        "frechet_cpu_s": round(middle - before, 1),
        "memorisation_cpu_s": round(after - middle, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:3] or (10_000, 2048)))

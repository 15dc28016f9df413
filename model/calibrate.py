"""Calibration of the sampler: gains that keep painted tissue as sharp as real tissue, level after level.

A few steps and a young network paint too little detail, and the next scale, given a soft parent, paints less still.
The gain of each scale is set so that on *training* images, painted down from their real coarse plane by the sampler
itself, the finest octave of the power spectrum is that of the real images. Held-out files play no part.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from everslide.model.evaluate import CHAINS, chain_test, fine_power
from everslide.model.mini import load_mini
from everslide.model.prepare import read_index
from everslide.model.sampler import Sampler
from everslide.model.weights import load_weights, save_weights

GAIN_RANGE = (0.7, 1.8)


def calibrate(folder: Path, path: Path, steps: int, strength: float, rounds: int) -> Sampler:
    """Set the sampler of the weights at `path` on the training images of `folder`, and return it."""
    weights = load_weights(path)
    training = [image for image in read_index(folder) if image.split == "train"]
    sampler = Sampler(Sampler.falling(steps), strength)
    for _ in range(rounds):
        gains = list(sampler.gains)
        denoiser = load_mini(path, sampler=sampler)
        for start, stop, kind in CHAINS:
            images = [x for x in training if x.kind == kind and x.finest <= stop and x.coarsest >= start][:4]
            chain = chain_test(folder, images, denoiser, start, stop)
            for s in chain.painted:
                ratio = fine_power(chain, s)
                gains[s] = float(np.clip(gains[s] / ratio**0.5, *GAIN_RANGE))
        sampler = replace(sampler, gains=tuple(gains))
    save_weights(path, replace(weights, sampler=sampler))
    return sampler

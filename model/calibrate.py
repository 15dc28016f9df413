"""Fitting of the contrast model on training images: `everslide calibrate`. Held-out files play no part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from everslide.model.bands import rotate_colours
from everslide.model.contrast import FEATURES, ContrastModel, features, fit
from everslide.model.dataset import Examples
from everslide.model.wavelet import box_mean, details
from everslide.model.weights import load_weights, save_weights

SHRINK = 0.7


def calibrate(folder: Path, path: Path, crops: int) -> None:
    """Fit the contrast model on `crops` training crops per scale of `folder` and put it into the weights at `path`."""
    examples = Examples(folder, "train")
    coefficients = np.zeros((12, 3, FEATURES), np.float32)
    for s in tqdm(examples.scales, desc="contrast", unit="scale"):
        rng = np.random.default_rng([13, s])
        rows, powers = [], []
        for _ in range(crops):
            child = examples.crop(s, rng)
            parent = box_mean(child).astype(np.float32)
            power = np.square(rotate_colours(details(child.astype(np.float32)))).mean(2)  # (64, 64, 3)
            blocks = power[8:40, 8:40].reshape(2, 16, 2, 16, 3).mean((1, 3))  # around pixels 16 and 32 of either axis
            rows.append(features(parent)[16:48:16, 16:48:16].reshape(-1, FEATURES))
            powers.append(blocks.reshape(-1, 3))
        coefficients[s] = fit(np.concatenate(rows), np.concatenate(powers), SHRINK)
    coefficients[max(examples.scales) + 1 :] = coefficients[max(examples.scales)]
    save_weights(path, replace(load_weights(path), contrast=ContrastModel(coefficients)))

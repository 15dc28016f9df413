"""Fitting of the contrast model on training images: `everslide calibrate`. Held-out files play no part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from everslide.model.bands import rotate_colours
from everslide.model.contrast import DEPTHS, FEATURES, ContrastModel, features, fit
from everslide.model.dataset import Examples
from everslide.model.denoiser import as_window_model
from everslide.model.evaluate import Plan, octave_test, spanning
from everslide.model.geometry import WINDOW_PX, WindowIndex
from everslide.model.mini import MiniDenoiser, load_mini
from everslide.model.prepare import read_index
from everslide.model.sketch import TOP_SCALE
from everslide.model.subject import Subject
from everslide.model.wavelet import box_mean, details
from everslide.model.weights import load_weights, save_weights

Floats = NDArray[np.float32]
SHRINK = 0.7
"""On the slopes of the parent's own octaves, see `fit`; 1 at the finest scale, upon which nothing is painted."""
PAINTED = 24
"""Training windows painted per scale to see whether the power asked for is what comes out."""
LARGEST_SHIFT, LARGEST_SHIFT_BELOW = 1.0, 0.6
"""In the logarithm of power: right below real parents, and farther below them, where images are few."""
COARSE, IMAGES, FIELD_PX = 4, 6, 512
"""From this scale up (1.25x) detail is made up for that is too weak farther below a picture; training images painted to
see that, and the side of their fields. Finer scales come out within a third of the power, one way and the other."""
RIM_PX = 8


def calibrate(folder: Path, path: Path, crops: int, finest: int = 0) -> None:
    """Fit the contrast model on `crops` training crops per scale of `folder` and put it into the weights at `path`.

    Then paint below real training parents, and correct the colours asked for by what comes out; and farther below them,
    and correct the brightness asked for at 1.25x and above. finest: the finest scale that all this is done for.
    """
    examples = Examples(folder, "train")
    scales = [s for s in examples.scales if s >= finest]
    coefficients = np.zeros((12, 3, FEATURES), np.float32)
    for s in tqdm(scales, desc="contrast", unit="scale"):
        rng = np.random.default_rng([13, s])
        rows, powers = [], []
        for _ in range(crops):
            child = examples.crop(s, rng)
            parent = box_mean(child).astype(np.float32)
            power = np.square(rotate_colours(details(child.astype(np.float32)))).mean(2)  # (64, 64, 3)
            blocks = power[8:40, 8:40].reshape(2, 16, 2, 16, 3).mean((1, 3))  # around pixels 16 and 32 of either axis
            rows.append(features(parent)[16:48:16, 16:48:16].reshape(-1, FEATURES))
            powers.append(blocks.reshape(-1, 3))
        coefficients[s] = fit(np.concatenate(rows), np.concatenate(powers), SHRINK if s else 1.0)
    weights = load_weights(path)
    contrast = ContrastModel(coefficients, finest=finest)
    save_weights(path, replace(weights, contrast=contrast))
    _correct(folder, scales, coefficients, load_mini(path))
    coefficients[max(scales) + 1 :] = coefficients[max(scales)]
    save_weights(path, replace(weights, contrast=contrast))
    for depth in range(DEPTHS):  # each upon the corrected ones above it
        contrast.below[:, depth] = _missing(folder, load_mini(path), 2 + depth)
        save_weights(path, replace(weights, contrast=contrast))


def _correct(folder: Path, scales: list[int], coefficients: Floats, denoiser: MiniDenoiser) -> None:
    """Shift the power of colours that is asked for at these scales by what is painted too little below real parents.

    That of brightness is left: made right one octave down, it is too weak after four.
    """
    model = as_window_model(denoiser)
    examples = Examples(folder, "train", WINDOW_PX)
    for s in tqdm([s for s in examples.scales if s in scales], desc="painted", unit="scale"):
        rng = np.random.default_rng([19, s])
        painted, real = np.zeros(3), np.zeros(3)
        for i in range(PAINTED):
            child = examples.crop(s, rng, vary=False)
            parents = np.stack([box_mean(child)] * model.batch)
            bands = model.bands(Subject(i), [WindowIndex(s, 0, 0)] * model.batch, parents)[0]
            painted += _power(bands)
            real += _power(details(child.astype(np.float32)))
        coefficients[s, 1:, 0] += np.log(real / painted)[1:].clip(-LARGEST_SHIFT, LARGEST_SHIFT).astype(np.float32)


def _missing(folder: Path, denoiser: MiniDenoiser, octaves: int) -> Floats:
    """How much weaker than real detail that is which is painted so many octaves below real training pictures: the
    logarithm of the power of brightness (12,), by scale."""
    missing = np.zeros(12, np.float32)
    images = [image for image in read_index(folder) if image.split == "train"]
    np.random.default_rng([29, octaves]).shuffle(images)
    for s in range(COARSE, TOP_SCALE):
        found = spanning(folder, images, s, octaves, IMAGES)
        if found:
            fields = octave_test(folder, found, denoiser, s, octaves, Plan(fields=2, field_px=FIELD_PX))
            real, painted = (
                np.mean([_power(details(field.astype(np.float32)))[0] for field in kind[s]])
                for kind in (fields.real, fields.painted)
            )
            missing[s] = np.log(real / painted).clip(-LARGEST_SHIFT_BELOW, LARGEST_SHIFT_BELOW)
    return missing


def _power(bands: Floats) -> NDArray[np.float64]:
    """Mean square of bands (H, W, 3, RGB) in each rotated colour, (3,), but for a rim that lacks neighbours."""
    inner = rotate_colours(bands[RIM_PX:-RIM_PX, RIM_PX:-RIM_PX]).astype(np.float64)
    return np.asarray(np.square(inner).mean((0, 1, 2)))

"""The fill of silhouettes in the topmost plane: random patches in the colours of one real section of the organ.

Patches and grain are as rough as real sections are at 128 um per pixel. Their arrangement is not that of the organ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from everslide.model.organs import style_of
from everslide.model.pyramid.keyed_noise import uniforms
from everslide.model.pyramid.layout import GLASS_GREY, UM_PER_PX
from everslide.model.pyramid.value_noise import fractal

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
WARP_UM, BENT_UM = 2400.0, 900.0
PATCH_UM, GRAIN_UM, GRAIN, GRAIN_KEPT = 1800.0, 800.0, 0.7, 1.5
"""Size of the patches of one kind of tissue; size, strength and falloff of the grain on them. Fitted to the deviations
within blocks of 2 to 16 px that real sections have (`everslide sections`)."""
CONTRAST = 7.0
SAMPLES = 2
"""Samples a side of each pixel."""


class Patchwork:
    """Fills the silhouettes of a canvas. fingerprint: part of the slide's identity; change it with the pixels."""

    fingerprint = "patchwork 1"

    def paint(self, seed: int, place: tuple[int, int], cover: Floats, organs: Mapping[str, float]) -> Pixels:
        """Pixels (N, N, 3) uint8 at 128 um/px: tissue where `cover` (N, N) is 1, glass of GLASS_GREY where it is 0.

        seed, place: of the slide, and the canvas's cell; they key the patches. organs: organ -> share; the largest
        decides the colours.
        """
        organ = max(organs, key=lambda name: organs[name], default="")
        colours = style_of(organ, seed).colours.astype(np.float64)
        rows, cols = (np.nonzero(cover.any(axis))[0] for axis in (1, 0))
        out = np.full((*cover.shape, 3), float(GLASS_GREY))
        if rows.size:
            inner = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
            at: list[Doubles] = [
                (np.arange(part.start * SAMPLES, part.stop * SAMPLES) + 0.5) * (UM_PER_PX / SAMPLES) for part in inner
            ]
            tissue = _tissue(seed, place, colours, at[1][None], at[0][:, None])
            high, wide = (part.stop - part.start for part in inner)
            means = tissue.reshape(high, SAMPLES, wide, SAMPLES, 3).mean((1, 3))
            out[inner] += (means - GLASS_GREY) * cover[inner][..., None]
        return np.floor(out + 0.5).clip(0, 255).astype(np.uint8)


def _tissue(seed: int, place: tuple[int, int], colours: Doubles, x: Doubles, y: Doubles) -> Doubles:
    """Colours (H, W, 3) at places in um of a canvas: warped patches of some of the colours (n, 3), with a grain."""
    u = uniforms(seed, "patchwork", *place, 8)
    salt = int(u[0] * 2**31)
    kinds = colours[np.sort(np.argsort(u[1:6])[: 3 + int(3 * u[6])])]
    warp_x, warp_y = (fractal(seed, salt + i, x, y, WARP_UM, 4) for i in (1, 2))
    x, y = x + BENT_UM * warp_x, y + BENT_UM * warp_y
    turns = [(math.cos(turn), math.sin(turn)) for turn in 0.6 + 1.1 * np.arange(len(kinds))]
    fields = [  # each along axes of its own, so that no patch is square
        fractal(seed, salt + 10 + i, x * c + y * s, y * c - x * s, PATCH_UM, 6, 0.75, turned=True)
        for i, (c, s) in enumerate(turns)
    ]
    score = np.stack(fields, axis=-1)
    weight = np.exp(CONTRAST * (score - score.max(-1, keepdims=True)))
    weight /= weight.sum(-1, keepdims=True)
    grain = 1.0 + GRAIN * fractal(seed, salt + 30, x, y, GRAIN_UM, 5, GRAIN_KEPT, turned=True)[..., None]
    density = np.maximum(-np.log(np.clip(weight @ kinds / GLASS_GREY, 0.02, 1.0)) * grain, 0.0)
    return np.asarray(GLASS_GREY * np.exp(-density))

"""The denoiser without weights."""

from __future__ import annotations

import numpy as np

from everslide.model.denoiser import PARENT_PX, Denoiser
from everslide.model.fake import SpeckleDenoiser


def test_speckle_is_a_denoiser() -> None:
    denoiser: Denoiser = SpeckleDenoiser(batch=2)
    assert (denoiser.name, denoiser.batch, denoiser.calls_per_window) == ("speckle", 2, 1)
    assert PARENT_PX == 160


def test_speckle_grows_with_density() -> None:
    noise = np.random.default_rng(1).standard_normal((2, 9, PARENT_PX, PARENT_PX)).astype(np.float32)
    grain = noise[:, :3]
    parents = np.stack([np.full((PARENT_PX, PARENT_PX, 3), grey, np.uint8) for grey in (255, 155)])
    bands = SpeckleDenoiser(2).detail(0, parents, noise, grain)
    assert bands.shape == (2, PARENT_PX, PARENT_PX, 3, 3) and bands.dtype == np.float32
    assert float(np.abs(bands[0]).max()) == 0
    np.testing.assert_allclose(bands[1, 5, 7, 2, 1], 10 * noise[1, 7, 5, 7], rtol=1e-5)

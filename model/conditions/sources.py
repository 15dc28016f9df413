"""Where the conditions of a painted window come from: nothing, its parent's pixels, or the CDM."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from everslide.model.bands import parent_input
from everslide.model.conditions.cdm import CDM, SEEN_PX
from everslide.model.conditions.cells import cells_of
from everslide.model.conditions.encoder import PATCH_PX, PatchEncoder
from everslide.model.geometry import Rect, WindowIndex
from everslide.model.noise import normals_anywhere

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
INHERITED = 0.75
"""Share of the variance of a cell's noise that it has in common with its parent's cell."""
COARSEST = 8
"""Cells of this scale and above inherit nothing."""


class Conditions(Protocol):
    """A source of conditions. fingerprint: equal ones give equal conditions."""

    fingerprint: str

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: Pixels) -> Floats | None:
        """Embeddings (B, E, k, k) of the cells of windows of one scale below parents (B, h, h, 3); None for none."""
        ...


class NoConditions:
    """The network is told nothing."""

    fingerprint = "none"

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: Pixels) -> Floats | None:
        """See `Conditions.of`."""
        return None


class CDMConditions:
    """Sampled by the conditioning diffusion model, given the parent or, with `blind`, the magnification alone."""

    def __init__(self, cdm: CDM, encoder: PatchEncoder, *, blind: bool = False) -> None:
        self._cdm, self._encoder, self._blind = cdm.eval(), encoder, blind
        sha = hashlib.sha256()
        for name, tensor in sorted(cdm.state_dict().items()):
            sha.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        self.fingerprint = f"cdm 1 {blind} {INHERITED} {sha.hexdigest()} {encoder.digest}"

    @torch.inference_mode()
    def of(self, seed: int, windows: Sequence[WindowIndex], parents: Pixels) -> Floats | None:
        """See `Conditions.of`."""
        # one by one, since the last bits of a sample depend on its companions in the batch
        return np.concatenate([self._one(seed, *one) for one in zip(windows, parents, strict=True)])

    def _one(self, seed: int, window: WindowIndex, parent: Pixels) -> Floats:
        device = self._cdm.leave.weight.device
        left, top, side = cells_of(window)
        noise = cell_noise(seed, window.s, Rect(left, top, side, side), self._cdm.config.embedding)
        hint = None if self._blind else self._encoder.quick(parent_input(parent)[None], side)
        s = torch.tensor([window.s], device=device)
        sampled: Floats = self._cdm.sample(torch.from_numpy(noise)[None].to(device), s, hint).cpu().numpy()
        return sampled


class ParentConditions:
    """The parent's own pixels, each cell of them enlarged and encoded: what a blurred 20x patch seems to be."""

    def __init__(self, encoder: PatchEncoder) -> None:
        self._encoder = encoder
        self.fingerprint = f"parent 1 {encoder.digest}"

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: Pixels) -> Floats | None:
        """See `Conditions.of`."""
        side = parents.shape[1] // SEEN_PX
        whole = (PATCH_PX * side, PATCH_PX * side)
        out = []
        for parent in parents:
            enlarged = np.asarray(Image.fromarray(parent).resize(whole, Image.Resampling.BICUBIC))
            patches = (
                enlarged.reshape(side, PATCH_PX, side, PATCH_PX, 3).swapaxes(1, 2).reshape(-1, PATCH_PX, PATCH_PX, 3)
            )
            out.append(self._encoder.embed(patches).reshape(side, side, -1).transpose(2, 0, 1))
        return np.stack(out)


def cell_noise(seed: int, s: int, cells: Rect, channels: int) -> Floats:
    """Standard normals (channels, height, width) of cells of scale s; INHERITED of each is its parent cell's."""
    own = normals_anywhere(seed, "cells", s, cells, channels)
    if s >= COARSEST:
        return own
    above = cells.parent()
    coarse = cell_noise(seed, s + 1, above, channels)
    rows = (cells.y + np.arange(cells.height)) // 2 - above.y
    columns = (cells.x + np.arange(cells.width)) // 2 - above.x
    inherited = coarse[:, rows[:, None], columns[None, :]]
    noise: Floats = np.sqrt(np.float32(INHERITED)) * inherited + np.sqrt(np.float32(1 - INHERITED)) * own
    return noise

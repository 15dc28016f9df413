"""Where the conditions of painted windows come from: nothing, the CDM, the parent's pixels, a reference, or a field.

An image of scale s covers 2^s x 2^s patches of 20x; its condition is summarised from their embeddings, pooled to at
most 8x8. Sources that know an embedding for every patch of the slide agree down the pyramid: the cells of a window are
area means of its patches, so that a parent's cell is the mean of its children's.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from everslide.model.errors import ImageError
from everslide.model.geometry import Rect, WindowIndex
from everslide.model.pyramid.keyed_noise import normals_anywhere
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.cdm_sampling import STEPS, check_match, sample_conditions
from everslide.model.zoomldm.encoders import Encoder
from everslide.model.zoomldm.latent_model import LatentModel
from everslide.model.zoomldm.zoomldm import ZoomLDM

Floats = NDArray[np.float32]
REMEMBERED = 512
"""Sampled conditions that are cached: 65 x 512 float32, 133 kB each."""


class Conditions(Protocol):
    """A source of conditions c. fingerprint: equal ones give equal conditions. guided: False where c is unconditional,
    so that classifier-free guidance has no effect."""

    fingerprint: str
    guided: bool

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: NDArray[np.uint8] | None) -> Tensor:
        """c (B, tokens, width) of B windows of one scale; seed: of the slide. parents: (B, h, h, 3), what lies above
        each window, half its side; None where nothing is painted there yet."""
        ...


class NoCondition:
    """No condition: the model's unconditional embedding."""

    fingerprint, guided = "none", False

    def __init__(self, model: LatentModel) -> None:
        self._model = model

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: NDArray[np.uint8] | None) -> Tensor:
        """See `Conditions.of`."""
        return self._model.unconditional(len(windows))


class CDMConditions:
    """Each window's own sample of the Conditioning Diffusion Model, from noise that is keyed by its place."""

    guided = True

    def __init__(self, model: ZoomLDM, cdm: CDM, digest: str, steps: int = STEPS) -> None:
        """Raises WeightsError where the CDM belongs to another checkpoint."""
        check_match(cdm, model.config)
        self._model, self._cdm, self._steps = model, cdm, steps
        self._kept: OrderedDict[tuple[int, WindowIndex], Tensor] = OrderedDict()
        self.fingerprint = f"cdm {digest} {steps}"

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: NDArray[np.uint8] | None) -> Tensor:
        """See `Conditions.of`."""
        return torch.cat([self._one(seed, window) for window in windows])

    def _one(self, seed: int, window: WindowIndex) -> Tensor:
        key = (seed, window)
        if key not in self._kept:
            tokens, channels = self._model.config.context_shape
            place = Rect(window.col * channels, window.row * tokens, channels, tokens)
            z = torch.from_numpy(normals_anywhere(seed, "zoomldm cdm", window.s, place, 1)[0].T.copy())  # (C, tokens)
            z = z[None].to(self._model.device, self._model.dtype)
            magnification = torch.tensor([min(window.s, self._cdm.config.classes - 1)], device=self._model.device)
            self._kept[key] = sample_conditions(self._cdm, z, magnification, self._steps)
            while len(self._kept) > REMEMBERED:
                self._kept.popitem(last=False)
        return self._kept[key]


class ParentConditions:
    """The parent's own pixels, cut into the window's cells, enlarged and encoded."""

    guided = True

    def __init__(self, model: LatentModel, encoder: Encoder) -> None:
        self._model, self._encoder = model, encoder
        self.fingerprint = f"parent {encoder.fingerprint}"

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: NDArray[np.uint8] | None) -> Tensor:
        """See `Conditions.of`. Raises ImageError where there is no parent: joint sampling has none."""
        if parents is None:
            raise ImageError("conditions from the parent's pixels: expected a parent; joint sampling has none yet")
        k = self._model.grid_side(windows[0].s)
        image = torch.from_numpy(parents.transpose(0, 3, 1, 2).copy()).to(self._model.device, torch.float32) / 255
        side = image.shape[-1] // k
        cells = F.unfold(image, side, stride=side).transpose(1, 2).reshape(-1, 3, side, side)  # (B k k, 3, side, side)
        embedded = self._encoder.embed(cells).reshape(len(parents), k, k, -1).permute(0, 3, 1, 2)
        return self._model.condition(embedded, windows[0].s)


class GridConditions:
    """Embeddings of the patches of a real slide or image, mirrored over the whole slide."""

    guided = True

    def __init__(self, model: LatentModel, grid: Tensor) -> None:
        """grid: (C, H, W), one embedding per patch of 20x. Raises ImageError where it is of other channels."""
        wanted = model.embedding_channels
        if grid.ndim != 3 or grid.shape[0] != wanted:
            raise ImageError(f"embedding grid: expected ({wanted}, rows, columns), found {tuple(grid.shape)}")
        if not torch.isfinite(grid).all():
            raise ImageError("embedding grid: expected finite numbers")
        self._model, self._grid = model, grid.to(model.device, model.dtype)
        self.fingerprint = "grid " + hashlib.sha256(grid.float().cpu().contiguous().numpy().tobytes()).hexdigest()

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: NDArray[np.uint8] | None) -> Tensor:
        """See `Conditions.of`."""
        return self._model.condition(torch.stack([self.cells(window) for window in windows]), windows[0].s)

    def cells(self, window: WindowIndex) -> Tensor:
        """Area means (C, k, k) of the embeddings below a window."""
        rows, cols = (
            torch.from_numpy(_folded(*_overlaps(self._model, window, axis), length)).to(self._grid)
            for axis, length in ((1, self._grid.shape[1]), (0, self._grid.shape[2]))
        )
        return rows @ self._grid @ cols.T


class FieldConditions:
    """A made-up slide's embeddings: prototypes mixed by keyed noise of several octaves, for every patch of 20x.

    It needs no real slide and agrees down the pyramid. prototypes: (K, C), such as `everslide.model.zoomldm.prototypes`
    finds from the CDM. octaves: of the noise, the finest one value per patch. sharpness: factor within the softmax
    over prototypes; the larger, the purer is a patch.
    """

    guided = True
    octaves = 6
    sharpness = 2.5

    def __init__(self, model: ZoomLDM, prototypes: Tensor) -> None:
        self._model, self._prototypes = model, prototypes.to(model.device, model.dtype)
        self.fingerprint = "field 1 " + hashlib.sha256(prototypes.float().cpu().numpy().tobytes()).hexdigest()

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: NDArray[np.uint8] | None) -> Tensor:
        """See `Conditions.of`."""
        return self._model.condition(torch.stack([self.cells(seed, window) for window in windows]), windows[0].s)

    def cells(self, seed: int, window: WindowIndex) -> Tensor:
        """Area means (C, k, k) of the embeddings below a window."""
        (top, rows), (left, cols) = _overlaps(self._model, window, 1), _overlaps(self._model, window, 0)
        shares = self.shares(seed, Rect(left, top, cols.shape[1], rows.shape[1]))  # (K, patches, patches)
        mixed = torch.from_numpy(rows @ shares @ cols.T).to(self._prototypes)  # (K, k, k)
        return torch.einsum("nij,nc->cij", mixed, self._prototypes)

    def shares(self, seed: int, patches: Rect) -> Floats:
        """Shares (K, H, W) of the prototypes in patches of 20x; they sum to one in each."""
        count = len(self._prototypes)
        score = np.zeros((count, patches.height, patches.width), np.float32)
        for octave in range(self.octaves):
            x = np.arange(patches.x, patches.right) >> octave
            y = np.arange(patches.y, patches.bottom) >> octave
            lattice = Rect(int(x[0]), int(y[0]), int(x[-1] - x[0]) + 1, int(y[-1] - y[0]) + 1)
            values = normals_anywhere(seed, "zoomldm field", octave, lattice, count)
            score += values[:, (y - y[0])[:, None], (x - x[0])[None, :]]
        weight = np.exp(self.sharpness * (score - score.max(0)) / np.sqrt(self.octaves))
        return np.asarray(weight / weight.sum(0), np.float32)


def _overlaps(model: LatentModel, window: WindowIndex, axis: int) -> tuple[int, Floats]:
    """First patch of 20x below a window along x (0) or y (1), and weights (k, patches) of the patches in each cell."""
    side = model.patch_px
    start = (window.rect.y if axis else window.rect.x) * 2**window.s  # 20x pixels
    length, k = window.grid.window_px * 2**window.s, model.grid_side(window.s)
    first, last = start // side, -(-(start + length) // side)
    edges = start + np.arange(k + 1) * (length // k)
    left = np.maximum(edges[:-1, None], np.arange(first, last)[None] * side)
    right = np.minimum(edges[1:, None], np.arange(first + 1, last + 1)[None] * side)
    return first, (np.maximum(right - left, 0) * (k / length)).astype(np.float32)


def _folded(first: int, weights: Floats, length: int) -> Floats:
    """Weights (k, patches) from patch `first` on -> (k, length) over a grid that is mirrored outwards."""
    index = np.arange(first, first + weights.shape[1]) % (2 * length)
    mirrored = np.where(index < length, index, 2 * length - 1 - index)
    out = np.zeros((len(weights), length), np.float32)
    np.add.at(out.T, mirrored, weights.T)
    return out

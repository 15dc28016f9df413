"""Training examples: a child crop, the Haar detail it adds, and its parent, drawn from prepared pyramids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.bands import parent_input, rotate_colours, smooth_bands, to_channels
from everslide.model.errors import DataError
from everslide.model.prepare import Prepared, plane, read_index
from everslide.model.stain import jitter_stain, optical_density
from everslide.model.wavelet import box_mean, details

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
CROP_PX = 128
SCALE_SHARES = {0: 0.20, 1: 0.20, 2: 0.19, 3: 0.16, 4: 0.10, 5: 0.06, 6: 0.05, 7: 0.04}
"""How often each child scale is drawn: most where a parent pixel hides whole nuclei, at 2 to 8 um per pixel."""
LIKE_OF = 16
"""Crops drawn to find one that is like a painted one."""
FADED_SHARE = 0.4
"""How often the parent's own finest detail is faded, as that of a painted parent may be."""


@dataclass(frozen=True)
class Batch:
    """Examples for the network; H = W = CROP_PX / 2.

    detail: (B, 9, H, W), what the child adds to the smooth surface through its parent, over `deviations`.
    parent: (B, 3, H, W) in [-1, 1]. s: (B,) int64, scale of the child.
    """

    detail: Tensor
    parent: Tensor
    s: Tensor


class Examples:
    """Random crops of one split of a prepared folder.

    Raises DataError where the split has no image that is large enough.
    """

    def __init__(self, folder: Path, split: str, crop_px: int = CROP_PX) -> None:
        self.crop_px = crop_px
        self._planes: dict[int, list[Pixels]] = {}
        self._weights: dict[int, Floats] = {}
        for image in read_index(folder):
            if image.split == split:
                self._add(folder, image)
        if not self._planes:
            raise DataError(f"{folder}: no {split} image of at least {crop_px} px; prepare more images")
        for s, planes in self._planes.items():
            area = np.array([float(p.shape[0] * p.shape[1]) for p in planes]) ** 0.5
            self._weights[s] = (area / area.sum()).astype(np.float32)

    def _add(self, folder: Path, image: Prepared) -> None:
        for s in range(image.finest, image.coarsest + 1):
            pixels = np.array(plane(folder, image, s))  # in memory: random crops of a mapped file wait for the disk
            if min(pixels.shape[:2]) >= self.crop_px and s in SCALE_SHARES:
                self._planes.setdefault(s, []).append(pixels)

    @property
    def scales(self) -> list[int]:
        """Child scales with examples, finest first."""
        return sorted(self._planes)

    def crop(self, s: int, rng: np.random.Generator, vary: bool = True) -> Pixels:
        """A child crop (crop_px, crop_px, 3) uint8 of scale s: mostly tissue, turned, mirrored, restained."""
        child = self._cut(s, rng)
        return augment(child, rng) if vary else child

    def like(self, s: int, parent: Pixels, rng: np.random.Generator) -> Pixels:
        """Of several child crops (crop_px, crop_px, 3) of scale s, the one nearest in colours to a `parent`."""
        colours = _colours(parent[::2, ::2])
        found = [self._cut(s, rng) for _ in range(LIKE_OF)]
        far = [float(np.abs(_colours(child[::4, ::4]) - colours).sum()) for child in found]
        return turn(found[int(np.argmin(far))], rng)

    def _cut(self, s: int, rng: np.random.Generator) -> Pixels:
        planes = self._planes[s]
        weights = self._weights[s].astype(np.float64)
        for _attempt in range(10):
            pixels = planes[int(rng.choice(len(planes), p=weights / weights.sum()))]
            y = 2 * int(rng.integers(0, (pixels.shape[0] - self.crop_px) // 2 + 1))
            x = 2 * int(rng.integers(0, (pixels.shape[1] - self.crop_px) // 2 + 1))
            child = np.asarray(pixels[y : y + self.crop_px, x : x + self.crop_px])
            share = float((optical_density(child[::4, ::4]).mean(-1) > 0.08).mean())
            if rng.random() < min(1.0, 0.04 + 1.6 * share):
                break
        return child

    def batch(self, size: int, rng: np.random.Generator, deviation: Floats, s: int | None = None) -> Batch:
        """`size` examples, of scale `s` or of scales drawn by SCALE_SHARES; `deviation` as from `deviations`."""
        present = self.scales
        shares = np.array([SCALE_SHARES[scale] for scale in present])
        drawn = rng.choice(present, size=size, p=shares / shares.sum()) if s is None else np.full(size, s)
        pairs = [self._pair(int(scale), rng, deviation) for scale in drawn]
        return Batch(
            torch.stack([detail for detail, _ in pairs]),
            torch.stack([parent for _, parent in pairs]),
            torch.from_numpy(drawn.astype(np.int64)),
        )

    def _pair(self, s: int, rng: np.random.Generator, deviation: Floats) -> tuple[Tensor, Tensor]:
        child = self.crop(s, rng)
        parent = box_mean(child)
        seen = _fade(parent, float(rng.uniform(0.3, 1.0))) if rng.random() < FADED_SHARE else parent
        residual = details(child.astype(np.float32)) - smooth_bands(seen.astype(np.float32))
        return to_channels(residual, deviation[s]), parent_input(seen)

    def deviations(self, crops: int = 160) -> Floats:
        """Deviation of every band and colour at every scale, (12, 3, 3) float32, measured on tissue crops."""
        out = np.ones((12, 3, 3), np.float32)
        for s in self.scales:
            rng = np.random.default_rng([7, s])
            squares = [
                np.square(rotate_colours(details(self.crop(s, rng).astype(np.float32)))).mean((0, 1))
                for _ in range(crops)
            ]
            out[s] = np.sqrt(np.mean(squares, axis=0)) + 0.05
        for s in range(max(self.scales) + 1, 12):
            out[s] = out[max(self.scales)]
        return out


def _colours(pixels: Pixels) -> Floats:
    """Mean and half the deviation of each colour of (H, W, 3) uint8, (2, 3)."""
    flat = pixels.reshape(-1, 3).astype(np.float32)
    return np.stack([flat.mean(0), 0.5 * flat.std(0)])


def _fade(parent: Pixels, keep: float) -> Pixels:
    """The parent (even sides) with its finest octave of detail scaled by `keep`."""
    mean = box_mean(parent).repeat(2, axis=0).repeat(2, axis=1).astype(np.float32)
    faded = mean + np.float32(keep) * (parent.astype(np.float32) - mean)
    return np.floor(faded + 0.5).clip(0, 255).astype(np.uint8)


def augment(child: Pixels, rng: np.random.Generator) -> Pixels:
    """The crop turned, mirrored, and half the time restained."""
    child = turn(child, rng)
    if rng.random() < 0.5:
        gains, shift = rng.uniform(0.85, 1.18, 3), rng.uniform(-0.04, 0.04, 3)
        child = jitter_stain(child, gains.astype(np.float32), shift.astype(np.float32))
    return np.ascontiguousarray(child)


def turn(child: Pixels, rng: np.random.Generator) -> Pixels:
    """The crop turned by quarters, and half the time mirrored."""
    child = np.rot90(child, int(rng.integers(4)))
    return np.ascontiguousarray(child[:, ::-1] if rng.random() < 0.5 else child)

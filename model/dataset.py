"""Training examples: a child crop, the Haar detail it adds, and its parent, drawn from prepared pyramids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from everslide.model.bands import parent_input, rotate_colours, smooth_bands, to_channels
from everslide.model.conditions.cells import CELL_PX, cells_below
from everslide.model.conditions.encoder import EMBEDDING, PATCH_PX, PITCH_PX, PatchEncoder
from everslide.model.errors import DataError
from everslide.model.places import CROP_PX, Place, Stain, turn_by
from everslide.model.prepare import Prepared, plane, read_index
from everslide.model.stain import jitter_stain, optical_density
from everslide.model.wavelet import box_mean, details

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
SCALE_SHARES = {0: 0.20, 1: 0.20, 2: 0.19, 3: 0.16, 4: 0.10, 5: 0.06, 6: 0.05, 7: 0.04}
"""How often each child scale is drawn: most where a parent pixel hides whole nuclei, at 2 to 8 um per pixel."""
LIKE_OF = 16
"""Crops drawn to find one that is like a painted one."""
UNTOLD_SHARE = 0.3
"""How often an example's tissue is not told, and its stain changed instead: what guidance is measured against."""
FADED_SHARE = 0.4
"""How often the parent's own finest detail is faded, as that of a painted parent may be."""


@dataclass(frozen=True)
class Batch:
    """Examples for the network; H = W = CROP_PX / 2.

    detail: (B, 9, H, W), what the child adds to the smooth surface through its parent, over `deviations`.
    parent: (B, 3, H, W) in [-1, 1]. s: (B,) int64, scale of the child.
    cells: (B, E, k, k), embeddings of its cells. known: (B,) 1, or 0 where they are not known or left out.
    """

    detail: Tensor
    parent: Tensor
    s: Tensor
    cells: Tensor
    known: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(x.to(device) for x in (self.detail, self.parent, self.s, self.cells, self.known)))


@dataclass(frozen=True)
class _Plane:
    """pixels: (H, W, 3) uint8. lattice: embeddings of the image at 20x, where it is sharp enough for them.
    image: all planes of its image, by scale."""

    pixels: Pixels
    lattice: Floats | None
    image: dict[int, Pixels]


class Examples:
    """Random crops of one split of a prepared folder; an encoder also gives them the embeddings of their cells.

    Raises DataError where the split has no image that is large enough.
    """

    def __init__(self, folder: Path, split: str, crop_px: int = CROP_PX, encoder: PatchEncoder | None = None) -> None:
        self.crop_px, self._encoder = crop_px, encoder
        self._planes: dict[int, list[_Plane]] = {}
        self._weights: dict[int, Floats] = {}
        for image in read_index(folder):
            if image.split == split:
                self._add(folder, image)
        if not self._planes:
            raise DataError(f"{folder}: no {split} image of at least {crop_px} px; prepare more images")
        for s, planes in self._planes.items():
            area = np.array([float(p.pixels.shape[0] * p.pixels.shape[1]) for p in planes]) ** 0.5
            self._weights[s] = (area / area.sum()).astype(np.float32)

    def _add(self, folder: Path, image: Prepared) -> None:
        lattice = embeddings_of(folder, image, self._encoder) if self._encoder else None
        shown: dict[int, Pixels] = {}
        for s in range(image.finest, image.coarsest + 1):
            pixels = np.array(plane(folder, image, s))  # in memory: random crops of a mapped file wait for the disk
            if min(pixels.shape[:2]) >= self.crop_px and s in SCALE_SHARES:
                shown[s] = pixels
                self._planes.setdefault(s, []).append(_Plane(pixels, lattice, shown))

    @property
    def scales(self) -> list[int]:
        """Child scales with examples, finest first."""
        return sorted(self._planes)

    @property
    def told_scales(self) -> list[int]:
        """Child scales with examples whose cells have embeddings, finest first."""
        return [s for s, planes in sorted(self._planes.items()) if any(p.lattice is not None for p in planes)]

    def crop(self, s: int, rng: np.random.Generator, vary: bool = True) -> Pixels:
        """A child crop (crop_px, crop_px, 3) uint8 of scale s: mostly tissue, turned, mirrored, restained."""
        child, _ = self._cut(s, rng)
        return augment(child, rng) if vary else child

    def told(self, s: int, rng: np.random.Generator) -> tuple[Pixels, Floats] | None:
        """A child crop, turned and mirrored, and the embeddings (E, k, k) of its cells; None where it has none."""
        child, cells = self._cut(s, rng)
        if cells is None:
            return None
        quarters, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
        return turn_by(child, quarters, mirrored), turn_by(cells.transpose(1, 2, 0), quarters, mirrored).transpose(
            2, 0, 1
        )

    def like(self, s: int, parent: Pixels, rng: np.random.Generator) -> Pixels:
        """Of several child crops (crop_px, crop_px, 3) of scale s, the one nearest in colours to a `parent`."""
        colours = _colours(parent[::2, ::2])
        found = [self._cut(s, rng)[0] for _ in range(LIKE_OF)]
        far = [float(np.abs(_colours(child[::4, ::4]) - colours).sum()) for child in found]
        return turn(found[int(np.argmin(far))], rng)

    def place(self, s: int, rng: np.random.Generator) -> Place:
        """The place of a child crop of scale s, mostly tissue, turned, mirrored, and half the time restained."""
        chosen, y, x = self._find(s, rng)
        stain = _stain(rng) if rng.random() < 0.5 else None
        return Place(chosen.image, s, y, x, int(rng.integers(4)), bool(rng.random() < 0.5), stain)

    def _cut(self, s: int, rng: np.random.Generator) -> tuple[Pixels, Floats | None]:
        """A child crop and the embeddings of its cells, where it has any."""
        chosen, y, x = self._find(s, rng)
        cells = None if chosen.lattice is None else cells_below(chosen.lattice, s, y, x, self.crop_px)
        return np.asarray(chosen.pixels[y : y + self.crop_px, x : x + self.crop_px]), cells

    def _find(self, s: int, rng: np.random.Generator) -> tuple[_Plane, int, int]:
        """A plane, and row and column of a crop of it, mostly tissue."""
        planes = self._planes[s]
        weights = self._weights[s].astype(np.float64)
        for _attempt in range(10):
            chosen = planes[int(rng.choice(len(planes), p=weights / weights.sum()))]
            pixels = chosen.pixels
            y = 2 * int(rng.integers(0, (pixels.shape[0] - self.crop_px) // 2 + 1))
            x = 2 * int(rng.integers(0, (pixels.shape[1] - self.crop_px) // 2 + 1))
            child = pixels[y : y + self.crop_px : 4, x : x + self.crop_px : 4]
            share = float((optical_density(child).mean(-1) > 0.08).mean())
            if rng.random() < min(1.0, 0.04 + 1.6 * share):
                break
        return chosen, y, x

    def batch(self, size: int, rng: np.random.Generator, deviation: Floats, s: int | None = None) -> Batch:
        """`size` examples, of scale `s` or of scales drawn by SCALE_SHARES; `deviation` as from `deviations`."""
        present = self.scales
        shares = np.array([SCALE_SHARES[scale] for scale in present])
        drawn = rng.choice(present, size=size, p=shares / shares.sum()) if s is None else np.full(size, s)
        pairs = [self._pair(int(scale), rng, deviation) for scale in drawn]
        length = self._encoder.config.embedding if self._encoder else EMBEDDING
        none = np.zeros((length, self.crop_px // CELL_PX, self.crop_px // CELL_PX), np.float32)
        return Batch(
            torch.stack([detail for detail, _, _ in pairs]),
            torch.stack([parent for _, parent, _ in pairs]),
            torch.from_numpy(drawn.astype(np.int64)),
            torch.from_numpy(np.stack([none if cells is None else cells for _, _, cells in pairs])),
            torch.tensor([float(cells is not None) for _, _, cells in pairs]),
        )

    def _pair(self, s: int, rng: np.random.Generator, deviation: Floats) -> tuple[Tensor, Tensor, Floats | None]:
        told = self.told(s, rng) if rng.random() >= UNTOLD_SHARE else None
        child, cells = told or (self.crop(s, rng), None)
        parent = box_mean(child)
        seen = _fade(parent, float(rng.uniform(0.3, 1.0))) if rng.random() < FADED_SHARE else parent
        residual = details(child.astype(np.float32)) - smooth_bands(seen.astype(np.float32))
        return to_channels(residual, deviation[s]), parent_input(seen), cells

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
        child = jitter_stain(child, *_stain(rng))
    return np.ascontiguousarray(child)


def _stain(rng: np.random.Generator) -> Stain:
    """Another stain, see `jitter_stain`."""
    gains, shift = rng.uniform(0.85, 1.18, 3), rng.uniform(-0.04, 0.04, 3)
    return gains.astype(np.float32), shift.astype(np.float32)


def turn(child: Pixels, rng: np.random.Generator) -> Pixels:
    """The crop turned by quarters, and half the time mirrored."""
    return turn_by(child, int(rng.integers(4)), bool(rng.random() < 0.5))


def _sparse_map(pixels: Pixels, encoder: PatchEncoder) -> Floats:
    """The map at 20x of a 10x plane (H, W, 3), four squares a side at a time."""
    half, step = PATCH_PX // 2, 4 * PITCH_PX // 2
    rows, columns = (-(-side // step) for side in pixels.shape[:2])
    margin = (step - half) // 2  # a patch lies in the middle of the squares that it stands for
    after = [n * step - side for n, side in zip((rows, columns), pixels.shape[:2], strict=True)]
    whole = np.pad(pixels, ((0, after[0]), (0, after[1]), (0, 0)), mode="symmetric")
    out = []
    for y in range(margin, rows * step, step):
        cuts = [Image.fromarray(whole[y : y + half, x : x + half]) for x in range(margin, columns * step, step)]
        enlarged = [np.asarray(cut.resize((PATCH_PX, PATCH_PX), Image.Resampling.BICUBIC)) for cut in cuts]
        out.append(encoder.embed(np.stack(enlarged)))
    return np.stack(out).repeat(4, axis=0).repeat(4, axis=1)


def embeddings_of(folder: Path, image: Prepared, encoder: PatchEncoder) -> Floats | None:
    """Embeddings (rows, columns, E) of an image at 20x, kept beside its planes; None where it is too coarse for them.

    Of a 10x image one patch in sixteen is enlarged and encoded, and stands for its neighbours.
    """
    if image.finest > 1:
        return None
    kept = folder / image.name / f"embeddings-{encoder.digest[:12]}.npy"
    if not kept.exists():
        pixels = np.array(plane(folder, image, image.finest))
        found = encoder.embedding_map(pixels) if image.finest == 0 else _sparse_map(pixels, encoder)
        partial = kept.with_suffix(".part.npy")
        np.save(partial, found)
        partial.replace(kept)
    lattice: Floats = np.load(kept)
    return lattice

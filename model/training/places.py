"""Chains of real places: a parent, and the real tissue below it, octave by octave, as training shows them."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from everslide.model.errors import DataError
from everslide.model.mini.patch_encoder import PATCH_PX, PatchEncoder
from everslide.model.mini.style_extraction import mean_embedding, tissue_squares
from everslide.model.stain import jitter_stain, optical_density
from everslide.model.style_reference import REFERENCE_CHANNELS
from everslide.model.training.organs import cases_by_organ, organ_of
from everslide.model.training.prepare import Prepared, Split, plane, read_index

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
CROP_PX = 128
"""Side of what is painted in an octave."""
PARENT_PX = CROP_PX // 2
RIM_PX = 16
"""Outer part of a painted crop that is not painted upon: it lacked neighbours."""
SCALE_SHARES = (0.25, 0.16, 0.13, 0.12, 0.1, 0.1, 0.08, 0.06, 0.06, 0.05)
"""How often a chain ends at each scale, 20x first."""
LENGTH_SHARES = (0.2, 0.25, 0.25, 0.2, 0.1)
"""How often a chain has one to five octaves."""
ZOOM_SHARE, ZOOMS = 0.5, (0.85, 1.2)
"""How often, and by how much, a place is shown at another resolution than its own: many scales are estimates."""
LEAST_SIDE_PX = CROP_PX * ZOOMS[1] + 4
"""An image shows a scale where both its sides have so many pixels of it."""
STAIN_SHARE, GAINS, SHIFT = 0.65, (0.75, 1.33), 0.07
"""How often a place is shown in another stain, and how far that goes; see `jitter_stain`."""
STAINS = 6
"""Stains of an image of 20x, each with a reference of its own: else a reference would stand for one image by heart."""
DROPPED_SHARE = 0.5
"""How often a reference that is known is not shown, so that guidance has something to guide away from."""
ORGAN_DROPPED_SHARE = 0.4
"""How often an organ is not shown."""
REFERENCE_PATCHES = 24
"""Patches of an image that its reference is the mean of."""
TISSUE_DENSITY = 0.08


@dataclass(frozen=True)
class Chain:
    """Places of one image, coarse to fine. s: scales of the children. offsets: (y, x) in each child of the parent of
    the next. reals: (CROP_PX, CROP_PX, 3) uint8, the real children.
    condition: (64 + organs + 1,), the embedding of a reference and the share of each organ, or zeros; last 0."""

    s: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    reals: tuple[Pixels, ...]
    condition: Floats


@dataclass(frozen=True)
class Batch:
    """Chains of one length. s: (K, B) int64. offsets: (K, B, 2) int64. reals: (K, B, 3, CROP_PX, CROP_PX) in [0, 255].
    condition: (B, 64 + organs + 1)."""

    s: Tensor
    offsets: Tensor
    reals: Tensor
    condition: Tensor

    @staticmethod
    def of(chains: list[Chain]) -> Batch:
        reals = np.stack([np.stack([chain.reals[k] for chain in chains]) for k in range(len(chains[0].s))])
        return Batch(
            torch.tensor([chain.s for chain in chains]).T,
            torch.tensor([chain.offsets for chain in chains]).transpose(0, 1),
            torch.from_numpy(np.ascontiguousarray(reals.transpose(0, 1, 4, 2, 3))),
            torch.from_numpy(np.stack([chain.condition for chain in chains])),
        )

    def to(self, device: torch.device) -> Batch:
        return Batch(self.s.to(device), self.offsets, self.reals.to(device).float(), self.condition.to(device))


@dataclass(frozen=True)
class _Stain:
    """gains, shift: (3,), see `jitter_stain`. reference: (64,), of the image in this stain."""

    gains: Floats
    shift: Floats
    reference: Floats


@dataclass(frozen=True)
class _Image:
    """planes: by scale, (H, W, 3) uint8. weight: how often it is drawn. reference: None where 20x is not known.
    stains: others, none where 20x is not known. organ: "" for none that training knows."""

    planes: dict[int, Pixels]
    weight: float
    reference: Floats | None
    stains: tuple[_Stain, ...]
    organ: str


class Tissue:
    """The images of one split of a prepared folder. Raises DataError where there is none that is large enough."""

    def __init__(self, folder: Path, split: Split, encoder: PatchEncoder | None = None) -> None:
        """encoder: gives images their reference."""
        index = read_index(folder)
        self.cases = cases_by_organ(index)
        self._images = [_open(folder, image, encoder, self.cases) for image in index if image.split == split]
        self._lists: dict[tuple[int, int], tuple[list[_Image], Floats]] = {}
        for s in range(len(SCALE_SHARES)):
            for length in range(1, len(LENGTH_SHARES) + 1):
                self._list(s, length)
        if not self._lists:
            raise DataError(f"{folder}: no {split} image of at least {LEAST_SIDE_PX:.0f} px; prepare more images")

    def _list(self, s: int, length: int) -> None:
        """Images that hold chains of a length that end at scale s."""
        top = s + length - 1
        found = [
            image
            for image in self._images
            if s in image.planes and top in image.planes and min(image.planes[top].shape[:2]) >= LEAST_SIDE_PX
        ]
        if found:
            weights = np.array([image.weight for image in found], np.float32)
            self._lists[s, length] = (found, weights)

    @property
    def organs(self) -> tuple[str, ...]:
        """Organs of the training cases, whichever split this is."""
        return tuple(self.cases)

    @property
    def scales(self) -> list[int]:
        """Scales at which chains can end, finest first."""
        return sorted({s for s, _ in self._lists})

    def shows(self, scales: Iterable[int], side: int) -> bool:
        """Whether each of the scales has an image of at least `side` pixels."""
        return all(any(s in x.planes and min(x.planes[s].shape[:2]) >= side for x in self._images) for s in scales)

    def lengths(self, s: int) -> list[int]:
        """Lengths of chains that can end at scale s."""
        return sorted(length for end, length in self._lists if end == s)

    def chain(self, s: int, length: int, rng: np.random.Generator, *, vary: bool = True) -> Chain:
        """A chain that ends at scale s, mostly on tissue, turned and, where it shall `vary`, zoomed and restained."""
        images, weights = self._lists[s, length]
        top = s + length - 1
        zoom = float(rng.uniform(*ZOOMS)) if vary and rng.random() < ZOOM_SHARE else 1.0
        image, y, x = _find(images, weights, top, CROP_PX * max(zoom, 1.0), rng)
        if zoom < 1 and s - 1 not in image.planes:
            zoom = 1.0
        reals, offsets = [], []
        finer = int(zoom != 1 and s - 1 in image.planes)  # pixels of the same plane would be as sharp no longer
        for scale in range(top, s - 1, -1):
            reals.append(_cut(image.planes[scale - finer], y * 2**finer, x * 2**finer, zoom * 2**finer))
            down, right = (int(rng.integers(RIM_PX, CROP_PX - PARENT_PX - RIM_PX + 1)) for _ in range(2))
            offsets.append((down, right))
            y, x = 2 * (y + down * zoom), 2 * (x + right * zoom)
        quarters, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
        reference = image.reference
        if vary and rng.random() < STAIN_SHARE:
            known = image.stains[int(rng.integers(len(image.stains)))] if image.stains else None
            gains, shift = (known.gains, known.shift) if known else _gains_and_shift(rng)
            reals = [jitter_stain(real, gains, shift) for real in reals]
            reference = known.reference if known else None
        condition = self.shown(image.organ, rng)
        if reference is not None and rng.random() >= DROPPED_SHARE:
            condition[:REFERENCE_CHANNELS] = reference
        return Chain(
            tuple(range(top, s - 1, -1)),
            tuple(_turned_offset(offset, quarters, mirrored) for offset in offsets),
            tuple(turned(real, quarters, mirrored) for real in reals),
            condition,
        )

    def shown(self, organ: str, rng: np.random.Generator) -> Floats:
        """A condition (64 + organs + 1,) without a reference, with an organ where it is known and not dropped, below a
        parent that is painted."""
        condition = np.zeros(REFERENCE_CHANNELS + len(self.organs) + 1, np.float32)
        if organ in self.organs and rng.random() >= ORGAN_DROPPED_SHARE:
            condition[REFERENCE_CHANNELS + self.organs.index(organ)] = 1
        return condition

    def spot(self, s: int, side: int, rng: np.random.Generator, organ: str = "") -> Pixels:
        """A square (side, side, 3) of plane s, mostly of tissue, of an organ where an image of it is so large.

        Raises DataError where no image is so large."""
        images = [x for x in self._images if s in x.planes and min(x.planes[s].shape[:2]) >= side]
        images = [x for x in images if organ and x.organ == organ] or images
        if not images:
            raise DataError(f"no image shows {side} px or more of scale {s}; prepare more images")
        image, y, x = _find(images, np.array([image.weight for image in images], np.float32), s, side, rng)
        return np.array(image.planes[s][int(y) : int(y) + side, int(x) : int(x) + side])

    def square(self, s: int, octaves: int, side: int, rng: np.random.Generator) -> tuple[Pixels, Pixels] | None:
        """A parent so many octaves up, and its real square (side, side, 3) of scale s; None where none is so large."""
        step, top = 2**octaves, s + octaves
        images = [image for image in self._images if {s, top} <= set(image.planes)]
        images = [image for image in images if min(image.planes[s].shape[:2]) >= side]
        for _attempt in range(30 if images else 0):
            image = images[int(rng.integers(len(images)))]
            high, wide = (length // step for length in image.planes[s].shape[:2])
            y, x = (int(rng.integers(length - side // step + 1)) for length in (high, wide))
            real = np.array(image.planes[s][y * step : y * step + side, x * step : x * step + side])
            if (optical_density(real[::4, ::4]).mean(-1) > TISSUE_DENSITY).mean() > 0.6:
                return np.array(image.planes[top][y : y + side // step, x : x + side // step]), real
        return None

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        """`size` chains of one length, of scales and lengths as often as their shares say."""
        while True:
            length = 1 + int(rng.choice(len(LENGTH_SHARES), p=np.array(LENGTH_SHARES)))
            ends = [s for s in range(len(SCALE_SHARES)) if (s, length) in self._lists]
            if ends:
                break
        shares = np.array([SCALE_SHARES[s] for s in ends])
        drawn = rng.choice(ends, size=size, p=shares / shares.sum())
        return Batch.of([self.chain(int(s), length, rng) for s in drawn])


def _find(
    images: list[_Image], weights: Floats, s: int, side: float, rng: np.random.Generator
) -> tuple[_Image, float, float]:
    """An image, and row and column of a square of plane s of it, mostly of tissue."""
    shares = weights.astype(np.float64) / weights.sum(dtype=np.float64)
    for _attempt in range(10):
        image = images[int(rng.choice(len(images), p=shares))]
        high, wide = image.planes[s].shape[:2]
        y, x = float(rng.integers(int(high - side) + 1)), float(rng.integers(int(wide - side) + 1))
        seen = image.planes[s][int(y) : int(y + side) : 4, int(x) : int(x + side) : 4]
        share = float((optical_density(seen).mean(-1) > TISSUE_DENSITY).mean())
        if rng.random() < min(1.0, 0.04 + 1.6 * share):
            break
    return image, y, x


class Batches(IterableDataset[Batch]):
    """Batches without an end, of other chains in every process."""

    def __init__(self, tissue: Tissue, size: int, seed: tuple[int, ...]) -> None:
        self._tissue, self._size, self._seed = tissue, size, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = np.random.default_rng([*self._seed, worker.id if worker else 0])
        while True:
            yield self._tissue.batch(self._size, rng)


def _open(folder: Path, image: Prepared, encoder: PatchEncoder | None, organs: Collection[str]) -> _Image:
    planes = {s: plane(folder, image, s) for s in range(image.finest, image.coarsest + 1)}
    high, wide = planes[image.finest].shape[:2]
    weight = float(high * wide) ** 0.5 * 2.0**image.finest
    reference, stains = _references(planes[0], encoder) if encoder and 0 in planes else (None, ())
    organ = organ_of(image.organ) if image.kind == "field" else ""
    return _Image(planes, weight, reference, stains, organ if organ in organs else "")


def _references(pixels: Pixels, encoder: PatchEncoder) -> tuple[Floats | None, tuple[_Stain, ...]]:
    """The mean embedding (64,) of the tissue of a 20x picture (H, W, 3), and some stains of it, the same each time;
    none where there is no tissue."""
    patches = tissue_squares(pixels, PATCH_PX)
    if not len(patches):
        return None, ()
    patches = patches[:: -(-len(patches) // REFERENCE_PATCHES)]
    rng = np.random.default_rng(zlib.crc32(patches.tobytes()))
    drawn = [_gains_and_shift(rng) for _ in range(STAINS)]
    stained = [(np.stack([jitter_stain(patch, *stain) for patch in patches]), stain) for stain in drawn]
    stains = [_Stain(*stain, mean_embedding(pixels, encoder, REFERENCE_PATCHES)) for pixels, stain in stained]
    return mean_embedding(patches, encoder, REFERENCE_PATCHES), tuple(stains)


def _gains_and_shift(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A stain at random, for `jitter_stain`."""
    return rng.uniform(*GAINS, 3).astype(np.float32), rng.uniform(-SHIFT, SHIFT, 3).astype(np.float32)


def _cut(pixels: Pixels, y: float, x: float, zoom: float) -> Pixels:
    """The square (CROP_PX, CROP_PX, 3) at row y and column x, of `zoom` pixels a pixel."""
    side = CROP_PX * zoom
    if zoom == 1.0:
        return np.array(pixels[int(y) : int(y) + CROP_PX, int(x) : int(x) + CROP_PX])
    top, left = max(0, int(y) - 4), max(0, int(x) - 4)
    around = Image.fromarray(pixels[top : int(y + side) + 5, left : int(x + side) + 5])
    box = (x - left, y - top, min(x - left + side, around.width), min(y - top + side, around.height))
    return np.asarray(around.resize((CROP_PX, CROP_PX), Image.Resampling.LANCZOS, box=box))


def turned(array: Pixels, quarters: int, mirrored: bool) -> Pixels:
    """An array (H, W, ...) turned by so many quarters, then mirrored or not; contiguous."""
    array = np.rot90(array, quarters)
    return np.ascontiguousarray(array[:, ::-1] if mirrored else array)


def _turned_offset(offset: tuple[int, int], quarters: int, mirrored: bool) -> tuple[int, int]:
    """Where a square of PARENT_PX lies once its crop is turned."""
    (y, x), free = offset, CROP_PX - PARENT_PX
    for _ in range(quarters):
        y, x = free - x, y
    return (y, free - x) if mirrored else (y, x)

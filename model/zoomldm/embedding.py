"""Grids of embeddings from real slides: what `sample`, `large` and super-resolution with given embeddings read.

A slide is read through large_image at 0.5 um per pixel, a row of patches at a time, so that its size does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from everslide.model.errors import ImageError
from everslide.model.evaluation.image_statistics import tissue_share
from everslide.model.geometry import Rect
from everslide.model.image_io.source_image import SLIDE_SUFFIXES
from everslide.model.image_io.user_picture import read_rgb
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.zoomldm.compute import Compute, in_batches
from everslide.model.zoomldm.encoders import PATCH_PX, Encoder
from everslide.model.zoomldm.kept import Kept

Pixels = NDArray[np.uint8]
MPP = 0.5
"""um per pixel of 20x."""


class Plane(Protocol):
    """The finest plane of a slide: width and height in its pixels, and what is in a rectangle of them."""

    width: int
    height: int

    def read(self, rect: Rect, s: int = 0) -> Pixels:
        """What is in `rect`, s octaves coarser: (rect.height / 2^s, rect.width / 2^s, 3)."""
        ...


class SlidePlane:
    """A whole-slide file at 20x."""

    def __init__(self, path: Path) -> None:
        """Raises ImageError where large_image cannot open the file, or it is coarser than 0.5 um per pixel."""
        import large_image

        try:
            self._source = large_image.open(str(path))
            meta = self._source.getMetadata()
        except Exception as error:  # large_image raises errors of many libraries
            raise ImageError(f"{path}: large_image cannot open it: {error}") from error
        mm = meta.get("mm_x")
        if not mm or mm * 1000 > MPP * 1.01:
            found = f"{mm * 1000:g} um per pixel" if mm else "no resolution"
            raise ImageError(f"{path}: expected a slide of {MPP} um per pixel or finer, found {found}")
        self._path = path
        self.width, self.height = (int(meta[side] * mm * 1000 / MPP) for side in ("sizeX", "sizeY"))

    def read(self, rect: Rect, s: int = 0) -> Pixels:
        """See `Plane.read`. Raises ImageError."""
        mm = MPP / 1000
        high, wide = rect.height >> s, rect.width >> s
        region = {"left": rect.x * mm, "top": rect.y * mm, "width": rect.width * mm, "height": rect.height * mm}
        try:
            found, _ = self._source.getRegion(
                region={**region, "units": "mm"}, output={"maxWidth": wide, "maxHeight": high}, format="numpy",
            )  # fmt: skip
        except Exception as error:  # large_image raises errors of many libraries
            raise ImageError(f"{self._path}: large_image cannot read {rect}: {error}") from error
        pixels = np.asarray(found)[:high, :wide, :3].astype(np.uint8)
        short = (high - pixels.shape[0], wide - pixels.shape[1])  # a pixel, where the scale is uneven
        return np.pad(pixels, ((0, short[0]), (0, short[1]), (0, 0)), mode="edge")


class PicturePlane:
    """A plain picture, whose pixels are those of the finest scale."""

    def __init__(self, path: Path) -> None:
        """Raises ImageError where the file is no picture."""
        self._pixels = read_rgb(path)
        self.height, self.width = self._pixels.shape[:2]

    def read(self, rect: Rect, s: int = 0) -> Pixels:
        """See `Plane.read`."""
        pixels = self._pixels[rect.y : rect.bottom, rect.x : rect.right]
        for _ in range(s):
            pixels = box_mean(pixels)
        return pixels


@dataclass(frozen=True)
class EmbedOptions:
    """region: part of the finest plane, in its pixels; all of it by default. side: cut into grids of so many patches a
    side, those with at least a share `tissue` of tissue; else one grid of everything. patch_px: side of a patch."""

    region: Rect | None = None
    side: int | None = None
    tissue: float = 0.5
    patch_px: int = PATCH_PX


def open_plane(path: Path) -> Plane:
    """A slide through large_image, or a picture as it is. Raises ImageError."""
    return SlidePlane(path) if path.suffix.lower() in SLIDE_SUFFIXES else PicturePlane(path)


def embed_slide(path: Path, encoder: Encoder, options: EmbedOptions, compute: Compute, out: Path) -> list[Path]:
    """Write embeddings (C, rows, columns) of a slide's patches as .npy in half precision; returns the files.

    One file `out`.npy; with `options.side` a folder `out` of grids, named by the row and column of their first patch.
    Raises ImageError where the slide cannot be read, is too small, or holds too little tissue.
    """
    plane, px = open_plane(path), options.patch_px
    whole = options.region or Rect(0, 0, plane.width, plane.height)
    if whole.intersection(Rect(0, 0, plane.width, plane.height)) != whole:
        raise ImageError(f"{path}: expected a region within {plane.width} x {plane.height} px, found {whole}")
    rows, cols = whole.height // px, whole.width // px
    side = options.side
    if min(rows, cols) < (side or 1):
        raise ImageError(f"{path}: expected at least {side or 1} patches of {px} px a side, found {cols} x {rows}")
    state = path.stat()
    facts = (str(path), state.st_size, state.st_mtime_ns, encoder.fingerprint, whole, px)
    with Kept(out, facts) as kept:

        def line(row: int) -> Tensor:
            pixels = plane.read(Rect(whole.x, whole.y + row * px, cols * px, px))
            patches = np.ascontiguousarray(pixels.reshape(px, cols, px, 3).transpose(1, 0, 2, 3))
            share = torch.tensor([tissue_share(patch) for patch in patches])
            return torch.cat([share[:, None], _embed(encoder, patches, compute)], 1)  # (cols, 1 + C)

        bar = tqdm(range(rows), desc="embedding", unit="row")
        lines = torch.stack([kept.once(f"row-{row}", torch.device("cpu"), partial(line, row)) for row in bar])
        grid, tissue = lines[..., 1:].permute(2, 0, 1), lines[..., 0]  # (C, rows, cols), (rows, cols)
        return _write(grid, tissue, options, out)


def _embed(encoder: Encoder, patches: Pixels, compute: Compute) -> Tensor:
    images = torch.from_numpy(patches.transpose(0, 3, 1, 2).copy())

    def work(part: list[int]) -> Tensor:
        return encoder.embed(images[part].to(compute.device).float() / 255).float().cpu()

    return torch.cat([rows for _, rows in in_batches(range(len(images)), compute.batch, work)])


def _write(grid: Tensor, tissue: Tensor, options: EmbedOptions, out: Path) -> list[Path]:
    if options.side is None:
        target = out.with_suffix(".npy")
        np.save(target, grid.numpy().astype(np.float16))
        return [target]
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for row, col in _blocks(tissue, options.side, options.tissue):
        target = out / f"{row:05d}-{col:05d}.npy"
        part = grid[:, row : row + options.side, col : col + options.side]
        np.save(target, part.numpy().astype(np.float16))
        written.append(target)
    if not written:
        raise ImageError(f"no {options.side} x {options.side} patches hold {options.tissue:.0%} tissue; ask for less")
    return written


def _blocks(tissue: Tensor, side: int, least: float) -> Iterator[tuple[int, int]]:
    for row in range(0, tissue.shape[0] - side + 1, side):
        for col in range(0, tissue.shape[1] - side + 1, side):
            if float(tissue[row : row + side, col : col + side].mean()) >= least:
                yield row, col

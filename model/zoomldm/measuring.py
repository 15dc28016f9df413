"""The paper's measures of painted against real images: FID, crop FID, SSIM, PSNR, LPIPS, similarity, memorisation.

Images are read in batches and forgotten, their embeddings are kept: 10,000 of 2048 numbers are 160 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from everslide.model.errors import DataError
from everslide.model.evaluation.image_statistics import all_patches
from everslide.model.evaluation.similarity import Memorisation, frechet_distance, memorisation, psnr, ssim
from everslide.model.image_io.user_picture import read_rgb
from everslide.model.zoomldm.compute import Compute, in_batches
from everslide.model.zoomldm.encoders import Encoder
from everslide.model.zoomldm.kept import Kept

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}
PAIRS = 16
"""Nearest pairs on a sheet."""
SHOWN_PX = 256
"""Side of an image on it."""
_CHUNK = 256
"""Images whose embeddings are kept together."""


@dataclass(frozen=True)
class MeasureOptions:
    """crop: also compare crops of this side, px. memorised: also look for copies. sheet: where the nearest pairs are
    written as a picture. resume: folder in which finished embeddings are kept until the end."""

    crop: int | None = None
    memorised: bool = False
    sheet: Path | None = None
    resume: Path | None = None


@dataclass(frozen=True)
class Figures:
    """What was measured; None where it does not apply: pairs need images of the same names and sizes.

    images, crops: how many, painted and real. frechet, crop_frechet: distance of embeddings (FID with `inception`).
    memorised: share of painted images that are copies. nearest: painted image, real image and distance of the nearest
    pairs, nearest first. psnr (dB), ssim, similarity (cosine), lpips: means over `pairs` images of equal names; psnr
    without pairs of equal pixels, whose is infinite.
    """

    images: tuple[int, int]
    frechet: float
    crops: tuple[int, int] | None
    crop_frechet: float | None
    memorised: float | None
    nearest: list[tuple[str, str, float]] | None
    psnr: float | None
    ssim: float | None
    similarity: float | None
    lpips: float | None
    pairs: int


def measure(
    painted: Path, real: Path, extractor: Encoder, options: MeasureOptions, compute: Compute, lpips: Any | None = None
) -> Figures:
    """Measure a folder of painted images against one of real images. lpips: what `make_distance` gives, if any.

    Raises DataError for folders or crops too small, ImageError for a damaged image, WeightsError where memory ends.
    """
    paths = [_paths(folder) for folder in (painted, real)]
    facts = (extractor.fingerprint, options.crop, [[(p.name, p.stat().st_mtime_ns) for p in side] for side in paths])
    with Kept(options.resume / "measure", facts) if options.resume else nullcontext() as kept:
        sides = [_embedded(extractor, side, f"images-{i}", compute, kept) for i, side in enumerate(paths)]
        crops = None
        if options.crop is not None:
            crops = [
                _embedded(extractor, side, f"crops-{i}", compute, kept, options.crop) for i, side in enumerate(paths)
            ]
            if min(map(len, crops)) < 2:
                found_crops = [len(c) for c in crops]
                raise DataError(
                    f"--crop {options.crop}: expected images of at least that side, found {found_crops} crops"
                )
    found = memorisation(*sides) if (options.memorised or options.sheet) and len(sides[1]) > 2 else None
    nearest = _nearest(found, paths) if found else None
    if options.sheet and nearest:
        _write_sheet(nearest, options.sheet)
    pairs = list(_pairs(paths, sides, lpips, compute))
    return Figures(
        images=(len(sides[0]), len(sides[1])),
        frechet=frechet_distance(*sides),
        crops=(len(crops[0]), len(crops[1])) if crops else None,
        crop_frechet=frechet_distance(*crops) if crops else None,
        memorised=found.share if found else None,
        nearest=[(a.name, b.name, distance) for a, b, distance in nearest] if nearest else None,
        psnr=_mean(pair.psnr for pair in pairs),
        ssim=_mean(pair.ssim for pair in pairs),
        similarity=_mean(pair.similarity for pair in pairs),
        lpips=_mean(pair.lpips for pair in pairs),
        pairs=len(pairs),
    )


@dataclass(frozen=True)
class _Pair:
    psnr: float | None
    ssim: float
    similarity: float
    lpips: float | None


def _paths(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if len(found) < 2:
        raise DataError(f"{folder}: expected a folder of at least 2 images, found {len(found)}")
    return found


def _embedded(
    extractor: Encoder, paths: list[Path], name: str, compute: Compute, kept: Kept | None, crop: int | None = None
) -> Doubles:
    """Embeddings (n, C) of images, or of their crops, in chunks of images that are kept."""
    out: list[Tensor] = []
    with tqdm(total=len(paths), desc=f"embedding {name}", unit="image") as bar:
        for number in range(-(-len(paths) // _CHUNK)):
            chunk = paths[number * _CHUNK : (number + 1) * _CHUNK]

            def make(chunk: list[Path] = chunk) -> Tensor:
                return _embed(extractor, _pieces(chunk, crop), compute)

            key = f"{name}-{number}"
            out.append(kept.once(key, torch.device("cpu"), make) if kept else make())
            bar.update(len(chunk))
    rows = [part for part in out if len(part)]
    return torch.cat(rows).numpy() if rows else np.empty((0, 1))


def _pieces(paths: Iterable[Path], crop: int | None) -> Iterator[Pixels]:
    for path in paths:
        pixels = read_rgb(path)
        yield from [pixels] if crop is None else all_patches(pixels, crop)


def _embed(extractor: Encoder, images: Iterator[Pixels], compute: Compute) -> Tensor:
    """(n, C) float64, in batches of images of one size."""
    out, group = [torch.empty(0)], list(islice(images, 1))
    while group:
        following = None
        for image in images:
            if image.shape != group[0].shape or len(group) == compute.batch:
                following = image
                break
            group.append(image)
        stacked = _tensor(np.stack(group))

        def work(part: list[int], stacked: Tensor = stacked) -> Tensor:
            return extractor.embed(stacked[part].to(compute.device)).double().cpu()

        out += [rows for _, rows in in_batches(range(len(group)), compute.batch, work)]
        group = [] if following is None else [following]
    return torch.cat(out[1:]) if len(out) > 1 else out[0]


def _pairs(paths: list[list[Path]], sides: list[Doubles], lpips: Any | None, compute: Compute) -> Iterator[_Pair]:
    """Images of one name and size, compared."""
    rows = [{path.stem: i for i, path in enumerate(side)} for side in paths]
    for name in tqdm(sorted(rows[0].keys() & rows[1].keys()), desc="pairs", unit="pair", leave=False):
        i, j = (side[name] for side in rows)
        a, b = read_rgb(paths[0][i]), read_rgb(paths[1][j])
        if a.shape != b.shape:
            continue
        u, v = sides[0][i], sides[1][j]
        cosine = float(u @ v / max(np.linalg.norm(u) * np.linalg.norm(v), 1e-12))
        yield _Pair(
            None if np.array_equal(a, b) else psnr(a, b), ssim(a, b), cosine,
            None if lpips is None else _distance(lpips, a, b, compute.device),
        )  # fmt: skip


def _distance(network: Any, a: Pixels, b: Pixels, device: torch.device) -> float:
    with torch.inference_mode():
        x, y = (_tensor(image[None]).to(device) * 2 - 1 for image in (a, b))
        return float(network(x, y).mean())


def _nearest(found: Memorisation, paths: list[list[Path]]) -> list[tuple[Path, Path, float]]:
    """The nearest pairs, nearest first."""
    first = np.argsort(found.distance, kind="stable")[:PAIRS]
    return [(paths[0][i], paths[1][found.nearest[i]], float(found.distance[i])) for i in first]


def _write_sheet(pairs: list[tuple[Path, Path, float]], out: Path) -> None:
    """Rows of two pairs: painted on the left of each, the nearest real image on its right."""
    rows = -(-len(pairs) // 2)
    sheet = Image.new("RGB", (4 * SHOWN_PX + 8, rows * SHOWN_PX), "white")
    for number, (painted, real, _) in enumerate(pairs):
        x, y = (number % 2) * (2 * SHOWN_PX + 8), number // 2 * SHOWN_PX
        for k, path in enumerate((painted, real)):
            image = Image.fromarray(read_rgb(path)).resize((SHOWN_PX, SHOWN_PX), Image.Resampling.LANCZOS)
            sheet.paste(image, (x + k * SHOWN_PX, y))
    from everslide.model.zoomldm.studio import save

    save(np.asarray(sheet), out)


def _tensor(images: Pixels) -> Tensor:
    """[0, 255] uint8 (B, H, W, 3) -> [0, 1] (B, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 255


def _mean(values: Iterable[float | None]) -> float | None:
    some = [value for value in values if value is not None]
    return float(np.mean(some)) if some else None

"""Box pyramids for training and measuring, cut once from real images: `everslide prepare`.

A prepared folder holds `index.json` and, per image, one (H, W, 3) uint8 array `<name>/s<scale>.npy` for every scale
from the finest that the image has. Every plane is the rounded 2x2 box mean of the plane below it, as on a painted
slide. Whole files are held out, never patches; scenes are composed from training and held-out sections apart.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from everslide.model.errors import DataError
from everslide.model.geometry import mpp
from everslide.model.scenes import Section, compose, cut_sections
from everslide.model.sources import SourceImage, find_sources, read_at
from everslide.model.wavelet import box_mean

Pixels = NDArray[np.uint8]
COARSEST_SCALE = 10
MIN_SIDE_PX = 64
SCENE_KINDS = ((5, 2048, 2048, 40, 8), (6, 2048, 1536, 72, 12))
"""(scale, width, height, training scenes, held-out scenes): 32 x 32 mm sharp, 131 x 98 mm many sections."""


@dataclass(frozen=True)
class Prepared:
    """One prepared image: its name, split ("train" or "held-out"), kind ("field" or "scene") and finest scale."""

    name: str
    split: str
    kind: str
    finest: int
    coarsest: int


def read_index(folder: Path) -> list[Prepared]:
    """The images of a prepared folder. Raises DataError where `folder` is none."""
    path = folder / "index.json"
    if not path.exists():
        raise DataError(f"{folder}: no index.json; make the folder with `everslide prepare IMAGES --out {folder}`")
    return [Prepared(**entry) for entry in json.loads(path.read_text())["images"]]


def plane(folder: Path, image: Prepared, s: int) -> Pixels:
    """Plane `s` of a prepared image, (H, W, 3) uint8, memory-mapped."""
    mapped: Pixels = np.load(folder / image.name / f"s{s}.npy", mmap_mode="r")
    return mapped


def prepare(images: Path, out: Path, hold_out: Iterable[str], seed: int = 0) -> list[Prepared]:
    """Prepare every image below `images` into `out`; files matching a `hold_out` pattern are kept for measuring."""
    patterns = list(hold_out)
    prepared: list[Prepared] = []
    sections: dict[tuple[str, int], list[Section]] = {}
    sources = find_sources(images)
    for pattern in patterns:
        if not any(_matches(source, [pattern]) for source in sources):
            raise DataError(f"--hold-out {pattern!r} matches no image; found {', '.join(x.path.name for x in sources)}")
    for source in tqdm(sources, desc="images", unit="image"):
        split = "held-out" if _matches(source, patterns) else "train"
        finest = max(0, int(np.ceil(np.log2(source.mpp / mpp(0)) - 0.02)))
        pixels = read_at(source, max(mpp(finest), source.mpp))
        planes = write_pyramid(out / source.name, pixels, finest)
        prepared.append(Prepared(source.name, split, "field", finest, max(planes)))
        for scale, *_ in SCENE_KINDS:
            if scale in planes and finest <= scale:
                sections.setdefault((split, scale), []).extend(cut_sections(planes[scale], mpp(scale)))
    prepared.extend(_compose_all(out, sections, seed))
    index = {"format": 1, "images": [asdict(image) for image in prepared]}
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    return prepared


def _matches(source: SourceImage, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(source.path.name, pattern) for pattern in patterns)


def _compose_all(out: Path, sections: dict[tuple[str, int], list[Section]], seed: int) -> list[Prepared]:
    made = []
    for scale, width, height, for_training, for_measuring in SCENE_KINDS:
        for split, count in (("train", for_training), ("held-out", for_measuring)):
            pieces = sections.get((split, scale), [])
            for number in tqdm(range(count if pieces else 0), desc=f"scenes, {split}", unit="scene"):
                rng = np.random.default_rng([seed, scale, split == "train", number])
                name = f"scene-s{scale}-{split}-{number:03d}"
                planes = write_pyramid(out / name, compose(pieces, width, height, rng), scale)
                made.append(Prepared(name, split, "scene", scale, max(planes)))
    return made


def write_pyramid(folder: Path, pixels: Pixels, finest: int) -> dict[int, Pixels]:
    """Write `pixels` as plane `finest` and its box means as the coarser planes; returns them by scale."""
    folder.mkdir(parents=True, exist_ok=True)
    planes: dict[int, Pixels] = {}
    for s in range(finest, COARSEST_SCALE + 1):
        if planes and min(pixels.shape[:2]) < MIN_SIDE_PX:
            break
        planes[s] = pixels
        np.save(folder / f"s{s}.npy", pixels)
        high, wide = (side // 2 * 2 for side in pixels.shape[:2])
        pixels = box_mean(pixels[:high, :wide])
    return planes

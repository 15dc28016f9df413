"""Box pyramids for training and measuring, cut once from real images: `everslide prepare`.

A prepared folder holds `index.json` and, per image, one (H, W, 3) uint8 array `<name>/s<scale>.npy` for every scale
from the finest that the image has. Every plane is the rounded 2x2 box mean of the plane below it, as on a painted
slide. Whole files are held out, never patches; scenes are composed of the sections of one split. Weights are chosen
on the split "validation" and reported on the split "held-out".
"""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from everslide.model.errors import DataError
from everslide.model.geometry import mpp
from everslide.model.image_io.source_image import SourceImage, find_sources, read_at
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.training.scenes import Section, compose, cut_sections

Pixels = NDArray[np.uint8]
Split = Literal["train", "validation", "held-out"]
COARSEST_SCALE = 10
MIN_SIDE_PX = 64
SCENE_KINDS = ((5, 2048, 2048), (6, 2048, 1536))
"""(scale, width, height) that they are composed in, twice as fine as they are kept: 32 x 32 mm sharp, 131 x 98 mm many
sections."""
SCENES: dict[Split, tuple[int, int]] = {"train": (48, 72), "validation": (4, 4), "held-out": (8, 12)}
"""Scenes of each kind."""


@dataclass(frozen=True)
class Prepared:
    """One prepared image: its name, split, kind ("field" or "scene") and scales; organ, licence and case as given."""

    name: str
    split: Split
    kind: str
    finest: int
    coarsest: int
    organ: str = ""
    licence: str = ""
    case: str = ""


def read_index(folder: Path) -> list[Prepared]:
    """The images of a prepared folder. Raises DataError where `folder` is none."""
    path = folder / "index.json"
    if not path.exists():
        raise DataError(f"{folder}: no index.json; make the folder with `everslide prepare IMAGES --out {folder}`")
    try:
        return [Prepared(**entry) for entry in json.loads(path.read_text("utf-8"))["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a whole index ({error!r}); make the folder again with `everslide prepare`"
        ) from error


def plane(folder: Path, image: Prepared, s: int) -> Pixels:
    """Plane `s` of a prepared image, (H, W, 3) uint8, memory-mapped."""
    mapped: Pixels = np.load(folder / image.name / f"s{s}.npy", mmap_mode="r")
    return mapped


def prepare(
    images: Path,
    out: Path,
    hold_out: Iterable[str],
    validate: Iterable[str] = (),
    seed: int = 0,
    licence: str = "",
) -> list[Prepared]:
    """Prepare every image below `images` into `out`.

    hold_out, validate: patterns of file names kept from training, to report on and to choose weights on. licence: of
    images for which the manifest names none. Raises DataError, also for a pattern that matches nothing, and for images
    without a licence.
    """
    patterns: dict[Split, list[str]] = {"held-out": list(hold_out), "validation": list(validate)}
    prepared: list[Prepared] = []
    sections: dict[tuple[Split, int], list[Section]] = {}
    sources = find_sources(images)
    _check(sources, patterns, licence)
    for source in tqdm(sources, desc="images", unit="image"):
        split: Split = next((name for name, some in patterns.items() if _matches(source, some)), "train")
        finest = max(0, int(np.ceil(np.log2(source.mpp / mpp(0)) - 0.02)))
        pixels = read_at(source, max(mpp(finest), source.mpp))
        planes = write_pyramid(out / source.name, pixels, finest)
        organ, terms = source.organ, source.licence or licence
        prepared.append(Prepared(source.name, split, "field", finest, max(planes), organ, terms, source.case))
        for scale, *_ in SCENE_KINDS:
            if scale in planes and finest <= scale:
                sections.setdefault((split, scale), []).extend(cut_sections(planes[scale], mpp(scale)))
    prepared.extend(_compose_all(out, sections, seed))
    index = {"format": 1, "images": [asdict(image) for image in prepared]}
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    return prepared


def _check(sources: list[SourceImage], patterns: Mapping[Split, list[str]], licence: str) -> None:
    """Before anything is written: every pattern matches, every name is there once, every image has a licence."""
    for split, some in patterns.items():
        for pattern in some:
            if not any(_matches(source, [pattern]) for source in sources):
                found = ", ".join(source.path.name for source in sources)
                raise DataError(f"pattern {pattern!r} of the {split} images matches no image; found {found}")
    twice = [name for name, count in Counter(source.name for source in sources).items() if count > 1]
    if twice:
        raise DataError(f"two images are named {twice[0]}: names become folders, so give each file a name of its own")
    without = [source.path.name for source in sources if not (source.licence or licence)]
    if without:
        raise DataError(
            f"images without a licence: {len(without)}, {without[0]} the first: name it in manifest.json "
            '({"image.jpg": {"um_per_px": 0.5, "licence": "CC BY 4.0"}}), or give --licence for all that name none'
        )


def _matches(source: SourceImage, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(source.path.name, pattern) for pattern in patterns)


def _compose_all(out: Path, sections: dict[tuple[Split, int], list[Section]], seed: int) -> list[Prepared]:
    made = []
    for kind, (scale, width, height) in enumerate(SCENE_KINDS):
        for split, counts in SCENES.items():
            pieces = sections.get((split, scale), [])
            for number in tqdm(range(counts[kind] if pieces else 0), desc=f"scenes, {split}", unit="scene"):
                rng = np.random.default_rng([seed, scale, list(SCENES).index(split), number])
                name = f"scene-s{scale + 1}-{split}-{number:03d}"
                turned = compose(pieces, width, height, rng)  # which blurs: its box mean is sharp
                planes = write_pyramid(out / name, box_mean(turned), scale + 1)
                made.append(Prepared(name, split, "scene", scale + 1, max(planes)))
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


def real_plane(folder: Path, image: Prepared, s: int) -> Pixels:
    """Plane s of a prepared image, a box mean of its coarsest plane where s lies above it."""
    pixels = np.array(plane(folder, image, min(s, image.coarsest)))
    for _ in range(image.coarsest, s):
        high, wide = (side // 2 * 2 for side in pixels.shape[:2])
        pixels = box_mean(pixels[:high, :wide])
    return pixels

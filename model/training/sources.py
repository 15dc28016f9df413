"""Reading real images and whole slides at a wanted resolution, through large_image, tifffile's formats or Pillow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from everslide.model.errors import DataError, ImageError

Pixels = NDArray[np.uint8]
PLAIN_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SLIDE_SUFFIXES = {".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".vms"}
MAX_PIXELS = 2**30
"""Images of more pixels are refused: decoded they would fill the memory of a small machine."""


@dataclass(frozen=True)
class SourceImage:
    """A real image: where it lies, how many micrometres one of its pixels covers, its licence and its organ.

    licence, organ: empty where nothing was said.
    """

    path: Path
    mpp: float
    licence: str = ""
    organ: str = ""

    @property
    def name(self) -> str:
        return self.path.stem.lower().replace(" ", "-")


def find_sources(folder: Path) -> list[SourceImage]:
    """Images below `folder` whose resolution is known.

    Plain images (.jpg, .png) are listed in `folder`/manifest.json as {"path": {"um_per_px": 0.5,
    "licence": "CC BY 4.0", "organ": "colon"}}; whole-slide files carry their own resolution. Raises DataError where the
    folder holds neither.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of images; give the path of one")
    manifest_path = folder / "manifest.json"
    listed = _read_manifest(manifest_path) if manifest_path.exists() else []
    found = [source for source in listed if source.path.suffix.lower() in PLAIN_SUFFIXES]
    plain = {source.name for source in found}
    slides = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SLIDE_SUFFIXES)
    found.extend(SourceImage(path, _slide_mpp(path)) for path in slides if SourceImage(path, 1.0).name not in plain)
    if not found:
        raise DataError(f"{folder}: no whole-slide file and no manifest.json with images and their um_per_px was found")
    return sorted(found, key=lambda source: source.path)


def _read_manifest(path: Path) -> list[SourceImage]:
    """The images that a manifest lists. Raises DataError."""
    try:
        sources = [
            SourceImage(
                path.parent / name,
                float(entry["um_per_px"]),
                str(entry.get("licence", "")),
                str(entry.get("organ", "")),
            )
            for name, entry in json.loads(path.read_text("utf-8")).items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{path}: expected {{"image.jpg": {{"um_per_px": 0.5, "licence": "CC BY 4.0"}}, ...}}, found: {error!r}'
        ) from error
    for source in sources:
        if not source.mpp > 0:
            raise DataError(f"{path}: expected um_per_px above 0 for {source.path.name}, found {source.mpp}")
    return sources


def read_at(source: SourceImage, mpp: float) -> Pixels:
    """The whole image resampled to `mpp` micrometres per pixel (not finer than its own), (H, W, 3) uint8.

    Raises ImageError for images that are unreadable, larger than MAX_PIXELS, or coarser than `mpp`.
    """
    if mpp < source.mpp * 0.99:
        raise ImageError(f"{source.path}: has {source.mpp} um/px and cannot be read at the finer {mpp} um/px")
    if source.path.suffix.lower() in SLIDE_SUFFIXES:
        return _read_slide(source.path, mpp)
    return _read_plain(source, mpp)


def _read_plain(source: SourceImage, mpp: float) -> Pixels:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
    try:
        with Image.open(source.path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{source.path}: {image.width} x {image.height} px is more than {MAX_PIXELS} px")
            scale = source.mpp / mpp
            size = (round(image.width * scale), round(image.height * scale))
            rgb = image.convert("RGB")
            if size != rgb.size:
                rgb = rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
            return np.asarray(rgb)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{source.path}: expected a readable RGB image, found: {error}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _read_slide(path: Path, mpp: float) -> Pixels:
    import large_image

    try:
        slide = large_image.open(str(path))
        region, _ = slide.getRegion(scale={"mm_x": mpp / 1000, "mm_y": mpp / 1000}, format="numpy")
    except Exception as error:  # large_image raises errors of many libraries
        raise ImageError(f"{path}: large_image cannot read it: {error}") from error
    return np.ascontiguousarray(np.asarray(region)[..., :3].astype(np.uint8))


def _slide_mpp(path: Path) -> float:
    import large_image

    try:
        mm = large_image.open(str(path)).getMetadata().get("mm_x")
    except Exception as error:  # large_image raises errors of many libraries
        raise ImageError(f"{path}: large_image cannot open it: {error}") from error
    if not mm:
        raise ImageError(f"{path}: carries no resolution; convert it with one, or list a plain image in manifest.json")
    return float(mm) * 1000

"""Reading of training images and whole-slide files at a wanted resolution."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from everslide.model.errors import DataError, ImageError
from everslide.model.image_io.file_kinds import HEAD_BYTES, name_of
from everslide.model.image_io.pixel_values import on_white, to_8_bits
from everslide.model.image_io.user_picture import MAX_PIXELS as PICTURE_PIXELS
from everslide.model.image_io.user_picture import Limits, read_picture

Pixels = NDArray[np.uint8]
PLAIN_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SLIDE_SUFFIXES = {".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".vms"}
_TIFF_SUFFIXES = {".svs", ".ndpi", ".scn", ".bif"}
"""Of SLIDE_SUFFIXES those whose files are TIFF."""
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
MAX_PIXELS = 2**30
"""Images of more pixels are refused: decoded, they would fill the memory of a small machine."""


@dataclass(frozen=True)
class SourceImage:
    """A real image file. mpp: um per pixel.

    licence, organ, case: from the manifest, "" where it has none. Images of one patient or block have the same case.
    """

    path: Path
    mpp: float
    licence: str = ""
    organ: str = ""
    case: str = ""

    @property
    def name(self) -> str:
        """The file's name without ending, in lower case, with hyphens for spaces."""
        return self.path.stem.lower().replace(" ", "-")


def find_sources(folder: Path) -> list[SourceImage]:
    """The images in `folder` and below whose resolution is known, sorted by path.

    Plain images (.jpg, .png, .webp) are listed in `folder`/manifest.json as {"path": {"um_per_px": 0.5,
    "licence": "CC BY 4.0", "organ": "colon", "case": "12"}}; whole-slide files carry their own resolution. Raises
    DataError where the folder holds neither.
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
                str(entry.get("case", "")),
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
    """The whole image (H, W, 3) uint8, shrunk to `mpp` um per pixel.

    Raises ImageError for images that are unreadable, larger than MAX_PIXELS, or coarser than `mpp`.
    """
    if mpp < source.mpp * 0.99:
        raise ImageError(f"{source.path}: has {source.mpp} um/px and cannot be read at the finer {mpp} um/px")
    if source.path.suffix.lower() in SLIDE_SUFFIXES:
        return read_slide(source.path, mpp)
    return _read_plain(source, mpp)


def _read_plain(source: SourceImage, mpp: float) -> Pixels:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
    try:
        with source.path.open("rb") as file:
            pixels = read_picture(file, Limits(max_pixels=MAX_PIXELS))
    except ImageError as error:
        raise ImageError(f"{source.path}: {error}") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{source.path}: expected a readable RGB image, found: {error}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    scale = source.mpp / mpp
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def is_slide(path: Path) -> bool:
    """Whether a file is a whole-slide file: by its suffix, or a tiled TIFF that is large or has lower resolutions too.
    A JPEG, PNG or WebP with the suffix of a slide is none."""
    suffix = path.suffix.lower()
    if suffix not in (".tif", ".tiff"):
        return suffix in SLIDE_SUFFIXES and not (suffix in _TIFF_SUFFIXES and _head(path).startswith(_PICTURES))
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            copies = bool(page.subifds) or (len(tiff.pages) > 1 and tiff.pages[1].aspage().is_reduced)
            return page.is_tiled and (copies or page.imagewidth * page.imagelength > PICTURE_PIXELS)
    except Exception:  # tifffile raises many kinds; reading it as a picture will report what is wrong
        return False


def _head(path: Path) -> bytes:
    """The first bytes of a file; none where it cannot be read, which whoever reads it tells."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def _not_read(path: Path, error: Exception) -> ImageError:
    """large_image's words, and what the file is, where that is known."""
    name = name_of(_head(path)) if path.is_file() else None
    return ImageError(f"{path}: large_image cannot read it: {error}{f'; it is {name}' if name else ''}")


def read_slide(path: Path, mpp: float, max_pixels: int = MAX_PIXELS) -> Pixels:
    """A whole-slide file (H, W, 3) uint8, read by large_image at `mpp` um per pixel.

    Raises ImageError where it cannot be read; before anything is decoded, where `mpp` is finer than the file's own
    resolution or the result has more than `max_pixels`.
    """
    try:
        import large_image

        slide = large_image.open(str(path))
        facts = slide.getMetadata()
        own = float(facts.get("mm_x") or 0) * 1000
        if own:
            _check_slide(path, facts, own, mpp, max_pixels)
        region, _ = slide.getRegion(scale={"mm_x": mpp / 1000, "mm_y": mpp / 1000}, format="numpy")
    except ImageError:
        raise
    except ModuleNotFoundError as error:
        raise ImageError(f"{path}: whole-slide files need `pip install 'everslide[data]'` ({error})") from error
    except Exception as error:  # large_image raises errors of many libraries
        raise _not_read(path, error) from error
    if not own:
        raise ImageError(f"{path}: carries no resolution; save the level that is meant as a picture")
    return _as_rgb(path, np.asarray(region))


def _check_slide(path: Path, facts: dict[str, Any], own: float, mpp: float, max_pixels: int) -> None:
    if mpp < own * 0.99:
        raise ImageError(f"{path}: has {own:g} um/px and cannot be read at the finer {mpp:g} um/px")
    width, height = (round(facts[side] * own / mpp) for side in ("sizeX", "sizeY"))
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: {width} x {height} px at {mpp:g} um/px is more than {max_pixels} px; choose a coarser resolution"
        )


def _as_rgb(path: Path, pixels: NDArray[Any]) -> Pixels:
    """What large_image returns, grey or RGB, 8 or 16 bits, with alpha or without -> (H, W, 3) uint8."""
    try:
        if pixels.shape[2] in (1, 2):
            return np.repeat(to_8_bits(pixels[..., :1]), 3, axis=2)
        colour = np.ascontiguousarray(to_8_bits(pixels[..., :3]))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    return on_white(colour, to_8_bits(pixels[..., 3])) if pixels.shape[2] == 4 else colour


def _slide_mpp(path: Path) -> float:
    import large_image

    try:
        mm = large_image.open(str(path)).getMetadata().get("mm_x")
    except Exception as error:  # large_image raises errors of many libraries
        raise _not_read(path, error) from error
    if not mm:
        raise ImageError(f"{path}: carries no resolution; convert it with one, or list a plain image in manifest.json")
    return float(mm) * 1000

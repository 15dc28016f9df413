"""An image as the topmost plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from everslide.model.errors import ImageError
from everslide.model.pyramid.top import ImageTop, read_top
from tests.model.pictures import tissue

Pixels = NDArray[np.uint8]


def image(high: int, wide: int) -> Pixels:
    return np.random.default_rng(high * 1000 + wide).integers(0, 256, (high, wide, 3)).astype(np.uint8)


def test_borders_are_mirrored_outwards() -> None:
    pixels = np.arange(3, dtype=np.uint8).reshape(1, 3, 1).repeat(2, axis=0).repeat(3, axis=2)  # columns 0, 1, 2
    top = ImageTop(pixels, 4)
    assert top.tile(0, 0)[0, :10, 0].tolist() == [0, 1, 2, 2, 1, 0, 0, 1, 2, 2]
    assert top.tile(-1, 0)[0, -7:, 0].tolist() == [0, 0, 1, 2, 2, 1, 0]
    assert top.s == 4


def test_tiles_fit_together() -> None:
    pixels = image(300, 400)
    top = ImageTop(pixels, 0)
    mosaic = np.vstack([np.hstack([top.tile(col, row) for col in (-1, 0, 1)]) for row in (-1, 0, 1)])
    np.testing.assert_array_equal(mosaic[256:556, 256:656], pixels)
    padded = np.pad(pixels, ((256, 212), (256, 112), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(mosaic, padded)


@pytest.mark.parametrize("col", [2**40, -(2**40)])
def test_far_tiles(col: int) -> None:
    tile = ImageTop(image(64, 64), 0).tile(col, -col)  # 2**40 tiles are whole periods of 128 px away
    np.testing.assert_array_equal(tile, ImageTop(image(64, 64), 0).tile(0, 0))
    assert tile.shape == (256, 256, 3) and tile.dtype == np.uint8


def test_the_fingerprint_differs_between_images() -> None:
    pixels = image(40, 60)
    assert ImageTop(pixels, 3).fingerprint == ImageTop(pixels[:, ::-1][:, ::-1], 3).fingerprint
    changed = pixels.copy()
    changed[39, 59, 2] ^= 1
    assert ImageTop(changed, 3).fingerprint != ImageTop(pixels, 3).fingerprint


def test_the_fingerprint_knows_the_shape() -> None:
    pixels = image(40, 60)
    assert ImageTop(pixels.reshape(60, 40, 3), 3).fingerprint != ImageTop(pixels, 3).fingerprint


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((1, 8, 3), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels: Pixels) -> None:
    with pytest.raises(ImageError, match=r"expected RGB pixels .* found (uint8|float32) \("):
        ImageTop(pixels, 0)


def write_slide(path: Path, um_per_px: float | None, values: NDArray[np.uint8] | NDArray[np.uint16]) -> Path:
    """A whole-slide file of two levels."""
    with tifffile.TiffWriter(path) as file:
        for zoom in (1, 2):
            dots = (1e4 / um_per_px / zoom,) * 2 if um_per_px else None
            file.write(
                values[::zoom, ::zoom],
                tile=(256, 256),
                photometric="rgb",
                resolution=dots,
                resolutionunit="CENTIMETER" if dots else None,
                subfiletype=int(zoom > 1),
            )
    return path


@pytest.mark.parametrize("suffix", ["tif", "TIFF"])
def test_a_whole_slide_file_is_read_at_the_resolution_asked_for(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("large_image")
    field = np.repeat(np.repeat(tissue(256, 384), 4, 0), 4, 1)
    path = write_slide(tmp_path / f"slide.{suffix}", 0.5, field)
    top = read_top(path, 2.0)
    assert (top.s, top.size) == (2, (384, 256)), "not its finest level"
    assert np.abs(top.pixels.astype(int) - tissue(256, 384)).mean() < 2
    with pytest.raises(ImageError, match=r"has 0\.5 um/px|there is nothing finer"):
        read_top(path, 0.4)
    with pytest.raises(ImageError, match="carries no resolution"):
        read_top(write_slide(tmp_path / "no.tif", None, field), 2.0)
    (tmp_path / "bad.SVS").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"bad\.SVS: large_image cannot"):
        read_top(tmp_path / "bad.SVS", 2.0)


def test_a_whole_slide_file_that_would_fill_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("large_image")
    path = write_slide(tmp_path / "slide.tif", 0.5, np.repeat(np.repeat(tissue(256, 384), 4, 0), 4, 1))
    monkeypatch.setattr("everslide.model.pyramid.top.MAX_PIXELS", 384 * 256 - 1)
    with pytest.raises(ImageError, match=r"384 x 256 px at 2 um/px is more than .* choose a coarser resolution"):
        read_top(path, 2.0)
    assert read_top(path, 4.0).size == (192, 128)


def test_a_plain_tiff_is_a_picture(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", tissue(64, 96), photometric="rgb")
    assert read_top(tmp_path / "plain.tif", 2.0).size == (96, 64)

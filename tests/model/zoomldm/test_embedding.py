"""Grids of embeddings from slides and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor

from everslide.model.errors import ImageError
from everslide.model.geometry import Rect
from everslide.model.zoomldm.compute import Compute
from everslide.model.zoomldm.embedding import EmbedOptions, embed_slide, open_plane
from everslide.model.zoomldm.encoders import read_grid
from tests.model.pictures import tissue

CPU = Compute(torch.device("cpu"), batch=3)


class Colours:
    """Mean colour of a patch; counts what it sees."""

    channels, fingerprint = 3, "colours"

    def __init__(self) -> None:
        self.seen = 0

    def embed(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return images.mean((2, 3))


def picture(path: Path, high: int = 200, wide: int = 330) -> np.ndarray:
    pixels = tissue(high, wide, 5)
    pixels[:, 192:] = 250
    Image.fromarray(pixels).save(path)
    return pixels


def test_one_grid_of_everything(tmp_path: Path) -> None:
    pixels = picture(tmp_path / "photo.png")
    (written,) = embed_slide(tmp_path / "photo.png", Colours(), EmbedOptions(patch_px=64), CPU, tmp_path / "u.npy")
    grid = read_grid(written, 3)
    assert grid.shape == (3, 3, 5) and np.load(written).dtype == np.float16
    expected = pixels[128:192, 64:128].mean((0, 1)) / 255
    np.testing.assert_allclose(grid[:, 2, 1], expected, atol=1e-3)
    region = EmbedOptions(Rect(10, 20, 130, 70), patch_px=64)
    (part,) = embed_slide(tmp_path / "photo.png", Colours(), region, CPU, tmp_path / "part.npy")
    np.testing.assert_allclose(read_grid(part)[:, 0, 1], pixels[20:84, 74:138].mean((0, 1)) / 255, atol=1e-3)


def test_grids_of_tissue_alone(tmp_path: Path) -> None:
    picture(tmp_path / "photo.png")
    options = EmbedOptions(side=1, patch_px=64)
    written = embed_slide(tmp_path / "photo.png", Colours(), options, CPU, tmp_path / "grids")
    assert [path.name for path in written] == [f"{r:05d}-{c:05d}.npy" for r in range(3) for c in range(3)]
    assert read_grid(written[0]).shape == (3, 1, 1)
    with pytest.raises(ImageError, match="expected at least 9 patches"):
        embed_slide(tmp_path / "photo.png", Colours(), EmbedOptions(side=9, patch_px=64), CPU, tmp_path / "x")
    with pytest.raises(ImageError, match="expected a region within 330 x 200 px"):
        embed_slide(tmp_path / "photo.png", Colours(), EmbedOptions(Rect(0, 0, 400, 64)), CPU, tmp_path / "x")


def test_a_slide_is_read_at_half_a_micrometre(tmp_path: Path) -> None:
    pixels = tissue(400, 600, 6)
    tifffile.imwrite(
        tmp_path / "slide.tiff", pixels, tile=(128, 128), photometric="rgb", resolution=(40_000, 40_000),
        resolutionunit="CENTIMETER",
    )  # fmt: skip
    plane = open_plane(tmp_path / "slide.tiff")
    assert (plane.width, plane.height) == (300, 200), "0.25 um per pixel in the file"
    found = plane.read(Rect(64, 0, 128, 64)).astype(float)
    expected = pixels[:128, 128:384].reshape(64, 2, 128, 2, 3).mean((1, 3))
    assert found.shape == (64, 128, 3) and np.abs(found - expected).mean() < 12
    (written,) = embed_slide(tmp_path / "slide.tiff", Colours(), EmbedOptions(patch_px=64), CPU, tmp_path / "u.npy")
    grid = read_grid(written).numpy()
    np.testing.assert_allclose(grid[:, 0, 1], pixels[:128, 128:256].mean((0, 1)) / 255, atol=0.02)


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "photo.png")

    class Stopped(Colours):
        def embed(self, images: Tensor) -> Tensor:
            if self.seen >= 5:
                raise KeyboardInterrupt
            return super().embed(images)

    options = EmbedOptions(patch_px=64)
    with pytest.raises(KeyboardInterrupt):
        embed_slide(tmp_path / "photo.png", Stopped(), options, CPU, tmp_path / "u.npy")
    assert not (tmp_path / "u.npy").exists()
    again = Colours()
    embed_slide(tmp_path / "photo.png", again, options, CPU, tmp_path / "u.npy")
    assert again.seen == 10, "the first row of five was kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png", "u.npy"]

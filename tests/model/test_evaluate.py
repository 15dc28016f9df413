"""Evaluation, its report and the sheet, on drawn tissue painted with speckle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from everslide.model import evaluate as module
from everslide.model.errors import DataError
from everslide.model.evaluate import (
    Comparison,
    MemoryTiles,
    agreement_db,
    chain_test,
    evaluate,
    field_of,
    rows_of,
)
from everslide.model.fake import SpeckleDenoiser
from everslide.model.geometry import Rect, TileIndex
from everslide.model.prepare import prepare, read_index
from everslide.model.report import draw_sheet, markdown
from everslide.model.wavelet import box_mean
from tests.model.painting import speckle
from tests.model.pictures import tissue, write_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("evaluate")
    fields = {"a.png": (tissue(1024, 1024, 1), 0.5), "b.png": (tissue(256, 256, 2), 0.5)}
    prepare(write_images(base / "images", fields), base / "out", ["a.png"])
    return base / "out"


@pytest.fixture(autouse=True)
def _small_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIELD_PX", 256)
    monkeypatch.setattr(module, "ROOT_FIELD_PX", 256)


class Perfect(SpeckleDenoiser):
    """Speckle whose bands are so faint that children are their parents."""

    def detail(
        self, s: int, parents: NDArray[np.uint8], noise: NDArray[np.float32], grain: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `Denoiser.detail`."""
        return super().detail(s, parents, noise, grain) * np.float32(0.0)


def test_a_memory_store() -> None:
    tiles, pixels = MemoryTiles(), np.zeros((256, 256, 3), np.uint8)
    assert tiles.get(TileIndex(0, 1, 2)) is None
    tiles.put(TileIndex(0, 1, 2), pixels)
    assert tiles.get(TileIndex(0, 1, 2)) is pixels


@pytest.mark.parametrize("rect", [Rect(0, 0, 256, 256), Rect(-3, 250, 300, 20), Rect(255, 255, 2, 2)])
def test_a_field_is_put_together_from_tiles(rect: Rect) -> None:
    painter = speckle()
    pixels = field_of(painter, 8, rect)
    assert pixels.shape == (rect.height, rect.width, 3)
    tile = painter.tile(TileIndex(8, (rect.right - 1) // 256, (rect.bottom - 1) // 256))
    np.testing.assert_array_equal(pixels[-1, -1], tile[(rect.bottom - 1) % 256, (rect.right - 1) % 256])


def test_the_chain_compares_the_same_places(folder: Path) -> None:
    images = [image for image in read_index(folder) if image.split == "held-out"]
    chain = chain_test(folder, images, SpeckleDenoiser(), 4, 2)
    assert chain.title == "from real 1.25x to 5x"
    assert sorted(chain.painted) == sorted(chain.real) == [2, 3]
    for s in (2, 3):
        assert chain.painted[s][0].shape == chain.real[s][0].shape
        np.testing.assert_array_equal(box_mean(chain.painted[s][0]), chain.above[s][0])
    np.testing.assert_array_equal(box_mean(chain.real[3][0]), chain.above[3][0])


def compared(painted: NDArray[np.uint8], real: NDArray[np.uint8]) -> Comparison:
    out = Comparison("drawn", same_place=True)
    out.add(0, painted, real, box_mean(painted))
    return out


def test_rows_of_perfect_and_of_blurred_paintings() -> None:
    real = tissue(256, 256)
    (row,) = rows_of(compared(real, real))
    assert row["magnification"] == 20 and row["patches"] == [16, 16]
    assert row["laplacian"] == 1 and row["spectrum"] == [1, 1, 1, 1] and row["stain_mean_over_real"] == [1, 1]
    flat = ndimage.gaussian_filter(real, (0.8, 0.8, 0))
    (row,) = rows_of(compared(flat, real))
    assert row["laplacian"] < 0.8 and row["spectrum"][0] < 0.8


def test_scales_with_little_tissue_are_left_out() -> None:
    real = tissue(128, 128)
    assert rows_of(compared(real, real)) == []


def test_agreement() -> None:
    parent = tissue(160, 160)
    assert agreement_db(SpeckleDenoiser(), parent, 0) > 40
    assert agreement_db(Perfect(), parent, 0) > 100


def test_an_evaluation_and_its_report(folder: Path) -> None:
    figures = evaluate(folder, SpeckleDenoiser(), seed=7, places=1)
    figures = json.loads(json.dumps(figures))
    assert figures["held_out"] == ["a"] and figures["calls_per_window"] == 1
    assert [test["title"] for test in figures["tests"]] == ["from real 1.25x to 20x", "from the sketch to 20x"]
    assert [row["magnification"] for row in figures["tests"][0]["rows"]] == [5, 10, 20]
    assert 4 <= figures["cold_deep_link"]["windows"] <= 67
    assert figures["panning"]["windows_per_tile"] > 0
    text = markdown(figures)
    assert "### Painted from real 1.25x to 20x" in text and "| 20x | 16 / 16 |" in text
    assert "**" in text, "speckle is out of bounds, and says so"
    assert "Cold deep link to 20x" in text and "denoiser calls per window" in text


def test_nothing_to_evaluate(folder: Path, tmp_path: Path) -> None:
    prepare(write_images(tmp_path / "images", {"a.png": (tissue(128, 128), 0.5)}), tmp_path / "out", ["a.png"])
    with pytest.raises(DataError, match="no held-out image spans one of the chains"):
        evaluate(tmp_path / "out", SpeckleDenoiser(), 7, 1)
    with pytest.raises(DataError, match=r"no index\.json"):
        evaluate(tmp_path, SpeckleDenoiser(), 7, 1)


def test_the_sheet(folder: Path) -> None:
    picture = draw_sheet(folder, SpeckleDenoiser(), 7)
    assert picture.mode == "RGB" and picture.width == 8 * 260 and picture.height > 4 * 290
    colours = picture.crop((0, picture.height - 30, 400, picture.height)).getcolors(10**6)
    assert any(colour == (180, 0, 0) for _, colour in colours or []), "it says that it is synthetic"

"""Fields painted for measuring, and the sheet, on drawn tissue painted with speckle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.evaluation import fields as module
from everslide.model.evaluation.fields import (
    MemoryTiles,
    Plan,
    agreement_db,
    field_of,
    octave_test,
    seeds,
    spanning,
)
from everslide.model.evaluation.report import draw_sheet
from everslide.model.geometry import Rect, TileIndex, WindowIndex
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.training.prepare import plane, prepare, read_index, real_plane
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


class Perfect(SpeckleModel):
    """Speckle whose bands are so faint that children are their parents."""

    def bands(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """See `WindowModel.bands`."""
        return super().bands(context, windows, parents) * np.float32(0.0)


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


@pytest.mark.parametrize("octaves", [1, 3, 4])
def test_fields_are_painted_from_the_real_plane_so_many_octaves_above(folder: Path, octaves: int) -> None:
    (image,) = [image for image in read_index(folder) if image.split == "held-out"]
    painted = octave_test(folder, [image], SpeckleModel(), 0, octaves, Plan(fields=2, field_px=512))
    assert painted.images[0] == ["a", "a"] and list(painted.painted) == [0]
    for field, real, above in zip(painted.painted[0], painted.real[0], painted.above[0], strict=True):
        assert field.shape == real.shape == (512, 512, 3)
        np.testing.assert_array_equal(box_mean(field), above)
        ours, truth = field, real
        for _ in range(octaves):
            ours, truth = box_mean(ours), box_mean(truth)
        np.testing.assert_array_equal(ours, truth)
    assert not np.array_equal(painted.real[0][0], painted.real[0][1]), "two places, not one twice"


def test_planes_coarser_than_the_prepared_ones_are_box_means(folder: Path) -> None:
    image = read_index(folder)[0]
    assert image.coarsest == 4
    np.testing.assert_array_equal(real_plane(folder, image, 3), plane(folder, image, 3))
    np.testing.assert_array_equal(real_plane(folder, image, 6), box_mean(box_mean(np.array(plane(folder, image, 4)))))


def test_images_too_small_for_a_parent_are_passed_over(folder: Path) -> None:
    images = read_index(folder)
    assert [x.name for x in spanning(folder, images, 0, 4)] == ["a", "b"]
    assert [x.name for x in spanning(folder, images, 0, 6)] == ["a"], "b would be 4 px there"
    assert [x.name for x in spanning(folder, images, 3, 1)] == ["a"], "b is 32 px at 2.5x"
    assert spanning(folder, images, 4, 1) == [], "no square of 128 px at 1.25x"


def test_seeds_are_tested() -> None:
    assert seeds(SpeckleModel(), tissue(128, 128), 0) == {"two_seeds_differ": True, "one_seed_repeats": True}
    assert seeds(Perfect(), tissue(128, 128), 0) == {"two_seeds_differ": False, "one_seed_repeats": True}


def test_agreement() -> None:
    parent = tissue(160, 160)
    assert agreement_db(SpeckleModel(), parent, 0) > 40
    assert agreement_db(Perfect(), parent, 0) > 100


def test_the_sheet(folder: Path) -> None:
    picture = draw_sheet(folder, SpeckleModel(), 7)
    assert picture.mode == "RGB" and picture.width == 8 * 196 and picture.height == 4 * 222 + 26
    colours = picture.crop((0, picture.height - 30, 400, picture.height)).getcolors(10**6)
    assert any(colour == (180, 0, 0) for _, colour in colours or []), "it says that it is synthetic"

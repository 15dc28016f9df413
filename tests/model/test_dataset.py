"""Training examples drawn from prepared pyramids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.bands import from_channels, parent_input, smooth_bands, unrotate_colours
from everslide.model.dataset import Examples
from everslide.model.errors import DataError
from everslide.model.prepare import prepare
from everslide.model.wavelet import box_mean
from tests.model.pictures import tissue, write_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("dataset")
    fields = {"a.png": (tissue(320, 320, 1), 0.5), "b.png": (tissue(256, 256, 2), 0.5), "c.png": (tissue(96, 96), 0.5)}
    prepare(write_images(base / "images", fields), base / "out", ["b.png"])
    return base / "out"


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    return Examples(folder, "train", crop_px=64)


def test_scales_are_those_with_large_enough_planes(folder: Path, examples: Examples) -> None:
    assert examples.scales == [0, 1, 2]
    assert Examples(folder, "train").scales == [0, 1], "128 px"
    assert Examples(folder, "held-out", crop_px=200).scales == [0]


@pytest.mark.parametrize(("split", "crop_px"), [("train", 512), ("other", 64)])
def test_splits_without_images(folder: Path, split: str, crop_px: int) -> None:
    with pytest.raises(DataError, match=f"no {split} image of at least {crop_px} px"):
        Examples(folder, split, crop_px)


def test_a_crop_is_a_piece_of_a_plane_on_even_coordinates(folder: Path) -> None:
    examples = Examples(folder, "held-out", crop_px=128)
    field = tissue(256, 256, 2)
    crop = examples.crop(0, np.random.default_rng(3), vary=False)
    places = [(y, x) for y in range(129) for x in range(129) if np.array_equal(field[y, x], crop[0, 0])]
    found = [(y, x) for y, x in places if np.array_equal(field[y : y + 128, x : x + 128], crop)]
    assert len(found) == 1 and found[0][0] % 2 == found[0][1] % 2 == 0


def test_augmented_crops_differ_and_keep_their_shape(examples: Examples) -> None:
    crops = [examples.crop(1, np.random.default_rng(seed)) for seed in range(6)]
    assert {crop.shape for crop in crops} == {(64, 64, 3)} and {crop.dtype for crop in crops} == {np.dtype(np.uint8)}
    assert all(crop.flags.c_contiguous for crop in crops)
    assert len({crop.tobytes() for crop in crops}) == 6


def test_a_batch(examples: Examples) -> None:
    deviation = examples.deviations(crops=8)
    batch = examples.batch(6, np.random.default_rng(1), deviation)
    assert batch.detail.shape == (6, 9, 32, 32) and batch.parent.shape == (6, 3, 32, 32)
    assert batch.detail.dtype == batch.parent.dtype == torch.float32
    assert batch.s.dtype == torch.int64 and set(batch.s.tolist()) <= {0, 1, 2}
    assert float(batch.parent.min()) >= -1 and float(batch.parent.max()) <= 1
    again = examples.batch(6, np.random.default_rng(1), deviation)
    assert torch.equal(batch.detail, again.detail) and torch.equal(batch.parent, again.parent)
    assert examples.batch(3, np.random.default_rng(1), deviation, s=2).s.tolist() == [2, 2, 2]


def test_detail_and_parent_belong_together(examples: Examples) -> None:
    """Parent and detail of a crop add up to it: checked where the parent was not faded."""
    deviation, exact = np.full((12, 3, 3), 3, np.float32), 0
    for seed in range(12):
        batch = examples.batch(1, np.random.default_rng(seed), deviation, s=0)
        mean = np.round((batch.parent[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.float32)
        bands = unrotate_colours(from_channels(batch.detail[0].numpy(), deviation[0])) + smooth_bands(mean)
        corners = [mean + sum(sign * bands[..., i, :] for i, sign in enumerate(signs)) for signs in SIGNS]
        whole = all(float(np.abs(corner - np.round(corner)).max()) <= 0.51 for corner in corners)
        quarters = np.concatenate([(corner * 4) % 1 for corner in corners])
        exact += whole and float(np.minimum(quarters, 1 - quarters).max()) < 0.01
    assert exact >= 4


SIGNS = ((1, 1, 1), (-1, 1, -1), (1, -1, -1), (-1, -1, 1))


def test_deviations_are_those_of_the_bands(examples: Examples) -> None:
    deviation = examples.deviations(crops=24)
    assert deviation.shape == (12, 3, 3) and deviation.dtype == np.float32
    detail = examples.batch(48, np.random.default_rng(5), deviation, s=0).detail
    measured = detail.square().mean((0, 2, 3)).sqrt()
    assert float(measured.max()) < 1.3 and float(measured.min()) > 0.4
    np.testing.assert_array_equal(
        deviation[3:], np.broadcast_to(deviation[2], (9, 3, 3)), "unseen scales: the coarsest"
    )
    assert float(deviation.min()) > 0


def test_some_parents_are_faded(folder: Path) -> None:
    examples = Examples(folder, "held-out", crop_px=256)
    field = tissue(256, 256, 2)
    contrast = []
    for seed in range(16):
        parent = examples.batch(1, np.random.default_rng(seed), np.ones((12, 3, 3), np.float32), s=0).parent[0]
        contrast.append(float((parent[:, :, 1:] - parent[:, :, :-1]).square().mean()))
    whole = parent_input(box_mean(field))
    reference = float((whole[:, :, 1:] - whole[:, :, :-1]).square().mean())
    assert min(contrast) < 0.8 * reference
    assert sum(value > 0.8 * reference for value in contrast) >= 4

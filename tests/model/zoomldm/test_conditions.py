"""Sources of conditions: keyed by place, and where they can, agreeing down the pyramid."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from everslide.model.errors import ImageError, WeightsError
from everslide.model.geometry import Rect, WindowGrid, WindowIndex
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.conditions import (
    CDMConditions,
    Conditions,
    FieldConditions,
    GridConditions,
    NoCondition,
    ParentConditions,
)
from everslide.model.zoomldm.config import CDMConfig
from everslide.model.zoomldm.prototypes import find_prototypes, kept_prototypes
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import random_cdm, tiny

ALIGNED = WindowGrid(64, 64)
"""Windows that do not overlap: a parent's four children cover it."""


class MeanEncoder:
    """Embeds an image as repeats of its mean colour."""

    channels, fingerprint = 24, "mean"

    def embed(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)).repeat(1, 8) * torch.arange(24)


def sources() -> dict[str, Conditions]:
    torch.manual_seed(5)
    model = tiny()
    return {
        "none": NoCondition(model),
        "cdm": CDMConditions(model, random_cdm(), "random", steps=3),
        "parent": ParentConditions(model, MeanEncoder()),
        "grid": GridConditions(model, torch.randn(24, 5, 7)),
        "field": FieldConditions(model, torch.randn(4, 24)),
    }


@pytest.mark.parametrize("name", sources())
@pytest.mark.parametrize("s", [0, 3, 7])
def test_a_condition_depends_on_its_place_alone(name: str, s: int) -> None:
    windows = [WindowIndex(s, col, row, WindowGrid(64, 48)) for col, row in ((-3, 2), (2**40, 5), (0, 0))]
    parents = np.stack([tissue(32, 32, seed) for seed in range(3)])
    together = sources()[name].of(7, windows, parents)
    assert together.shape == (3, 65, 32) and torch.isfinite(together).all()
    alone = sources()[name].of(7, windows[2:], parents[2:])
    torch.testing.assert_close(alone[0], together[2], atol=1e-5, rtol=1e-5)
    if name != "none":
        assert (together[0] - together[1]).abs().max() > 1e-3
    else:
        assert not together.any()


@pytest.mark.parametrize("name", ["grid", "field"])
@pytest.mark.parametrize("s", [1, 2, 3, 5])
def test_a_parents_cells_are_the_means_of_its_childrens(name: str, s: int) -> None:
    source = sources()[name]

    def cells(window: WindowIndex) -> Tensor:
        if isinstance(source, FieldConditions):
            return source.cells(3, window)
        assert isinstance(source, GridConditions)
        return source.cells(window)

    parent = cells(WindowIndex(s, -1, 2, ALIGNED))
    below = [[cells(WindowIndex(s - 1, -2 + i, 4 + j, ALIGNED)) for i in (0, 1)] for j in (0, 1)]
    joined = torch.cat([torch.cat(line, 2) for line in below], 1)
    means = torch.nn.functional.adaptive_avg_pool2d(joined, parent.shape[-1])
    torch.testing.assert_close(means, parent, atol=1e-5, rtol=1e-5)
    assert parent.shape[1] == min(2**s, 8) and parent.std() > 0.05


def test_a_grid_is_shown_patch_by_patch_at_20x_and_mirrored_beyond() -> None:
    grid = torch.randn(24, 5, 7)
    source = GridConditions(tiny(), grid)
    torch.testing.assert_close(source.cells(WindowIndex(0, 6, 4, ALIGNED))[:, 0, 0], grid[:, 4, 6])
    torch.testing.assert_close(source.cells(WindowIndex(0, 7, 5, ALIGNED))[:, 0, 0], grid[:, 4, 6])
    torch.testing.assert_close(source.cells(WindowIndex(0, -1, -2, ALIGNED))[:, 0, 0], grid[:, 1, 0])
    between = source.cells(WindowIndex(0, 1, 0, WindowGrid(64, 48)))[:, 0, 0]
    torch.testing.assert_close(between, 0.25 * grid[:, 0, 0] + 0.75 * grid[:, 0, 1])
    torch.testing.assert_close(source.cells(WindowIndex(1, 0, 0, ALIGNED)), grid[:, :2, :2])
    sixteen = source.cells(WindowIndex(4, 0, 0, ALIGNED))
    assert sixteen.shape == (24, 8, 8)
    torch.testing.assert_close(sixteen[:, 1, 1], grid[:, 2:4, 2:4].mean((1, 2)))


def test_shares_of_a_field_sum_to_one_and_vary() -> None:
    source = sources()["field"]
    assert isinstance(source, FieldConditions)
    shares = source.shares(3, Rect(-5, 100, 40, 30))
    assert shares.shape == (4, 30, 40)
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)
    assert shares.max() > 0.8 and set(shares.argmax(0).ravel()) == {0, 1, 2, 3}
    np.testing.assert_array_equal(source.shares(3, Rect(0, 110, 3, 2)), shares[:, 10:12, 5:8])
    assert not np.array_equal(source.shares(4, Rect(-5, 100, 40, 30)), shares)


def test_bad_grids_are_refused() -> None:
    with pytest.raises(ImageError, match=r"expected \(24, rows, columns\), found \(23, 4, 4\)"):
        GridConditions(tiny(), torch.zeros(23, 4, 4))
    with pytest.raises(ImageError, match="finite"):
        GridConditions(tiny(), torch.full((24, 4, 4), float("nan")))


def test_the_cdm_of_another_checkpoint_is_refused() -> None:
    other = CDM(CDMConfig(65, 16, 48, 1, 4))
    for take in (partial(CDMConditions, tiny(), other, "x"), partial(find_prototypes, tiny(), other)):
        with pytest.raises(WeightsError, match="the CDM samples 65 vectors of 16, the checkpoint expects 65 of 32"):
            take()


def test_joint_sampling_has_no_parent_to_encode() -> None:
    with pytest.raises(ImageError, match="expected a parent"):
        sources()["parent"].of(1, [WindowIndex(0, 0, 0, ALIGNED)], None)


def test_prototypes_say_what_the_cdm_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    cdm = random_cdm()
    start, before = find_prototypes(tiny(), cdm, count=3, steps=1, cdm_steps=4)
    found, after = find_prototypes(tiny(), cdm, count=3, steps=40, cdm_steps=4)
    assert start.shape == found.shape == (3, 24)
    assert after < before
    torch.testing.assert_close(found.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    kept = kept_prototypes(tmp_path / "cdm.ckpt", tiny(), cdm, "digest")
    file = tmp_path / "cdm.prototypes.safetensors"
    written = file.stat().st_mtime_ns
    assert torch.equal(kept_prototypes(tmp_path / "cdm.ckpt", tiny(), cdm, "digest"), kept)
    assert file.stat().st_mtime_ns == written
    file.write_bytes(b"torn")
    assert torch.equal(kept_prototypes(tmp_path / "cdm.ckpt", tiny(), cdm, "digest"), kept)

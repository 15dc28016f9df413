"""Painted parents: where they come from, and the real places they are held against."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from everslide.model.geometry import TOP_SCALE
from everslide.model.organs import palettes
from everslide.model.training import replay
from everslide.model.training.places import CROP_PX, PARENT_PX, RIM_PX, Tissue
from everslide.model.training.prepare import prepare
from everslide.model.training.replay import KEPT, Place, ReplayBuffer, alike
from tests.model.pictures import tissue, write_images

GLASS = np.array([243, 242, 244], np.uint8)


@pytest.fixture(scope="module")
def buffer() -> ReplayBuffer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "SKETCHES", 6)
        return ReplayBuffer(np.random.default_rng(1))


def test_it_begins_with_sketches(buffer: ReplayBuffer) -> None:
    assert buffer.depth() == TOP_SCALE
    parents = [buffer.parent(TOP_SCALE) for _ in range(20)]
    assert all(x.pixels.shape == (PARENT_PX, PARENT_PX, 3) and x.pixels.dtype == np.uint8 for x in parents)
    assert {x.organ for x in parents} <= set(palettes()), "of an organ each"
    assert np.mean([(x.pixels.mean(-1) < 225).mean() for x in parents]) > 0.3, "mostly on tissue"


def test_it_goes_on_from_what_was_painted_within_its_rim(buffer: ReplayBuffer) -> None:
    buffer = deepcopy(buffer)
    painted = np.zeros((CROP_PX, CROP_PX, 3), np.uint8)
    painted[RIM_PX:-RIM_PX, RIM_PX:-RIM_PX] = 120
    for _ in range(KEPT + 5):
        buffer.keep(5, Place(painted, "liver", GLASS))
    assert buffer.depth() == 5
    found = [buffer.parent(5) for _ in range(20)]
    assert all((x.pixels == 120).all() and x.organ == "liver" for x in found)


def test_a_real_place_alike_has_the_colours_of_the_painted_one(tmp_path: Path) -> None:
    pale = (255 - (255 - tissue(300, 300, 2)) // 2).astype(np.uint8)
    images = {"dark.png": (tissue(300, 300, 1), 0.5), "pale.png": (pale, 0.5)}
    prepare(write_images(tmp_path / "images", images), tmp_path / "out", [])
    real, rng = Tissue(tmp_path / "out", "train"), np.random.default_rng(3)
    for wanted in (tissue(CROP_PX, CROP_PX, 7), (255 - (255 - tissue(CROP_PX, CROP_PX, 8)) // 2).astype(np.uint8)):
        found = alike(real, 0, Place(wanted, "", GLASS), rng)
        assert found.shape == (CROP_PX, CROP_PX, 3)
        assert abs(float(found.mean()) - float(wanted.mean())) < 20


def test_a_real_place_alike_does_not_follow_the_contrast_of_the_painted_one(tmp_path: Path) -> None:
    """A contrast that grew would find its like otherwise, and never be mended."""
    prepare(write_images(tmp_path / "images", {"one.png": (tissue(300, 300, 1), 0.5)}), tmp_path / "out", [])
    real = Tissue(tmp_path / "out", "train")
    flat = np.full((CROP_PX, CROP_PX, 3), 150, np.uint8)
    strong = flat + np.where(np.indices(flat.shape[:2]).sum(0) % 2, 60, -60).astype(np.uint8)[..., None]
    found = [alike(real, 0, Place(x, "", GLASS), np.random.default_rng(3)) for x in (flat, strong)]
    assert (found[0] == found[1]).all()


def test_a_real_place_alike_is_of_the_organ_of_the_painted_one(tmp_path: Path) -> None:
    dark = tissue(300, 300, 1)
    pale = (255 - (255 - dark) // 2).astype(np.uint8)
    folder = write_images(tmp_path / "images", {"liver.png": (dark, 0.5), "skin.png": (pale, 0.5)})
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(
        json.dumps({name: {**facts, "organ": name.removesuffix(".png")} for name, facts in manifest.items()})
    )
    prepare(folder, tmp_path / "out", [])
    real, rng, painted = Tissue(tmp_path / "out", "train"), np.random.default_rng(3), dark[:CROP_PX, :CROP_PX]
    for organ, expected in (("skin", pale), ("liver", dark), ("brain", dark)):
        found = alike(real, 0, Place(painted, organ, GLASS), rng)
        assert abs(float(found.mean()) - float(expected.mean())) < 12, f"{organ}; of any where no image shows it"

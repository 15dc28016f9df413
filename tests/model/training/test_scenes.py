"""Sections cut from their glass, and scenes without straight edges."""

from __future__ import annotations

import numpy as np
import pytest

from everslide.model.stain import tissue_mask
from everslide.model.training.scenes import Section, compose, cut_sections
from tests.model.pictures import section, tissue

MPP = 32.0


def test_a_section_is_cut_out_whole() -> None:
    (cut,) = cut_sections(section(240, 90), MPP)
    assert cut.pixels.shape[:2] == cut.coverage.shape
    assert cut.coverage.dtype == np.float32 and 0 <= float(cut.coverage.min()) <= float(cut.coverage.max()) <= 1
    assert float(cut.coverage.sum()) == pytest.approx(np.pi * 90**2, rel=0.08)
    assert 180 <= cut.coverage.shape[0] <= 204


def test_sections_come_largest_first() -> None:
    glass = np.hstack([section(200, 60), section(200, 90), section(200, 75)])
    areas = [float(cut.coverage.sum()) for cut in cut_sections(glass, MPP)]
    assert areas == sorted(areas, reverse=True)
    assert [round((area / np.pi) ** 0.5 / 15) for area in areas] == [6, 5, 4]


def test_small_crumbs_and_cut_sections_are_left() -> None:
    assert cut_sections(section(200, 60), 2.0) == [], "60 px of 2 um are 0.05 square millimetres"
    assert cut_sections(section(200, 90)[:, 60:], MPP) == [], "it ends in a straight line"
    assert cut_sections(tissue(200, 200), MPP) == []
    assert cut_sections(np.full((100, 100, 3), 243, np.uint8), MPP) == []


@pytest.fixture(scope="module")
def sections() -> list[Section]:
    return cut_sections(np.hstack([section(160, 60), section(160, 50, 1)]), MPP)


def test_a_scene_has_tissue_on_clean_glass(sections: list[Section]) -> None:
    scene = compose(sections, 640, 512, np.random.default_rng(1))
    assert scene.shape == (512, 640, 3) and scene.dtype == np.uint8
    mask = tissue_mask(scene)
    assert 0.02 < float(mask.mean()) < 0.8
    glass = scene[~tissue_mask(scene, threshold=0.03)].astype(float)
    assert float(glass.mean()) > 230 and float(np.median(np.abs(glass - np.median(glass, axis=0)))) < 3


def test_no_section_touches_the_rim_of_a_scene(sections: list[Section]) -> None:
    for seed in range(4):
        scene = compose(sections, 400, 400, np.random.default_rng(seed)).astype(float)
        rim = np.concatenate([scene[:3].reshape(-1, 3), scene[:, :3].reshape(-1, 3), scene[-3:].reshape(-1, 3)])
        assert float(np.ptp(rim, axis=0).max()) < 12


def test_a_scene_follows_from_its_seed(sections: list[Section]) -> None:
    first, again, other = (compose(sections, 300, 300, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_scene_too_small_for_its_sections_is_glass(sections: list[Section]) -> None:
    scene = compose(sections, 64, 64, np.random.default_rng(1))
    assert not tissue_mask(scene).any()

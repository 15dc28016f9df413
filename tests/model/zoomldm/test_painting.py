"""Slides painted by a checkpoint: the painter's promises on the tiny model, presets and what they cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from everslide.model.errors import SlideError
from everslide.model.evaluation.fields import MemoryTiles, field_of
from everslide.model.geometry import Rect, TileIndex, WindowIndex, windows_touching
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter, tent
from everslide.model.pyramid.top import ImageTop
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.sampling_config import SamplingCapabilities, SamplingConfig
from everslide.model.slide import Slide
from everslide.model.zoomldm.conditions import CDMConditions, Conditions, FieldConditions, NoCondition
from everslide.model.zoomldm.latent_model import Calls
from everslide.model.zoomldm.latents import window_grid
from everslide.model.zoomldm.painting import FAITHFUL, FAST, LatentWindows, Preset, back_project, project
from everslide.model.zoomldm.resize import Box
from tests.model.painting import ForgetfulTiles
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import random_cdm, tiny

Pixels = NDArray[np.uint8]
SLIDE = Slide("photo", 4, 256, 256)
SHORT = replace(FAST, settings=replace(FAST.settings, stride=300), guided_steps=1, project_at=1)
"""As `fast`, in two steps."""
BRIEF = replace(FAITHFUL, settings=replace(FAITHFUL.settings, stride=500, lambda_=0.01))
"""As `faithful`, in two steps."""


def make(preset: Preset = SHORT, conditions: Conditions | None = None, batch: int = 1) -> LatentWindows:
    return LatentWindows("zoomldm-brca", tiny(), conditions or NoCondition(tiny()), preset, threads=1, batch=batch)


@pytest.fixture(scope="module")
def windows() -> LatentWindows:
    return make()


def painter(windows: LatentWindows, tiles: MemoryTiles | ForgetfulTiles | None = None, s: int = 1) -> Painter:
    """Below a picture whose pixels are of scale s, 256 px of 20x wide."""
    side = 256 // 2**s
    return Painter(SLIDE, windows, MemoryTiles() if tiles is None else tiles, ImageTop(tissue(side, side, 3), s))


@pytest.mark.parametrize("preset", [SHORT, BRIEF], ids=["fast", "faithful"])
def test_children_average_to_the_picture_above_them(preset: Preset) -> None:
    whole = painter(make(preset))
    children = whole.tile(TileIndex(0, 0, 0))
    np.testing.assert_array_equal(box_mean(children), tissue(128, 128, 3))
    assert np.abs(np.diff(children.astype(int), axis=0)).mean() > 0.5
    assert whole.counts.denoiser_calls == whole.counts.windows * preset.calls(False).denoiser


def test_two_scales_below_a_picture_lead_back_to_it(windows: LatentWindows) -> None:
    whole = painter(windows, s=2)
    middle = field_of(whole, 1, Rect(0, 0, 128, 128))
    np.testing.assert_array_equal(box_mean(middle), tissue(64, 64, 3))
    part = field_of(whole, 0, Rect(0, 0, 256, 256))
    np.testing.assert_array_equal(box_mean(part), middle)


def test_order_stores_and_processes_change_nothing(windows: LatentWindows) -> None:
    expected = painter(windows, s=2).tile(TileIndex(0, 0, 0))
    other = painter(make(), ForgetfulTiles(), s=2)
    other.tile(TileIndex(1, 1, 0))
    np.testing.assert_array_equal(other.tile(TileIndex(0, 0, 0)), expected)
    assert make().fingerprint == windows.fingerprint


def test_steps_and_guidance_are_the_presets_not_the_slides(windows: LatentWindows) -> None:
    assert windows.capabilities == SamplingCapabilities(windows.calls_per_window)
    slide = replace(SLIDE, model="zoomldm-brca", sampling=SamplingConfig(2))
    with pytest.raises(SlideError, match="slide photo: its model zoomldm-brca has no choice of steps or guidance"):
        Painter(slide, windows, MemoryTiles(), ImageTop(tissue(8, 8, 3), 1))


def test_batch_companions_change_nothing() -> None:
    """In batches of two, padded or not, with one neighbour or another."""
    two = make(batch=2)
    grid = two.grid
    parents = np.stack([tissue(32, 32, seed) for seed in range(3)])
    a, b, c = (WindowIndex(0, col, 0, grid) for col in range(3))
    one = two.bands(GenerationContext(4), [a, b], parents[:2])[0]
    np.testing.assert_array_equal(two.bands(GenerationContext(4), [a, c], parents[[0, 2]])[0], one)
    np.testing.assert_array_equal(two.bands(GenerationContext(4), [a, a], parents[[0, 0]])[0], one)


def test_overlapping_windows_share_their_noise_and_their_tents_add_up(windows: LatentWindows) -> None:
    grid = windows.grid
    assert (grid.window_px, grid.stride_px) == (64, 48)
    weight = tent(64, 16)
    total = np.zeros((160, 160), np.float32)
    for window in windows_touching(0, Rect(0, 0, 160, 160), grid):
        x, y = window.rect.x, window.rect.y
        y0, x0 = max(y, 0), max(x, 0)
        y1, x1 = min(y + 64, 160), min(x + 64, 160)
        total[y0:y1, x0:x1] += weight[y0 - y : y1 - y, x0 - x : x1 - x]
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_borders_of_windows_look_like_other_lines() -> None:
    """On an even picture: steps across the lines where windows begin and end against all others of their parity."""
    even = np.full((256, 256, 3), 150, np.uint8)
    slide = Slide("even", 9, 512, 512)
    whole = Painter(slide, make(), MemoryTiles(), ImageTop(even, 1))
    grey = field_of(whole, 0, Rect(0, 0, 512, 512)).astype(float).mean(-1)
    steps = np.square(np.diff(grey, axis=1)).mean(0)  # steps[i]: between columns i and i + 1
    borders = [x - 1 for k in range(1, 9) for x in (48 * k, 48 * k + 16)]
    others = [x for x in range(1, 511, 2) if x not in borders]
    assert steps[borders].mean() / steps[others].mean() == pytest.approx(1, abs=0.35)


def test_what_the_presets_cost() -> None:
    assert FAITHFUL.calls(True) == Calls(denoiser=300, encode=100, decode=51), (
        "the paper's counts, and the last decoding"
    )
    assert FAITHFUL.calls(False).denoiser == 150
    assert FAST.calls(True) == Calls(denoiser=8, encode=2, decode=2)
    assert FAST.calls(False) == Calls(denoiser=6, encode=2, decode=2)


@pytest.mark.parametrize("preset", [SHORT, BRIEF], ids=["fast", "faithful"])
def test_the_stated_costs_are_those_spent(preset: Preset) -> None:
    torch.manual_seed(2)
    painted = make(preset, FieldConditions(tiny(), torch.randn(4, 24)))
    before = replace(tiny().calls)
    painted.bands(GenerationContext(1), [WindowIndex(0, 0, 0, painted.grid)], tissue(32, 32)[None])
    spent = tiny().calls
    found = Calls(spent.denoiser - before.denoiser, spent.encode - before.encode, spent.decode - before.decode)
    assert found == painted.calls == preset.calls(True)


def test_windows_of_a_cold_deep_link_are_bounded() -> None:
    """At full size a window is 256 px every 192: at most nine a scale, for a tile and for what lies above it."""
    from everslide.model.geometry import WindowGrid

    grid = WindowGrid(256, 192)
    most = 0
    for col in range(12):
        rect, total = TileIndex(0, col, 2 * col + 1).rect, 0
        for s in range(8):
            found = list(windows_touching(s, rect, grid))
            total += len(found)
            rect = found[0].parent_rect
            for window in found:
                rect = rect.union(window.parent_rect)
        most = max(most, total)
    assert most <= 72


def test_projection_is_exact_and_back_projection_comes_near() -> None:
    torch.manual_seed(0)
    image, y = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(Box(2).down(project(image, y)), y, atol=1e-6, rtol=0)
    before = (Box(2).down(image) - y).abs().mean()
    assert (Box(2).down(back_project(image, y)) - y).abs().mean() < 0.4 * before


def test_seed_scale_preset_and_conditions_matter(windows: LatentWindows) -> None:
    grid, parents = windows.grid, tissue(32, 32)[None]
    here = windows.bands(GenerationContext(1), [WindowIndex(0, 0, 0, grid)], parents)
    assert not np.array_equal(windows.bands(GenerationContext(2), [WindowIndex(0, 0, 0, grid)], parents), here)
    assert not np.array_equal(windows.bands(GenerationContext(1), [WindowIndex(1, 0, 0, grid)], parents), here)
    conditioned = make(conditions=CDMConditions(tiny(), random_cdm(), "x", steps=4))
    assert not np.array_equal(conditioned.bands(GenerationContext(1), [WindowIndex(0, 0, 0, grid)], parents), here)
    assert len({windows.fingerprint, conditioned.fingerprint, make(BRIEF).fingerprint}) == 3


def test_scales_that_the_checkpoint_lacks_are_refused(windows: LatentWindows) -> None:
    with pytest.raises(SlideError, match=r"scale 8: zoomldm-brca knows 0 \.\. 7"):
        windows.bands(GenerationContext(1), [WindowIndex(8, 0, 0, windows.grid)], tissue(32, 32)[None])


def test_the_grid_is_that_of_the_training_images() -> None:
    assert window_grid(tiny()).window_px == 64

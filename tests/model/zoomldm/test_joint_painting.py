"""Slides painted by joint sampling, lazily: the painter's promises, and the very numbers of sampling all at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from everslide.model.errors import SlideError
from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import Rect, TileIndex, WindowIndex, windows_touching
from everslide.model.pyramid.generation_context import GenerationContext, Topmost
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.slide import Slide
from everslide.model.zoomldm.conditions import FieldConditions, ParentConditions
from everslide.model.zoomldm.joint_painting import JOINT, JointWindows, pixels_of
from everslide.model.zoomldm.options import PaintOptions
from everslide.model.zoomldm.painting import Preset
from tests.model.pictures import tissue
from tests.model.zoomldm.eager import last_latents, sample_together
from tests.model.zoomldm.test_conditions import MeanEncoder
from tests.model.zoomldm.tiny import tiny

PICTURE = tissue(32, 32, 3)
TOP = ImageTop(PICTURE, 3)
"""Three scales are painted below it."""
SLIDE = Slide("photo", 4, 256, 256)
BRIEF = replace(JOINT, settings=replace(JOINT.settings, stride=1000, lambda_=0.05), operator="box")
"""In one step."""
TWO_STEPS = replace(BRIEF, settings=replace(BRIEF.settings, stride=500))


def make(batch: int = 1, preset: Preset = BRIEF) -> JointWindows:
    torch.manual_seed(2)
    return JointWindows("zoomldm-brca", tiny(), FieldConditions(tiny(), torch.randn(4, 24)), preset, 1, batch)


def context(top: ImageTop = TOP) -> GenerationContext:
    return GenerationContext(SLIDE.seed, top=Topmost(top.fingerprint, top))


def test_three_scales_lead_back_to_the_picture() -> None:
    """By the painter: a tile of 20x below a picture three octaves coarser."""
    plain = replace(BRIEF, settings=replace(BRIEF.settings, w=0.0))
    whole = Painter(SLIDE, make(preset=plain), MemoryTiles(), ImageTop(PICTURE, 3))
    fine = whole.tile(TileIndex(0, 0, 0))
    np.testing.assert_array_equal(box_mean(box_mean(box_mean(fine))), PICTURE)
    assert np.abs(np.diff(fine.astype(int), axis=0)).mean() > 0.5


@pytest.mark.parametrize("batch", [1, 2])
def test_what_is_served_is_joint_sampling_of_everything_at_once_bit_for_bit(batch: int) -> None:
    """At one batch shape: windows three scales down, eagerly, and as somebody happened to look."""
    preset = TWO_STEPS if batch == 1 else BRIEF
    eager, lazy = make(batch, preset), make(batch, preset)
    wanted = list(windows_touching(0, Rect(60, 40, 4, 4), eager.grid))
    assert len(wanted) == 2
    expected = sample_together(eager.plane(context()), wanted)
    for window in reversed(wanted):
        lazy.bands(context(), [window] * batch, np.stack([tissue(32, 32)] * batch))
    for window in wanted:
        assert torch.equal(last_latents(lazy.plane(context()), window), expected[window]), window


def test_order_and_forgetting_change_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    window, parent = WindowIndex(0, 1, 1, make().grid), tissue(32, 32)[None]
    expected = make().bands(context(), [window], parent)
    monkeypatch.setattr("everslide.model.zoomldm.lazy.REMEMBERED", 1)
    other = make()
    other.bands(context(), [WindowIndex(1, 1, 1, other.grid)], parent)
    np.testing.assert_array_equal(other.bands(context(), [window], parent), expected)


def test_a_window_is_sampled_below_its_contexts_and_these_below_the_topmost_plane() -> None:
    """Another picture beyond a window's own parent, but below its contexts, changes it; one farther off does not."""
    picture = tissue(96, 96, 3)
    near, far = picture.copy(), picture.copy()
    near[16:50, 16:50] = 255 - near[16:50, 16:50]  # the window lies below 6 to 14, its contexts' contexts below 56
    far[72:, 72:] = 255 - far[72:, 72:]
    window = WindowIndex(0, 1, 1, make().grid)

    def last(shown: NDArray[np.uint8]) -> torch.Tensor:
        return last_latents(make().plane(context(ImageTop(shown, 3))), window)

    expected = last(picture)
    assert not torch.equal(last(near), expected)
    assert torch.equal(last(far), expected)


def test_slides_of_one_seed_share_no_path() -> None:
    """One picture at two scales: what was sampled below one of them is nothing to the other."""
    shared, tile = make(), TileIndex(1, 0, 0)
    for top in (ImageTop(PICTURE, 3), ImageTop(PICTURE, 2)):
        alone = Painter(SLIDE, make(), MemoryTiles(), top).tile(tile)
        np.testing.assert_array_equal(Painter(SLIDE, shared, MemoryTiles(), top).tile(tile), alone)


def test_the_topmost_plane_is_in_the_key_and_must_be_at_hand() -> None:
    windows = make()
    assert windows.capabilities.from_top
    assert context().key != context(ImageTop(255 - PICTURE, 3)).key != GenerationContext(SLIDE.seed).key
    assert context() == context(ImageTop(PICTURE, 3)), "by identity"
    with pytest.raises(SlideError, match="topmost plane"):
        windows.bands(GenerationContext(4), [WindowIndex(0, 0, 0, windows.grid)], tissue(32, 32)[None])
    with pytest.raises(SlideError, match="no parent to encode"):
        JointWindows("zoomldm-brca", tiny(), ParentConditions(tiny(), MeanEncoder()), BRIEF, 1)
    assert PaintOptions("joint").preset == "joint"


def test_windows_touch_at_most_four_contexts() -> None:
    grid = make().grid
    for col in range(-9, 9):
        window = WindowIndex(0, col, 3 * col + 1, grid)
        assert len(list(windows_touching(1, window.parent_rect, grid))) <= 4


def test_pixels_of_a_topmost_plane_are_cut_from_its_tiles() -> None:
    big = ImageTop(tissue(300, 300, 1), 2)
    np.testing.assert_array_equal(pixels_of(big, Rect(250, 240, 20, 30)), tissue(300, 300, 1)[240:270, 250:270])


def test_the_cost_of_a_window_is_what_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a window whose contexts are remembered."""
    windows = make()
    window = WindowIndex(0, 1, 1, windows.grid)
    plane = windows.plane(context())
    plane.trajectories(windows_touching(1, window.parent_rect, windows.grid))
    model = windows.model
    before = replace(model.calls)
    windows.bands(context(), [window], tissue(32, 32)[None])
    assert model.calls.denoiser - before.denoiser == windows.calls.denoiser
    assert model.calls.encode - before.encode == windows.calls.encode
    assert model.calls.decode - before.decode <= windows.calls.decode

"""Joint sampling window by window equals joint sampling of everything at once."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from everslide.model.geometry import Rect, WindowIndex, windows_touching
from everslide.model.zoomldm.conditions import FieldConditions
from everslide.model.zoomldm.joint import NOTEBOOK, S2_PRINTED, JointSettings
from everslide.model.zoomldm.latents import window_grid
from everslide.model.zoomldm.lazy import JointPlane
from everslide.model.zoomldm.resize import make_operator
from tests.model.zoomldm.eager import image_of, last_latents, sample_together
from tests.model.zoomldm.tiny import tiny

SETTINGS = {
    "paper": replace(S2_PRINTED, stride=500, lambda_=0.05),
    "notebook": replace(NOTEBOOK, stride=500, corrections=1),
}
TOP, SEED = 2, 11
REGION = Rect(40, 20, 20, 20)
"""Of scale 0: it meets two windows, which hang below six of scale 1 and these below six of scale 2."""


def plane(settings: JointSettings, dtype: torch.dtype, batch: int, top: int = TOP) -> JointPlane:
    model = tiny(dtype)
    torch.manual_seed(3)
    conditions = FieldConditions(model, torch.randn(4, 24))
    return JointPlane(model, settings, make_operator("box", 2), conditions, window_grid(model), SEED, top, batch)


def windows() -> list[WindowIndex]:
    return list(windows_touching(0, REGION, window_grid(tiny())))


def test_the_region_spans_windows_of_three_scales() -> None:
    grid = window_grid(tiny())
    fine = windows()
    middle = {above for window in fine for above in windows_touching(1, window.parent_rect, grid)}
    coarse = {above for window in middle for above in windows_touching(2, window.parent_rect, grid)}
    assert (len(fine), len(middle), len(coarse)) == (2, 6, 6)
    assert (grid.window_px, grid.stride_px) == (64, 48), "three quarters of a training image, as in the painter"


@pytest.mark.parametrize(("name", "batch"), [("paper", 1), ("notebook", 2)])
def test_lazy_equals_eager_bit_for_bit_at_one_batch_shape(name: str, batch: int) -> None:
    settings, wanted = SETTINGS[name], windows()
    eager = sample_together(plane(settings, torch.float32, batch), wanted)
    lazy = plane(settings, torch.float32, batch)
    random.Random(batch).shuffle(wanted)
    for window in wanted:
        assert torch.isfinite(eager[window]).all()
        assert torch.equal(last_latents(lazy, window), eager[window]), window
    assert eager[wanted[0]].std() > 0.1


def test_lazy_equals_eager_at_other_batch_shapes_in_double_precision() -> None:
    settings, wanted = SETTINGS["notebook"], windows()
    eager = sample_together(plane(settings, torch.float64, 4), wanted)
    lazy = plane(settings, torch.float64, 1)
    for window in reversed(wanted):
        torch.testing.assert_close(last_latents(lazy, window), eager[window], rtol=1e-9, atol=1e-9)


def test_order_and_forgetting_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = windows()
    first, second = (plane(SETTINGS["notebook"], torch.float32, 1) for _ in range(2))
    expected = {window: last_latents(first, window) for window in wanted}
    monkeypatch.setattr("everslide.model.zoomldm.lazy.REMEMBERED", 2)
    for window in reversed(wanted):
        assert torch.equal(last_latents(second, window), expected[window])


def test_images_are_cut_from_one_plane() -> None:
    joint = plane(SETTINGS["paper"], torch.float32, 1, top=0)
    whole = image_of(joint, 0, REGION)
    assert whole.shape == (3, 20, 20) and whole.std() > 0.01
    assert torch.equal(image_of(joint, 0, Rect(50, 25, 10, 15)), whole[:, 5:, 10:])


def test_the_context_guides_its_details() -> None:
    """Without corrections the box means of the details are further from their context."""

    def distance(settings: JointSettings) -> float:
        joint = plane(settings, torch.float64, 1, top=1)
        detail, context = image_of(joint, 0, Rect(16, 16, 32, 32)), image_of(joint, 1, Rect(8, 8, 16, 16))
        return float((torch.nn.functional.avg_pool2d(detail, 2) - context).abs().mean())

    guided = replace(SETTINGS["notebook"], stride=250, corrections=2, lambda_=2.0)
    assert distance(guided) < distance(replace(guided, corrections=0))

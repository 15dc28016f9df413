"""The model without weights."""

from __future__ import annotations

import numpy as np
import pytest

from everslide.model.geometry import WindowIndex
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.window_model import PARENT_PX, WindowModel
from everslide.model.sampling_config import SamplingCapabilities

WINDOWS = [WindowIndex(0, 3, -2), WindowIndex(0, 4, -2)]


def test_speckle_is_a_window_model() -> None:
    model: WindowModel = SpeckleModel(batch=2)
    assert (model.name, model.batch, model.calls_per_window, model.scales) == ("speckle", 2, 1, 8)
    assert (model.capabilities, model.steerable) == (SamplingCapabilities(1), False)
    assert PARENT_PX == 160
    assert model.steps(GenerationContext(1), WINDOWS, np.zeros((2, PARENT_PX, PARENT_PX, 3), np.uint8)) == []


def test_a_window_model_must_paint() -> None:
    with pytest.raises(TypeError, match="bands"):
        WindowModel()  # type: ignore[abstract]


def test_speckle_grows_with_density() -> None:
    parents = np.stack([np.full((PARENT_PX, PARENT_PX, 3), grey, np.uint8) for grey in (255, 155)])
    bands = SpeckleModel(2).bands(GenerationContext(7), WINDOWS, parents)
    assert bands.shape == (2, PARENT_PX, PARENT_PX, 3, 3) and bands.dtype == np.float32
    assert float(np.abs(bands[0]).max()) == 0
    noise = keyed.normals(7, "detail", 0, WINDOWS[1].parent_rect, 9)
    np.testing.assert_allclose(bands[1, 5, 7, 2, 1], 10 * noise[7, 5, 7], rtol=1e-5)


def test_speckle_is_keyed_by_place() -> None:
    """What two windows have in common is the same in both, and another slide has other speckle."""
    parents = np.full((2, PARENT_PX, PARENT_PX, 3), 155, np.uint8)
    left, right = SpeckleModel(2).bands(GenerationContext(7), WINDOWS, parents)
    np.testing.assert_array_equal(left[:, 128:], right[:, :32])
    assert not np.array_equal(SpeckleModel(2).bands(GenerationContext(8), WINDOWS, parents)[0], left)

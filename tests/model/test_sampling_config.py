"""Steps and guidance: what a slide may choose, what it costs, and that nothing is shared between two choices."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.errors import SlideError
from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TOP_SCALE, TileIndex, WindowIndex
from everslide.model.mini.model import MiniModel, load_mini
from everslide.model.mini.network import DetailUNet
from everslide.model.mini.weights import save_weights
from everslide.model.pyramid.batching import GatheredWindows
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.window_trace import PaintedWindow, WatchedWindows
from everslide.model.pyramid.windows import LocalWindows
from everslide.model.sampling_config import OWN, SamplingCapabilities, SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Style
from tests.model.networks import tiny_weights
from tests.model.painting import sketch_of
from tests.model.pictures import tissue

SAMPLINGS = (
    OWN,
    SamplingConfig(2),
    SamplingConfig(8),
    SamplingConfig(guidance=3),
    SamplingConfig(2, 3),
    SamplingConfig(2, 1.5),
)
WINDOW = WindowIndex(2, 1, 1)
TILE, TOP = TileIndex(TOP_SCALE - 1, 1, 1), sketch_of(Slide("a", 7))
LIKE = Reference(Style(np.linspace(-2, 2, 64, dtype=np.float32), np.full((5, 3), 170, np.float32)))
Bands = NDArray[np.float32]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MiniModel:
    path: Path = tmp_path_factory.mktemp("mini") / "mini.safetensors"
    save_weights(path, tiny_weights())
    return load_mini(path, side_by_side=1, runtime="torch")


def window(model: MiniModel, sampling: SamplingConfig, windows: LocalWindows | None = None) -> NDArray[np.float16]:
    context = GenerationContext(7, LIKE, sampling)
    (bands,) = (windows or LocalWindows(model)).paint(context, [WINDOW], [tissue(160, 160)])
    return bands


@pytest.mark.parametrize(
    ("steps", "guidance", "expected"),
    [
        (0, 1.0, "steps 0: expected 1 or more; leave them out"),
        (-3, 1.0, "steps -3"),
        (None, 0.5, "guidance 0.5: expected a number from 1 on; leave it out"),
        (None, math.nan, "guidance nan"),
        (None, math.inf, "guidance inf"),
    ],
)
def test_impossible_sampling_configs(steps: int | None, guidance: float, expected: str) -> None:
    with pytest.raises(SlideError, match=expected):
        SamplingConfig(steps, guidance)


def test_keys_and_words() -> None:
    assert [sampling.key for sampling in SAMPLINGS[:5]] == [
        "", "-steps2", "-steps8", "-guidance3.0", "-steps2-guidance3.0",
    ]  # fmt: skip
    assert SamplingConfig(guidance=3).key == SamplingConfig(guidance=3.0).key
    assert [sampling.words for sampling in (OWN, SamplingConfig(1), SamplingConfig(2, 2.5))] == [
        "", ", 1 step", ", 2 steps, guidance 2.5",
    ]  # fmt: skip


def test_contexts_of_different_sampling_have_different_keys() -> None:
    assert GenerationContext(7).key == GenerationContext(7, sampling=OWN).key == "7"
    assert len({GenerationContext(7, sampling=sampling).key for sampling in SAMPLINGS}) == len(SAMPLINGS)
    assert len({GenerationContext(7, picture_s=s).key for s in (None, 0, 3)}) == 3


def test_what_is_offered(model: MiniModel) -> None:
    assert model.capabilities == SamplingCapabilities(1, (1, 2, 4, 8), 4.0)
    gathered = GatheredWindows(SpeckleModel())
    assert gathered.capabilities == SamplingCapabilities(1)
    gathered.close()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (SamplingConfig(3), "steps 3: expected one of 1, 2, 4, 8; leave them out for its own"),
        (SamplingConfig(guidance=4.5), "guidance 4.5: expected 1 to 4; leave it out for none"),
    ],
)
def test_what_is_not_offered_is_refused(model: MiniModel, sampling: SamplingConfig, expected: str) -> None:
    with pytest.raises(SlideError, match=f"slide a: its model mini: {expected}"):
        Painter(Slide("a", 7, sampling=sampling), model, MemoryTiles(), TOP)


@pytest.mark.parametrize("sampling", [SamplingConfig(1), SamplingConfig(guidance=2)])
def test_a_model_without_a_choice_says_so(sampling: SamplingConfig) -> None:
    with pytest.raises(
        SlideError, match=r"its model speckle has no choice of steps or guidance, found .*; leave them out"
    ):
        Painter(Slide("a", 7, model="speckle", sampling=sampling), SpeckleModel(), MemoryTiles(), TOP)
    Painter(Slide("a", 7, model="speckle", sampling=OWN), SpeckleModel(), MemoryTiles(), TOP)


def test_each_sampling_config_is_another_painting(model: MiniModel) -> None:
    slides = [Slide("a", 7, sampling=sampling) for sampling in SAMPLINGS]
    painters = [Painter(slide, model, MemoryTiles(), TOP, LIKE) for slide in slides]
    assert len({painter.fingerprint for painter in painters}) == len(SAMPLINGS)
    for one, other in combinations([painter.tile(TILE) for painter in painters], 2):
        assert not np.array_equal(one, other)


def test_a_models_default_is_one_step(model: MiniModel) -> None:
    np.testing.assert_array_equal(window(model, SamplingConfig(1)), window(model, OWN))


def test_without_a_reference_there_is_nothing_to_guide_towards(model: MiniModel) -> None:
    plain, guided = (
        LocalWindows(model).paint(GenerationContext(7, sampling=sampling), [WINDOW], [tissue(160, 160)])[0]
        for sampling in (OWN, SamplingConfig(guidance=3))
    )
    np.testing.assert_array_equal(plain, guided)


def test_guidance_extrapolates_from_unconditional_through_conditional(model: MiniModel) -> None:
    """Of one step from the same noise: u + w (c - u), in what the network draws, which the bands are linear in."""

    def bands(reference: Reference | None, sampling: SamplingConfig) -> Bands:
        parents = np.stack([tissue(160, 160)] * model.batch)
        return model.bands(GenerationContext(7, reference, sampling), [WINDOW] * model.batch, parents)

    u, c, guided = bands(None, OWN), bands(LIKE, OWN), bands(LIKE, SamplingConfig(guidance=3))
    assert float(np.abs(c - u).max()) > 0.1
    np.testing.assert_allclose(guided, u + 3 * (c - u), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("sampling", "calls"),
    [
        (OWN, 1),
        (SamplingConfig(2), 2),
        (SamplingConfig(8), 8),
        (SamplingConfig(guidance=2), 2),
        (SamplingConfig(2, 2), 4),
    ],
)
def test_calls_are_counted_as_they_are_made(
    model: MiniModel, sampling: SamplingConfig, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    forward = DetailUNet.forward

    def counted(*args: object, **kwargs: object) -> Tensor:
        made.append(1)
        return forward(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(DetailUNet, "forward", counted)
    windows = LocalWindows(model)
    window(model, sampling, windows)
    assert (len(made), windows.counts.denoiser_calls) == (calls, calls)
    assert model.capabilities.calls(sampling) == calls


def test_counts_of_a_watched_painter_are_its_own(model: MiniModel) -> None:
    """Whatever else was painted with the same windows."""
    windows, seen = LocalWindows(model), list[PaintedWindow]()
    window(model, OWN, windows)
    watched = WatchedWindows(windows, seen.append)
    painter = Painter(Slide("a", 7, sampling=SamplingConfig(2, 3)), watched, MemoryTiles(), TOP, LIKE)
    painter.tile(TILE)
    assert painter.counts.denoiser_calls == 4 * painter.counts.windows > 0
    steps = seen[-1].steps()
    assert len(steps) == 2
    np.testing.assert_array_equal(steps[-1].astype(np.float32), seen[-1].bands)


def test_gathered_windows_of_two_sampling_configs_share_no_batch(model: MiniModel) -> None:
    gathered = GatheredWindows(model)
    for sampling in (SamplingConfig(2), OWN):
        (bands,) = gathered.paint(GenerationContext(7, LIKE, sampling), [WINDOW], [tissue(160, 160)])
        np.testing.assert_array_equal(bands, window(model, sampling))
    assert gathered.counts.denoiser_calls == 2 + 1
    gathered.close()

"""Steps and guidance: what a slide may choose, what it costs, and that nothing is shared between two manners."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.errors import SlideError
from everslide.model.evaluate import MemoryTiles
from everslide.model.fake import SpeckleDenoiser
from everslide.model.gathered import GatheredWindows
from everslide.model.geometry import TileIndex, WindowIndex
from everslide.model.manner import OWN, Manner, Offer
from everslide.model.mini.encoder import EMBEDDING
from everslide.model.mini.model import MiniDenoiser, load_mini
from everslide.model.mini.network import DetailUNet
from everslide.model.mini.sampler import Sampler
from everslide.model.mini.weights import save_weights
from everslide.model.painter import Painter
from everslide.model.sketch import TOP_SCALE
from everslide.model.slide import Slide
from everslide.model.subject import Subject
from everslide.model.watched import PaintedWindow, WatchedWindows
from everslide.model.windows import LocalWindows
from tests.model.networks import tiny_weights
from tests.model.pictures import tissue

MANNERS = (OWN, Manner(2), Manner(8), Manner(guidance=3), Manner(2, 3), Manner(2, 1.5))
WINDOW = WindowIndex(2, 1, 1)
TILE = TileIndex(TOP_SCALE - 1, 1, 1)


class StripedConditions:
    """Tells the network the same cells everywhere, so that told and untold differ."""

    fingerprint = "striped"

    def of(self, seed: int, windows: Sequence[WindowIndex], parents: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Conditions.of`."""
        cells = np.ones((len(windows), EMBEDDING, 5, 5), np.float32)
        cells[:, ::2] = -2
        return cells


@pytest.fixture(scope="module")
def untold(tmp_path_factory: pytest.TempPathFactory) -> MiniDenoiser:
    """A tiny network that is told nothing of the tissue."""
    path: Path = tmp_path_factory.mktemp("mini") / "mini.safetensors"
    weights = tiny_weights()
    for name in ("context.weight", "context_map.weight"):
        weights.tensors[name] = torch.randn_like(weights.tensors[name]) * 0.3
    save_weights(path, weights)
    return load_mini(path, threads=1)


@pytest.fixture(scope="module")
def told(untold: MiniDenoiser) -> MiniDenoiser:
    return untold.told(lambda _: StripedConditions())


def window(model: MiniDenoiser, manner: Manner, windows: LocalWindows | None = None) -> NDArray[np.float16]:
    (bands,) = (windows or LocalWindows(model)).paint(Subject(7, manner=manner), [WINDOW], [tissue(160, 160)])
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
def test_impossible_manners(steps: int | None, guidance: float, expected: str) -> None:
    with pytest.raises(SlideError, match=expected):
        Manner(steps, guidance)


def test_keys_and_words() -> None:
    assert [manner.key for manner in MANNERS[:5]] == [
        "", "-steps2", "-steps8", "-guidance3.0", "-steps2-guidance3.0",
    ]  # fmt: skip
    assert Manner(guidance=3).key == Manner(guidance=3.0).key
    assert [manner.words for manner in (OWN, Manner(1), Manner(2, 2.5))] == [
        "", ", 1 step", ", 2 steps, guidance 2.5",
    ]  # fmt: skip


def test_subjects_of_different_manners_have_different_keys() -> None:
    assert Subject(7).key == Subject(7, manner=OWN).key == "7"
    assert len({Subject(7, manner=manner).key for manner in MANNERS}) == len(MANNERS)


def test_a_picture_is_part_of_the_key() -> None:
    assert len({Subject(7).key, Subject(7, picture_s=5).key, Subject(7, picture_s=6).key}) == 3
    assert (Subject(7).octaves(2), Subject(7, picture_s=5).octaves(2), Subject(7, picture_s=5).octaves(4)) == (1, 3, 1)


def test_what_is_offered(untold: MiniDenoiser, told: MiniDenoiser) -> None:
    assert told.offer == Offer(4, (2, 4, 8), 4.0)
    assert untold.offer == Offer(4, (2, 4, 8), 1.0), "guidance would have nothing to go away from"
    assert GatheredWindows(SpeckleDenoiser()).offer == Offer(1)


@pytest.mark.parametrize(
    ("manner", "expected"),
    [
        (Manner(3), "steps 3: expected one of 2, 4, 8; leave them out for its own"),
        (Manner(guidance=4.5), "guidance 4.5: expected 1 to 4; leave it out for none"),
    ],
)
def test_what_is_not_offered_is_refused(told: MiniDenoiser, manner: Manner, expected: str) -> None:
    with pytest.raises(SlideError, match=f"slide a: its model mini: {expected}"):
        Painter(Slide("a", 7, manner=manner), told, MemoryTiles())
    with pytest.raises(SlideError, match=expected):
        told.of(manner)


@pytest.mark.parametrize("manner", [Manner(1), Manner(guidance=2)])
def test_a_model_without_a_choice_says_so(manner: Manner) -> None:
    with pytest.raises(
        SlideError, match=r"its model speckle has no choice of steps or guidance, found .*; leave them out"
    ):
        Painter(Slide("a", 7, model="speckle", manner=manner), SpeckleDenoiser(), MemoryTiles())
    Painter(Slide("a", 7, model="speckle", manner=OWN), SpeckleDenoiser(), MemoryTiles())


def test_each_manner_is_another_painting(told: MiniDenoiser) -> None:
    slides = [Slide("a", 7, manner=manner) for manner in MANNERS]
    painters = [Painter(slide, told, MemoryTiles()) for slide in slides]
    assert len({painter.fingerprint for painter in painters}) == len(MANNERS)
    assert len({told.of(manner).fingerprint for manner in MANNERS}) == len(MANNERS)
    for one, other in combinations([painter.tile(TILE) for painter in painters], 2):
        assert not np.array_equal(one, other)


def test_a_models_own_manner_changes_no_bit(told: MiniDenoiser) -> None:
    plain = told.detail(2, *batch(told), cells=cells(told))
    for manner in (OWN, Manner(4)):
        np.testing.assert_array_equal(told.of(manner).detail(2, *batch(told), cells=cells(told)), plain)
    assert told.of(OWN).fingerprint == told.fingerprint
    assert Painter(Slide("a", 7), told, MemoryTiles()).fingerprint == (
        Painter(Slide("a", 7, manner=OWN), told, MemoryTiles()).fingerprint
    )


def test_steps_are_those_of_the_sampler(told: MiniDenoiser, untold: MiniDenoiser) -> None:
    for steps in (2, 8):
        other = load_mini_of(untold, Sampler(Sampler.falling(steps), untold._sampler.strength))
        np.testing.assert_array_equal(untold.of(Manner(steps)).detail(2, *batch(told)), other.detail(2, *batch(told)))


def test_guidance_goes_on_from_untold_through_told(told: MiniDenoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one step from the same noise: u + w (c - u), in what the network says."""
    monkeypatch.setattr("everslide.model.mini.STEPS", (1,))

    def channels(manner: Manner, of: NDArray[np.float32] | None) -> Tensor:
        parents, noise, grain = batch(told)
        one = told.of(manner)
        return one._sample(2, one._given(parents, grain), torch.from_numpy(noise), of)

    u, c = channels(Manner(1), None), channels(Manner(1), cells(told))
    guided = channels(Manner(1, 3.0), cells(told))
    assert float((c - u).abs().max()) > 1e-3
    torch.testing.assert_close(guided, u + 3 * (c - u), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("manner", "calls"), [(OWN, 4), (Manner(2), 2), (Manner(8), 8), (Manner(guidance=2), 8), (Manner(2, 2), 4)]
)
def test_calls_are_counted_as_they_are_made(
    told: MiniDenoiser, manner: Manner, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    forward = DetailUNet.forward

    def counted(*args: object, **kwargs: object) -> Tensor:
        made.append(1)
        return forward(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(DetailUNet, "forward", counted)
    windows = LocalWindows(told)
    window(told, manner, windows)
    assert (len(made), windows.counts.denoiser_calls) == (calls, calls)
    assert told.of(manner).calls_per_window == told.offer.calls(manner) == calls


def test_other_steps_are_those_of_the_teacher(tmp_path: Path) -> None:
    """Distilled weights walk their own few steps; for more the network they learned from is asked."""
    pupil, teacher = tiny_weights(1, Sampler(Sampler.falling(2))), tiny_weights(2)
    save_weights(tmp_path / "alone.safetensors", teacher)
    save_weights(tmp_path / "both.safetensors", replace(pupil, teacher=teacher))
    alone, both = (load_mini(tmp_path / f"{name}.safetensors", threads=1) for name in ("alone", "both"))
    assert both.offer.own_calls == 2 and both.offer.steps == (2, 4, 8)
    for steps in (4, 8):
        np.testing.assert_array_equal(window(both, Manner(steps)), window(alone, Manner(steps)))
    assert not np.array_equal(window(both, Manner(2)), window(alone, Manner(2)))
    np.testing.assert_array_equal(window(both, Manner(2)), window(both, OWN))


def test_each_of_a_lineage_walks_its_own_steps(tmp_path: Path) -> None:
    one, two, four = (tiny_weights(steps, Sampler(Sampler.falling(steps))) for steps in (1, 2, 4))
    save_weights(tmp_path / "two.safetensors", replace(two, teacher=four))
    save_weights(tmp_path / "one.safetensors", replace(one, teacher=replace(two, teacher=four)))
    pupil, teacher = (load_mini(tmp_path / f"{name}.safetensors", threads=1) for name in ("one", "two"))
    assert pupil.offer.steps == (1, 2, 4, 8) and pupil.offer.own_calls == 1 and teacher.offer.steps == (2, 4, 8)
    for steps in (2, 4, 8):
        np.testing.assert_array_equal(window(pupil, Manner(steps)), window(teacher, Manner(steps)))


def test_counts_of_a_watched_painter_are_its_own(told: MiniDenoiser) -> None:
    """Whatever else was painted with the same windows."""
    windows, seen = LocalWindows(told), list[PaintedWindow]()
    window(told, OWN, windows)
    painter = Painter(Slide("a", 7, manner=Manner(2, 3)), WatchedWindows(windows, seen.append), MemoryTiles())
    painter.tile(TILE)
    assert painter.counts.denoiser_calls == 4 * painter.counts.windows > 0
    steps = seen[-1].steps()
    assert len(steps) == 2
    np.testing.assert_array_equal(steps[-1].astype(np.float32), seen[-1].bands)


def test_gathered_windows_of_two_manners_share_no_batch(told: MiniDenoiser) -> None:
    gathered = GatheredWindows(told)
    for manner in (Manner(2), OWN):
        (bands,) = gathered.paint(Subject(7, manner=manner), [WINDOW], [tissue(160, 160)])
        np.testing.assert_array_equal(bands, window(told, manner))
    assert gathered.counts.denoiser_calls == 2 + 4
    gathered.close()


def batch(model: MiniDenoiser) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    noise, grain = (rng.standard_normal((model.batch, count, 160, 160), np.float32) for count in (9, 3))
    return np.stack([tissue(160, 160)] * model.batch), noise, grain


def cells(model: MiniDenoiser) -> NDArray[np.float32]:
    return StripedConditions().of(0, [WINDOW] * model.batch, np.zeros((1, 160, 160, 3), np.uint8))


def load_mini_of(model: MiniDenoiser, sampler: Sampler) -> MiniDenoiser:
    """The same network with another sampler of its own."""
    other = model.of(OWN)
    other._sampler = sampler
    return other

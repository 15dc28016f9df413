"""Steps and guidance: what a slide may choose, what it costs, and that nothing is shared between two manners."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.errors import SlideError
from everslide.model.evaluate import MemoryTiles
from everslide.model.fake import SpeckleModel
from everslide.model.gathered import GatheredWindows
from everslide.model.geometry import TOP_SCALE, TileIndex, WindowIndex
from everslide.model.manner import OWN, Manner, Offer
from everslide.model.mini.model import MiniModel, load_mini
from everslide.model.mini.network import DetailUNet
from everslide.model.mini.reference import Look, Reference
from everslide.model.mini.weights import save_weights
from everslide.model.painter import Painter
from everslide.model.slide import Slide
from everslide.model.subject import Subject
from everslide.model.watched import PaintedWindow, WatchedWindows
from everslide.model.windows import LocalWindows
from tests.model.networks import tiny_weights
from tests.model.pictures import tissue

MANNERS = (OWN, Manner(2), Manner(8), Manner(guidance=3), Manner(2, 3), Manner(2, 1.5))
WINDOW = WindowIndex(2, 1, 1)
TILE = TileIndex(TOP_SCALE - 1, 1, 1)
LIKE = Reference(Look(np.linspace(-2, 2, 64, dtype=np.float32), np.full((5, 3), 170, np.float32)))
Bands = NDArray[np.float32]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MiniModel:
    path: Path = tmp_path_factory.mktemp("mini") / "mini.safetensors"
    save_weights(path, tiny_weights())
    return load_mini(path, threads=1)


def window(model: MiniModel, manner: Manner, windows: LocalWindows | None = None) -> NDArray[np.float16]:
    subject = Subject(7, LIKE, manner)
    (bands,) = (windows or LocalWindows(model)).paint(subject, [WINDOW], [tissue(160, 160)])
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


def test_what_is_offered(model: MiniModel) -> None:
    assert model.offer == Offer(1, (1, 2, 4, 8), 4.0)
    gathered = GatheredWindows(SpeckleModel())
    assert gathered.offer == Offer(1)
    gathered.close()


@pytest.mark.parametrize(
    ("manner", "expected"),
    [
        (Manner(3), "steps 3: expected one of 1, 2, 4, 8; leave them out for its own"),
        (Manner(guidance=4.5), "guidance 4.5: expected 1 to 4; leave it out for none"),
    ],
)
def test_what_is_not_offered_is_refused(model: MiniModel, manner: Manner, expected: str) -> None:
    with pytest.raises(SlideError, match=f"slide a: its model mini: {expected}"):
        Painter(Slide("a", 7, manner=manner), model, MemoryTiles())


@pytest.mark.parametrize("manner", [Manner(1), Manner(guidance=2)])
def test_a_model_without_a_choice_says_so(manner: Manner) -> None:
    with pytest.raises(
        SlideError, match=r"its model speckle has no choice of steps or guidance, found .*; leave them out"
    ):
        Painter(Slide("a", 7, model="speckle", manner=manner), SpeckleModel(), MemoryTiles())
    Painter(Slide("a", 7, model="speckle", manner=OWN), SpeckleModel(), MemoryTiles())


def test_each_manner_is_another_painting(model: MiniModel) -> None:
    slides = [Slide("a", 7, manner=manner) for manner in MANNERS]
    painters = [Painter(slide, model, MemoryTiles(), reference=LIKE) for slide in slides]
    assert len({painter.fingerprint for painter in painters}) == len(MANNERS)
    for one, other in combinations([painter.tile(TILE) for painter in painters], 2):
        assert not np.array_equal(one, other)


def test_a_models_own_manner_is_one_step(model: MiniModel) -> None:
    np.testing.assert_array_equal(window(model, Manner(1)), window(model, OWN))


def test_without_a_reference_there_is_nothing_to_guide_towards(model: MiniModel) -> None:
    plain, guided = (
        LocalWindows(model).paint(Subject(7, manner=manner), [WINDOW], [tissue(160, 160)])[0]
        for manner in (OWN, Manner(guidance=3))
    )
    np.testing.assert_array_equal(plain, guided)


def test_guidance_goes_on_from_untold_through_told(model: MiniModel) -> None:
    """Of one step from the same noise: u + w (c - u), in what the network draws, which the bands are linear in."""

    def bands(reference: Reference | None, manner: Manner) -> Bands:
        parents = np.stack([tissue(160, 160)] * model.batch)
        return model.bands(Subject(7, reference, manner), [WINDOW] * model.batch, parents)

    u, c, guided = bands(None, OWN), bands(LIKE, OWN), bands(LIKE, Manner(guidance=3))
    assert float(np.abs(c - u).max()) > 0.1
    np.testing.assert_allclose(guided, u + 3 * (c - u), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("manner", "calls"),
    [(OWN, 1), (Manner(2), 2), (Manner(8), 8), (Manner(guidance=2), 2), (Manner(2, 2), 4)],
)
def test_calls_are_counted_as_they_are_made(
    model: MiniModel, manner: Manner, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    forward = DetailUNet.forward

    def counted(*args: object, **kwargs: object) -> Tensor:
        made.append(1)
        return forward(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(DetailUNet, "forward", counted)
    windows = LocalWindows(model)
    window(model, manner, windows)
    assert (len(made), windows.counts.denoiser_calls) == (calls, calls)
    assert model.offer.calls(manner) == calls


def test_counts_of_a_watched_painter_are_its_own(model: MiniModel) -> None:
    """Whatever else was painted with the same windows."""
    windows, seen = LocalWindows(model), list[PaintedWindow]()
    window(model, OWN, windows)
    watched = WatchedWindows(windows, seen.append)
    painter = Painter(Slide("a", 7, manner=Manner(2, 3)), watched, MemoryTiles(), reference=LIKE)
    painter.tile(TILE)
    assert painter.counts.denoiser_calls == 4 * painter.counts.windows > 0
    steps = seen[-1].steps()
    assert len(steps) == 2
    np.testing.assert_array_equal(steps[-1].astype(np.float32), seen[-1].bands)


def test_gathered_windows_of_two_manners_share_no_batch(model: MiniModel) -> None:
    gathered = GatheredWindows(model)
    for manner in (Manner(2), OWN):
        (bands,) = gathered.paint(Subject(7, LIKE, manner), [WINDOW], [tissue(160, 160)])
        np.testing.assert_array_equal(bands, window(model, manner))
    assert gathered.counts.denoiser_calls == 2 + 1
    gathered.close()

"""The built-in model: deterministic windows, honest fingerprints; the shipped weights where there are some."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch
from numpy.typing import NDArray

from everslide.model.errors import WeightsError
from everslide.model.evaluation.fields import MemoryTiles, agreement_db
from everslide.model.geometry import TileIndex, WindowIndex
from everslide.model.mini import model as module
from everslide.model.mini.model import SHIPPED_WEIGHTS, MiniModel, load_mini
from everslide.model.mini.network import NetworkConfig
from everslide.model.mini.sampler import sample
from everslide.model.mini.weights import Weights, save_weights
from everslide.model.pyramid import keyed_noise
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.sampling_config import OWN, SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Region, Style
from tests.model.networks import TINY, tiny_weights
from tests.model.painting import quad
from tests.model.pictures import missing, tissue

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
SLIDE = Slide("photo", 3, 2048, 2048)
WINDOW = WindowIndex(3, 2, 1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mini") / "mini.safetensors"
    save_weights(path, tiny_weights())
    return path


@pytest.fixture(scope="module")
def tiny(path: Path) -> MiniModel:
    return load_mini(path, side_by_side=1)


@pytest.fixture(scope="module")
def shipped() -> MiniModel:
    if not SHIPPED_WEIGHTS.exists():
        missing("no weights in model/weights: the shipped model is not tested")
    return load_mini(side_by_side=1)


def like(value: float) -> Style:
    return Style(np.linspace(-value, value, 64, dtype=np.float32), np.full((5, 3), 150, np.float32))


def painted(model: MiniModel, parent: Pixels | None = None, window: WindowIndex = WINDOW, **of: object) -> Floats:
    """Bands (160, 160, 3, 3) of one window, in the model's batch."""
    context = replace(GenerationContext(7), **of)  # type: ignore[arg-type]
    parents = np.stack([tissue(160, 160) if parent is None else parent] * model.batch)
    return np.asarray(model.bands(context, [window] * model.batch, parents)[0])


def painter(model: MiniModel) -> Painter:
    return Painter(SLIDE, model, MemoryTiles(), ImageTop(tissue(512, 512), 2))


def test_bands(tiny: MiniModel) -> None:
    bands = tiny.bands(GenerationContext(7), [WINDOW] * tiny.batch, np.stack([tissue(160, 160)] * tiny.batch))
    assert bands.shape == (tiny.batch, 160, 160, 3, 3) and bands.dtype == np.float32
    assert bool(np.isfinite(bands).all()) and 0.5 < float(bands.std()) < 20
    assert (tiny.name, tiny.calls_per_window, tiny.scales, tiny.steerable) == ("mini", 1, 8, True)


@pytest.mark.parametrize(
    ("sampling", "steps"), [(OWN, 1), (SamplingConfig(1), 1), (SamplingConfig(2), 2), (SamplingConfig(8), 8)]
)
def test_steps_end_in_what_is_painted(tiny: MiniModel, sampling: SamplingConfig, steps: int) -> None:
    walked = tiny.steps(
        GenerationContext(7, sampling=sampling), [WINDOW] * tiny.batch, np.stack([tissue(160, 160)] * tiny.batch)
    )
    assert len(walked) == steps
    np.testing.assert_array_equal(walked[-1][0], painted(tiny, sampling=sampling))
    assert all(np.abs(a - b).max() > 1e-3 for a, b in pairwise(walked))


def test_the_same_window_is_the_same_bits(tiny: MiniModel, path: Path) -> None:
    first = painted(tiny)
    painted(tiny, tissue(160, 160, 2), WindowIndex(0, 5, 5), seed=8)
    np.testing.assert_array_equal(painted(tiny), first)
    np.testing.assert_array_equal(painted(load_mini(path, side_by_side=1)), first)


def test_bands_follow_parent_seed_place_scale_and_reference(tiny: MiniModel) -> None:
    base = painted(tiny)
    for other in (
        painted(tiny, 255 - tissue(160, 160)),
        painted(tiny, seed=8),
        painted(tiny, window=WindowIndex(3, 3, 1)),
        painted(tiny, window=WindowIndex(2, 2, 1)),
        painted(tiny, reference=Reference(like(1.0))),
        painted(tiny, picture_s=WINDOW.s + 1),
    ):
        assert float(np.abs(other - base).max()) > 1e-3


def test_the_first_octave_below_a_picture_alone_is_told_of_it(tiny: MiniModel) -> None:
    """Guided as well: it is no condition to be strengthened."""
    base = painted(tiny)
    for s in (WINDOW.s, WINDOW.s + 2):
        np.testing.assert_array_equal(painted(tiny, picture_s=s), base)
    told = painted(tiny, picture_s=WINDOW.s + 1)
    np.testing.assert_array_equal(painted(tiny, picture_s=WINDOW.s + 1, sampling=SamplingConfig(1, 3.0)), told)


def test_the_shipped_weights_heed_that_the_parent_is_a_picture(shipped: MiniModel) -> None:
    base, told = (painted(shipped, picture_s=s) for s in (None, WINDOW.s + 1))
    assert float(np.abs(told - base).mean()) > 0.05


def test_a_window_does_not_know_its_companions() -> None:
    """In a batch of four the second is what it is beside other ones."""
    model = MiniModel(tiny_weights(), CPU, batch=4)
    parents = [tissue(160, 160, seed) for seed in range(7)]

    def second(others: Sequence[int]) -> Floats:
        windows = [WindowIndex(3, i, 0) for i in others]
        windows.insert(1, WINDOW)
        stack = np.stack([parents[0], *(parents[i] for i in others)])
        order = [1, 0, 2, 3]
        return np.asarray(model.bands(GenerationContext(7), windows, np.ascontiguousarray(stack[order]))[1])

    np.testing.assert_array_equal(second([1, 2, 3]), second([4, 5, 6]))


@pytest.mark.parametrize("steps", [1, 2])
def test_neighbours_agree_where_both_see_far_enough(tiny: MiniModel, steps: int) -> None:
    """Noise of every resolution is keyed by place: amid their overlap two windows paint the same pixels."""
    plane, stride = tissue(160, 160 + 128, 5), 128
    left, right = (
        painted(
            tiny,
            np.ascontiguousarray(plane[:, x : x + 160]),
            WindowIndex(3, 4 + x // stride, 2),
            sampling=SamplingConfig(1),
        )
        for x in (0, stride)
    )
    middle = slice(144 - 2, 144 + 2)  # 14 px from either border; far away there is a neighbour that one lacks
    a, b = left[40:120, middle], right[40:120, slice(middle.start - stride, middle.stop - stride)]
    apart = float(np.abs(a - b).mean())
    strangers = float(np.abs(a - painted(tiny, seed=8)[40:120, 14:18]).mean())
    assert apart < 0.25 * strangers


def test_the_fingerprint_changes_with_each_thing(
    tiny: MiniModel, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(tiny.fingerprint) == 64 and int(tiny.fingerprint, 16) >= 0
    assert load_mini(path, side_by_side=1).fingerprint == tiny.fingerprint
    prints = [tiny.fingerprint]

    def add(weights: Weights) -> None:
        save_weights(tmp_path / "w.safetensors", weights)
        prints.append(load_mini(tmp_path / "w.safetensors", side_by_side=1).fingerprint)

    weights = tiny_weights()
    weights.tensors["scale.weight"][11, 0] += 0.5  # the probe does not look at this scale
    add(weights)
    weights = tiny_weights()
    weights.tensors["reference.weight"] += 0.5  # nor at a reference
    add(weights)
    add(replace(tiny_weights(), deviation=tiny_weights().deviation * np.float32(1.1)))
    add(tiny_weights(1))
    prints.append(MiniModel(tiny_weights(), CPU, batch=2).fingerprint)
    for owner, name, value in (
        (module, "FORMAT", 3),
        (module, "sample", lambda draw, z, steps: sample(draw, -z, steps)),
        (keyed_noise, "SEED_FORMAT", 3),
        (torch, "__version__", "2.99.0"),
        (np, "__version__", "0"),
        (scipy, "__version__", "0"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            prints.append(load_mini(path, side_by_side=1).fingerprint)
    assert len(set(prints)) == len(prints) == 12


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_neither_cores_nor_torch_threads_change_a_bit(tiny: MiniModel, path: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    other = load_mini(path, side_by_side=threads)
    assert other.fingerprint == tiny.fingerprint
    torch.set_num_threads(threads)
    np.testing.assert_array_equal(painted(other), painted(tiny))
    assert torch.get_num_threads() == 1


def test_a_painting_thread_computes_alone_whatever_others_set(tiny: MiniModel) -> None:
    """torch keeps the number of threads for each thread; a new one takes what was set last by any."""
    seen = []

    def paint() -> None:
        seen.append((painted(tiny), torch.get_num_threads()))

    torch.set_num_threads(2)
    thread = threading.Thread(target=paint)
    thread.start()
    thread.join()
    assert seen[0][1] == 1
    np.testing.assert_array_equal(seen[0][0], painted(tiny))


def test_a_region_is_painted_like_its_own_reference(tiny: MiniModel) -> None:
    """Where a region covers all of a window it counts alone; where it does not reach, not at all."""
    side = 320 * 4.0  # um of a window of plane 3
    x, y = (index * 256 * 4.0 for index in (WINDOW.col, WINDOW.row))
    inside = Region(x - 1000, y - 1000, side + 2000, side + 2000, like(2.0))
    outside = Region(x + 5 * side, y, side, side, like(2.0))
    plain, other = painted(tiny, reference=Reference(like(1.0))), painted(tiny, reference=Reference(like(2.0)))
    assert not np.array_equal(plain, other)
    np.testing.assert_array_equal(painted(tiny, reference=Reference(like(1.0), (inside,))), other)
    np.testing.assert_array_equal(painted(tiny, reference=Reference(like(1.0), (outside,))), plain)


def test_tiles_do_not_depend_on_other_tiles(tiny: MiniModel) -> None:
    tiles = [TileIndex(1, 1, 1), TileIndex(0, 3, 2), TileIndex(0, 4, 2)]
    alone = {tile: painter(tiny).tile(tile) for tile in tiles}
    one = painter(tiny)
    one.tile(TileIndex(0, 6, 6))
    for tile in reversed(tiles):
        np.testing.assert_array_equal(one.tile(tile), alone[tile])


def test_children_average_to_their_parent(tiny: MiniModel) -> None:
    one = painter(tiny)
    np.testing.assert_array_equal(box_mean(quad(one, TileIndex(1, 1, 1))), one.tile(TileIndex(1, 1, 1)))
    np.testing.assert_array_equal(box_mean(quad(one, TileIndex(2, 0, 0))), tissue(512, 512)[:256, :256])


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        load_mini(tmp_path / "none.safetensors")


def test_weights_of_another_network_are_refused() -> None:
    other = replace(TINY, channels=(8, 16))
    with pytest.raises(WeightsError, match="do not fit the network"):
        MiniModel(replace(tiny_weights(), config=other), CPU, batch=1)


def test_the_default_network_has_weights_of_the_size_that_is_shipped() -> None:
    if not SHIPPED_WEIGHTS.exists():
        missing("no weights in model/weights: the shipped model is not tested")
    assert SHIPPED_WEIGHTS.stat().st_size <= 64 * 2**20
    assert NetworkConfig().scales == 12


def test_shipped_one_window_twice(shipped: MiniModel) -> None:
    first = painted(shipped, window=WindowIndex(0, 2, 1))
    np.testing.assert_array_equal(painted(shipped, window=WindowIndex(0, 2, 1)), first)
    assert 0.5 < float(first.std()) < 60, "detail in grey levels"
    assert shipped.batch == (8 if torch.cuda.is_available() else 1)


@pytest.mark.parametrize("s", [0, 4])
def test_shipped_agrees_with_its_parent_before_the_exact_step(shipped: MiniModel, s: int) -> None:
    assert agreement_db(shipped, tissue(160, 160), s) >= 30


def test_shipped_paints_little_on_glass(shipped: MiniModel) -> None:
    window = WindowIndex(0, 2, 1)
    glass = painted(shipped, np.full((160, 160, 3), 243, np.uint8), window)
    assert float(np.percentile(np.abs(glass), 99)) < 5, "grey levels"

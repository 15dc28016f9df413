"""The built-in model: deterministic windows, honest fingerprints; the shipped weights where there are some."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from everslide.model.contrast import DEPTHS, FEATURES, ContrastModel
from everslide.model.errors import WeightsError
from everslide.model.evaluate import MemoryTiles, agreement_db
from everslide.model.geometry import TileIndex
from everslide.model.mini.model import SHIPPED_WEIGHTS, MiniDenoiser, load_mini
from everslide.model.mini.sampler import Sampler
from everslide.model.mini.weights import save_weights
from everslide.model.painter import Painter
from everslide.model.slide import Slide
from everslide.model.top import ImageTop
from everslide.model.wavelet import box_mean, details
from tests.model.networks import tiny_weights
from tests.model.painting import quad
from tests.model.pictures import missing, tissue

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
SLIDE = Slide("photo", 3, 2048, 2048)
RIGHT_BELOW, FARTHER = TileIndex(1, 1, 1), TileIndex(0, 3, 3)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mini") / "mini.safetensors"
    save_weights(path, tiny_weights())
    return path


@pytest.fixture(scope="module")
def tiny(path: Path) -> MiniDenoiser:
    return load_mini(path, threads=1)


@pytest.fixture(scope="module")
def shipped() -> MiniDenoiser:
    if not SHIPPED_WEIGHTS.exists():
        missing("no weights in model/weights: the shipped model is not tested")
    return load_mini(threads=1)


def given(batch: int, seed: int = 1) -> tuple[Pixels, Floats, Floats]:
    """A batch of the same window: parent, noise, grain."""
    rng = np.random.default_rng(seed)
    noise, grain = (rng.standard_normal((1, count, 160, 160), np.float32) for count in (9, 3))
    parent = tissue(160, 160, seed)[None]
    return tuple(np.repeat(x, batch, axis=0) for x in (parent, noise, grain))  # type: ignore[return-value]


def painter(denoiser: MiniDenoiser) -> Painter:
    return Painter(SLIDE, denoiser, MemoryTiles(), ImageTop(tissue(512, 512), 2))


def test_detail(tiny: MiniDenoiser) -> None:
    bands = tiny.detail(3, *given(tiny.batch))
    assert bands.shape == (tiny.batch, 160, 160, 3, 3) and bands.dtype == np.float32
    assert bool(np.isfinite(bands).all()) and 0.5 < float(bands.std()) < 10
    assert (tiny.name, tiny.calls_per_window) == ("mini", 4)


def test_steps_end_in_what_is_painted(tiny: MiniDenoiser) -> None:
    steps = tiny.steps(3, *given(tiny.batch))
    assert len(steps) == tiny.calls_per_window
    np.testing.assert_array_equal(steps[-1], tiny.detail(3, *given(tiny.batch)))
    assert all(np.abs(a - b).max() > 1e-3 for a, b in pairwise(steps))


def test_the_same_window_is_the_same_bits(tiny: MiniDenoiser, path: Path) -> None:
    first = tiny.detail(3, *given(tiny.batch))
    tiny.detail(0, *given(tiny.batch, seed=2))
    np.testing.assert_array_equal(tiny.detail(3, *given(tiny.batch)), first)
    np.testing.assert_array_equal(load_mini(path, threads=1).detail(3, *given(tiny.batch)), first)


def test_detail_follows_parent_noise_and_scale(tiny: MiniDenoiser) -> None:
    parent, noise, grain = given(tiny.batch)
    base = tiny.detail(3, parent, noise, grain)
    for other in (
        tiny.detail(2, parent, noise, grain),
        tiny.detail(3, 255 - parent, noise, grain),
        tiny.detail(3, parent, -noise, grain),
        tiny.detail(3, parent, noise, -grain),
    ):
        assert float(np.abs(other - base).max()) > 1e-4


def test_the_fingerprint(tiny: MiniDenoiser, path: Path, tmp_path: Path) -> None:
    assert len(tiny.fingerprint) == 64 and int(tiny.fingerprint, 16) >= 0
    assert load_mini(path, threads=1).fingerprint == tiny.fingerprint
    prints = {tiny.fingerprint}
    for sampler in (Sampler(strength=0.03), Sampler(times=Sampler.falling(3))):
        prints.add(load_mini(path, threads=1, sampler=sampler).fingerprint)
    weights = tiny_weights()
    weights.tensors["scale.weight"][11, 0] += 0.5  # the probe does not look at this scale
    save_weights(tmp_path / "w.safetensors", weights)
    prints.add(load_mini(tmp_path / "w.safetensors", threads=1).fingerprint)
    save_weights(tmp_path / "d.safetensors", replace(tiny_weights(), deviation=tiny_weights().deviation * 1.1))
    prints.add(load_mini(tmp_path / "d.safetensors", threads=1).fingerprint)
    contrast = ContrastModel(np.zeros((12, 3, FEATURES), np.float32))
    save_weights(tmp_path / "c.safetensors", replace(tiny_weights(), contrast=contrast))
    prints.add(load_mini(tmp_path / "c.safetensors", threads=1).fingerprint)
    assert len(prints) == 6


def test_farther_below_a_picture_its_contrast_is_another(tmp_path: Path) -> None:
    """Right below the picture nothing changes, and below a sketch nothing ever does."""
    models = []
    for name, share in (("plain", 0.0), ("more", 1.0)):
        contrast = ContrastModel(np.full((12, 3, FEATURES), 0.25, np.float32), np.full((12, DEPTHS), share, np.float32))
        save_weights(tmp_path / name, replace(tiny_weights(), contrast=contrast))
        models.append(load_mini(tmp_path / name, threads=1))
    right_below, farther = ([painter(model).tile(tile) for model in models] for tile in (RIGHT_BELOW, FARTHER))
    np.testing.assert_array_equal(right_below[0], right_below[1])
    fine = [float(np.square(details(tile.astype(np.float32))).mean()) for tile in farther]
    assert fine[1] > 1.05 * fine[0]
    sketched = [Painter(SLIDE, model, MemoryTiles()).tile(TileIndex(6, 0, 0)) for model in models]
    np.testing.assert_array_equal(sketched[0], sketched[1])


def test_tiles_do_not_depend_on_other_tiles(tiny: MiniDenoiser) -> None:
    tiles = [TileIndex(1, 1, 1), TileIndex(0, 3, 2), TileIndex(0, 4, 2)]
    alone = {tile: painter(tiny).tile(tile) for tile in tiles}
    one = painter(tiny)
    one.tile(TileIndex(0, 6, 6))
    for tile in reversed(tiles):
        np.testing.assert_array_equal(one.tile(tile), alone[tile])


def test_children_average_to_their_parent(tiny: MiniDenoiser) -> None:
    one = painter(tiny)
    np.testing.assert_array_equal(box_mean(quad(one, TileIndex(1, 1, 1))), one.tile(TileIndex(1, 1, 1)))
    np.testing.assert_array_equal(box_mean(quad(one, TileIndex(2, 0, 0))), tissue(512, 512)[:256, :256])


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        load_mini(tmp_path / "none.safetensors")


def test_shipped_one_window_twice(shipped: MiniDenoiser) -> None:
    window = given(shipped.batch)
    first = shipped.detail(0, *window)
    np.testing.assert_array_equal(shipped.detail(0, *window), first)
    assert 0.5 < float(first.std()) < 60, "detail in grey levels"


@pytest.mark.parametrize("s", [0, 4])
def test_shipped_agrees_with_its_parent_before_the_exact_step(shipped: MiniDenoiser, s: int) -> None:
    assert agreement_db(shipped, tissue(160, 160), s) >= 30


def test_shipped_paints_nothing_on_glass(shipped: MiniDenoiser) -> None:
    _, noise, grain = given(shipped.batch)
    glass = np.full((shipped.batch, 160, 160, 3), 243, np.uint8)
    bands = shipped.detail(0, glass, noise, grain)
    assert float(bands.std()) < 0.35 * float(shipped.detail(0, *given(shipped.batch)).std())


def test_shipped_weights_are_small_and_fit(shipped: MiniDenoiser) -> None:
    assert SHIPPED_WEIGHTS.stat().st_size <= 64 * 2**20
    assert shipped.batch == (8 if torch.cuda.is_available() else 1)

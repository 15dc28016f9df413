"""Chains of real places: each octave shows what its offset says, whichever way it is turned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from everslide.model.errors import DataError
from everslide.model.mini.patch_encoder import EncoderConfig, PatchEncoder
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.training import places as module
from everslide.model.training.places import (
    CROP_PX,
    PARENT_PX,
    RIM_PX,
    ZOOMS,
    Batch,
    Batches,
    Chain,
    Tissue,
    turned,
)
from everslide.model.training.prepare import prepare
from tests.model.pictures import GLASS, section, tissue, write_images

Pixels = NDArray[np.uint8]
SIDE = 2048


def coordinates() -> Pixels:
    """(SIDE, SIDE, 3): red is the column and green the row, an eighth of it; blue is even. All of it is dark."""
    y, x = np.mgrid[:SIDE, :SIDE] * (240 / SIDE)
    return np.stack([x, y, np.full_like(x, 90)], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("maps")
    prepare(write_images(base / "images", {"map.png": (coordinates(), 0.5)}), base / "out", [])
    return base / "out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training image of 20x, one of 2.5x, and a small validation image."""
    base = tmp_path_factory.mktemp("places")
    fields = {
        "fine.png": (tissue(640, 700, 1), 0.5),
        "far.png": (tissue(400, 400, 2), 4.0),
        "small.png": (tissue(160, 180, 3), 0.5),
    }
    prepare(write_images(base / "images", fields), base / "out", [], ["small*"])
    return base / "out"


@pytest.fixture(scope="module")
def encoder() -> PatchEncoder:
    torch.manual_seed(0)
    return PatchEncoder(EncoderConfig((4, 6), 64)).eval()


def orientation(real: Pixels) -> tuple[float, ...]:
    """Signs of the slopes of red and green down and across: another one for each of the eight ways to turn it."""
    values = real.astype(float)
    down, across = values[-1].mean(0) - values[0].mean(0), values[:, -1].mean(0) - values[:, 0].mean(0)
    return tuple(float(v) for v in np.sign(np.round(np.concatenate([down[:2], across[:2]]) / 4)))


def chains(tissue_of: Tissue, s: int, length: int, *, vary: bool) -> Iterator[Chain]:
    for seed in itertools.count():
        yield tissue_of.chain(s, length, np.random.default_rng(seed), vary=vary)


def test_every_octave_shows_the_place_that_its_offset_says_in_all_eight_orientations(maps: Path) -> None:
    """The box mean of a real child is the square at the offset in the real child above it, to the last bit."""
    seen: set[tuple[float, ...]] = set()
    for chain in itertools.islice(chains(Tissue(maps, "train"), 0, 4, vary=False), 200):
        assert chain.s == (3, 2, 1, 0)
        assert [real.shape for real in chain.reals] == [(CROP_PX, CROP_PX, 3)] * 4
        for octave in range(3):
            y, x = chain.offsets[octave]
            square = chain.reals[octave][y : y + PARENT_PX, x : x + PARENT_PX]
            np.testing.assert_array_equal(box_mean(chain.reals[octave + 1]), square)
        seen |= {orientation(chain.reals[0])}
        assert len({orientation(real) for real in chain.reals[:2]}) == 1, "all octaves are turned alike"
        if len(seen) == 8:
            break
    assert len(seen) == 8


def test_offsets_leave_the_rim(maps: Path) -> None:
    found = np.concatenate(
        [chain.offsets for chain in itertools.islice(chains(Tissue(maps, "train"), 0, 3, vary=True), 150)]
    )
    assert found.min() == RIM_PX and found.max() == CROP_PX - PARENT_PX - RIM_PX


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turning_carries_a_square_along(quarters: int, mirrored: bool) -> None:
    crop = np.arange(CROP_PX * CROP_PX).reshape(CROP_PX, CROP_PX)
    y, x = 17, 40
    square = turned(crop[y : y + PARENT_PX, x : x + PARENT_PX], quarters, mirrored)  # type: ignore[arg-type]
    after_y, after_x = module._turned_offset((y, x), quarters, mirrored)
    whole = turned(crop, quarters, mirrored)  # type: ignore[arg-type]
    np.testing.assert_array_equal(whole[after_y : after_y + PARENT_PX, after_x : after_x + PARENT_PX], square)
    assert whole.flags.c_contiguous


def test_a_zoomed_chain_shows_one_place_too(maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other pixels, the same places: octave by octave, and as much finer or coarser as it was zoomed."""
    monkeypatch.setattr(module, "ZOOM_SHARE", 1.0)
    monkeypatch.setattr(module, "STAIN_SHARE", 0.0)
    zooms = []
    for chain in itertools.islice(chains(Tissue(maps, "train"), 1, 3, vary=True), 40):
        for octave in range(2):
            y, x = chain.offsets[octave]
            square = chain.reals[octave][y : y + PARENT_PX, x : x + PARENT_PX].astype(int)
            apart = np.abs(box_mean(chain.reals[octave + 1]).astype(int) - square)
            step = 2.0 ** chain.s[octave] * 240 / SIDE  # of colour, between two pixels of that plane
            assert apart.max() <= 0.6 * step + 1.5, "less than a pixel beside it"
        zooms.append(slope(chain.reals[0]) / 8)
    assert ZOOMS[0] - 0.03 < min(zooms) < 0.95 and 1.1 < max(zooms) < ZOOMS[1] + 0.03


def test_the_finest_pixels_of_an_image_are_not_enlarged(maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ZOOM_SHARE", 1.0)
    monkeypatch.setattr(module, "STAIN_SHARE", 0.0)
    found = itertools.islice(chains(Tissue(maps, "train"), 0, 4, vary=True), 40)
    zooms = [slope(chain.reals[0]) / 8 for chain in found]
    assert 0.99 < min(zooms) < 1.01 and 1.1 < max(zooms) < ZOOMS[1] + 0.03


def test_a_zoomed_place_is_as_sharp_as_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the network would learn to blur."""
    rng = np.random.default_rng(4)
    blobs = gaussian_filter(rng.normal(0, 1, (2048, 2048)), 0.7)
    grain = np.repeat((110 + 40 * blobs / blobs.std()).clip(0, 220)[..., None], 3, axis=2).astype(np.uint8)
    prepare(write_images(tmp_path / "images", {"grain.png": (grain, 0.5)}), tmp_path / "out", [])
    found = Tissue(tmp_path / "out", "train")
    monkeypatch.setattr(module, "STAIN_SHARE", 0.0)
    strengths = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(module, "ZOOM_SHARE", share)
        reals = [chain.reals[-1] for chain in itertools.islice(chains(found, 1, 2, vary=True), 20)]
        strengths.append(np.mean([np.abs(np.diff(real[..., 0].astype(float), axis=1)).mean() for real in reals]))
    assert strengths[1] == pytest.approx(strengths[0], rel=0.1)


def slope(real: Pixels) -> float:
    """Pixels of plane 0 that one of a crop of `coordinates` covers, by its colours."""
    low, high = slice(8, 28), slice(100, 120)
    down = real[high].mean((0, 1)) - real[low].mean((0, 1))
    across = real[:, high].mean((0, 1)) - real[:, low].mean((0, 1))
    return float(np.abs(np.stack([down, across]))[:, :2].max()) / (92 * 240 / SIDE)


def test_without_variation_nothing_is_zoomed_or_restained(maps: Path) -> None:
    for chain in itertools.islice(chains(Tissue(maps, "train"), 0, 3, vary=False), 10):
        assert {int(v) for real in chain.reals for v in np.unique(real[..., 2])} == {90}
        assert slope(chain.reals[0]) == pytest.approx(4, abs=0.2), "a pixel of plane 2"


def test_all_octaves_of_a_chain_are_stained_alike(maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ZOOM_SHARE", 0.0)
    monkeypatch.setattr(module, "STAIN_SHARE", 1.0)
    stains = []
    for chain in itertools.islice(chains(Tissue(maps, "train"), 0, 3, vary=True), 8):
        for octave in range(2):
            y, x = chain.offsets[octave]
            square = chain.reals[octave][y : y + PARENT_PX, x : x + PARENT_PX].astype(int)
            assert np.abs(box_mean(chain.reals[octave + 1]).astype(int) - square).max() <= 2
        stains.append(round(float(chain.reals[0][..., 2].mean())))
    assert len(set(stains)) > 4


def shares(tissue_of: Tissue, s: int = 0, count: int = 200) -> tuple[float, set[bytes]]:
    """How many chains are shown a reference, and which ones there are."""
    told = [chain.condition[:64] for chain in itertools.islice(chains(tissue_of, s, 1, vary=True), count)]
    assert all(reference.shape == (64,) and reference.dtype == np.float32 for reference in told)
    known = [reference for reference in told if reference.any()]
    return len(known) / count, {reference.tobytes() for reference in known}


def test_a_known_reference_is_dropped_now_and_then(
    folder: Path, encoder: PatchEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STAIN_SHARE", 0.0)
    share, known = shares(Tissue(folder, "train", encoder))
    assert share == pytest.approx(1 - module.DROPPED_SHARE, abs=0.1) and len(known) == 1
    monkeypatch.setattr(module, "DROPPED_SHARE", 0.0)
    assert shares(Tissue(folder, "train", encoder), count=20)[0] == 1
    assert shares(Tissue(folder, "train"), count=20)[0] == 0, "without an encoder none is known"


def test_each_stain_of_an_image_has_a_reference_of_its_own(
    folder: Path, encoder: PatchEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STAIN_SHARE", 1.0)
    share, known = shares(Tissue(folder, "train", encoder))
    assert share == pytest.approx(1 - module.DROPPED_SHARE, abs=0.1) and len(known) == module.STAINS
    assert shares(Tissue(folder, "train", encoder))[1] == known, "the same each time"
    monkeypatch.setattr(module, "STAIN_SHARE", 0.0)
    assert not shares(Tissue(folder, "train", encoder))[1] & known, "that of the image as it is is another one"
    monkeypatch.setattr(module, "STAIN_SHARE", 1.0)
    assert shares(Tissue(folder, "train"), count=20)[0] == 0, "without an encoder none is known"


def test_an_image_that_was_never_seen_at_20x_has_no_reference(folder: Path, encoder: PatchEncoder) -> None:
    assert shares(Tissue(folder, "train", encoder), s=3, count=20)[0] == 0


def test_an_image_of_glass_has_no_reference(tmp_path: Path, encoder: PatchEncoder) -> None:
    glass = np.full((300, 300, 3), GLASS, np.uint8)
    prepare(write_images(tmp_path / "images", {"glass.png": (glass, 0.5)}), tmp_path / "out", [])
    share, _ = shares(Tissue(tmp_path / "out", "train", encoder), count=20)
    assert share == 0


def test_chains_are_as_long_as_their_image_allows(folder: Path) -> None:
    """The 20x image is 640 px wide: 160 at 5x, 80 at 2.5x, where no crop fits. The 2.5x one is 400 px."""
    found = Tissue(folder, "train")
    assert found.scales == [0, 1, 2, 3, 4]
    assert [found.lengths(s) for s in found.scales] == [[1, 2, 3], [1, 2], [1], [1, 2], [1]]


def test_a_split_has_its_own_images(folder: Path, tmp_path: Path) -> None:
    validation = Tissue(folder, "validation")
    assert validation.scales == [0] and validation.lengths(0) == [1]
    with pytest.raises(DataError, match="no held-out image of at least"):
        Tissue(folder, "held-out")
    with pytest.raises(DataError, match=r"no index\.json"):
        Tissue(tmp_path, "train")


def test_images_too_small_for_a_chain_are_told(tmp_path: Path) -> None:
    prepare(write_images(tmp_path / "images", {"a.png": (tissue(140, 400), 0.5)}), tmp_path / "out", [])
    with pytest.raises(DataError, match=r"no train image of at least .* px; prepare more images"):
        Tissue(tmp_path / "out", "train")


def test_places_lie_mostly_on_tissue(tmp_path: Path) -> None:
    """A section that covers a seventh of its slide fills most of what is shown."""
    prepare(write_images(tmp_path / "images", {"a.png": (section(1200, 260), 0.5)}), tmp_path / "out", [])
    tissue_of, rng = Tissue(tmp_path / "out", "train"), np.random.default_rng(1)
    shown = np.stack([tissue_of.chain(0, 1, rng, vary=False).reals[0] for _ in range(80)])
    assert (shown.astype(int).mean(-1) < 232).mean() > 0.35


def test_batches(folder: Path, encoder: PatchEncoder) -> None:
    tissue_of, rng = Tissue(folder, "train", encoder), np.random.default_rng(1)
    lengths = set()
    for _ in range(40):
        batch = tissue_of.batch(3, rng)
        octaves = len(batch.s)
        lengths.add(octaves)
        assert batch.s.shape == (octaves, 3) and batch.s.dtype == torch.int64
        assert batch.offsets.shape == (octaves, 3, 2)
        assert batch.reals.shape == (octaves, 3, 3, CROP_PX, CROP_PX) and batch.reals.dtype == torch.uint8
        assert batch.condition.shape == (3, 64 + len(tissue_of.organs) + 1)
        assert bool((batch.s[:-1] - batch.s[1:] == 1).all()), "octave below octave"
        placed = batch.to(torch.device("cpu"))
        assert placed.reals.dtype == torch.float32 and float(placed.reals.max()) > 1
    assert lengths == {1, 2, 3}


def test_a_batch_keeps_its_chains_in_order() -> None:
    def chain(k: int) -> Chain:
        reals = tuple(np.full((CROP_PX, CROP_PX, 3), (10 * k + o, 50, 100), np.uint8) for o in range(2))
        return Chain((2, 1), ((k, 20), (30, k)), reals, np.full(64, k, np.float32))

    batch = Batch.of([chain(k) for k in range(3)])
    assert batch.s.tolist() == [[2, 2, 2], [1, 1, 1]]
    assert batch.offsets.tolist() == [[[0, 20], [1, 20], [2, 20]], [[30, 0], [30, 1], [30, 2]]]
    assert batch.reals[:, :, :, 5, 7].tolist() == [[[10 * k + o, 50, 100] for k in range(3)] for o in range(2)]
    assert batch.condition[:, 0].tolist() == [0, 1, 2]


def test_batches_follow_from_their_seed(folder: Path) -> None:
    tissue_of = Tissue(folder, "train")

    def some(*seed: int) -> list[bytes]:
        found = itertools.islice(iter(Batches(tissue_of, 2, seed)), 3)
        return [batch.reals.numpy().tobytes() for batch in found]

    assert some(0, 5, 0) == some(0, 5, 0)
    assert len({tuple(some(*seed)) for seed in ((0, 5, 0), (1, 5, 0), (0, 6, 0), (0, 5, 1))}) == 4


def test_spots_and_squares(folder: Path) -> None:
    tissue_of, rng = Tissue(folder, "train"), np.random.default_rng(2)
    assert tissue_of.spot(1, 176, rng).shape == (176, 176, 3)
    with pytest.raises(DataError, match="no image shows 2000 px or more of scale 0"):
        tissue_of.spot(0, 2000, rng)
    found = tissue_of.square(0, 2, 512, rng)
    assert found is not None
    parent, real = found
    assert parent.shape == (128, 128, 3)
    np.testing.assert_array_equal(box_mean(box_mean(real)), parent)
    assert tissue_of.square(0, 2, 1024, rng) is None, "none is so large"
    assert tissue_of.square(0, 5, 512, rng) is None, "none goes so far"

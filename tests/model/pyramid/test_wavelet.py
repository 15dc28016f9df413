"""The Haar transform, and exact agreement of a child with its parent in integers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from everslide.model.pyramid.wavelet import box_mean, children_of, details, merge

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def block(a: float, b: float, c: float, d: float) -> Floats:
    """One 2x2 block of one channel."""
    return np.array([[a, b], [c, d]], np.float32)[..., None]


def pixels(rng: np.random.Generator, *shape: int) -> Pixels:
    return rng.integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ((0, 0, 0, 1), 0), ((0, 0, 1, 1), 1), ((0, 1, 1, 1), 1), ((1, 1, 2, 2), 2), ((1, 1, 1, 2), 1),
        ((255, 255, 255, 254), 255), ((255, 255, 254, 254), 255), ((255, 254, 254, 254), 254), ((0, 255, 0, 255), 128),
    ],
)  # fmt: skip
def test_box_mean_rounds_half_up(values: tuple[int, int, int, int], mean: int) -> None:
    assert box_mean(block(*values).astype(np.uint8)).tolist() == [[[mean]]]


def test_box_mean_keeps_places_and_channels_apart() -> None:
    child = np.zeros((4, 6, 3), np.uint8)
    child[2:4, 4:6, 1] = 200
    expected = np.zeros((2, 3, 3), np.uint8)
    expected[1, 2, 1] = 200
    np.testing.assert_array_equal(box_mean(child), expected)


def test_bands_of_one_block() -> None:
    assert details(block(10, 2, 4, 0))[0, 0, :, 0].tolist() == [3, 2, 1]
    mean, bands = np.full((1, 1, 1), 4, np.float32), np.array([3, 2, 1], np.float32).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(merge(mean, bands), block(10, 2, 4, 0))


def test_merge_undoes_mean_and_details() -> None:
    child = pixels(np.random.default_rng(1), 12, 8, 3).astype(np.float32)
    mean = child.reshape(6, 2, 4, 2, 3).mean((1, 3)).astype(np.float32)
    np.testing.assert_array_equal(merge(mean, details(child)), child)  # quarters are exact in float32


def test_details_undo_merge() -> None:
    rng = np.random.default_rng(2)
    mean = pixels(rng, 5, 7, 3).astype(np.float32)
    bands = rng.integers(-40, 40, (5, 7, 3, 3)).astype(np.float32)
    child = merge(mean, bands)
    assert child.shape == (10, 14, 3) and child.dtype == np.float32
    np.testing.assert_array_equal(details(child), bands)


@pytest.mark.parametrize("spread", [0.0, 0.4, 3.0, 30.0, 300.0, 1e9, 1e30])
@pytest.mark.parametrize("kind", ["random", "black", "white", "nearly black", "nearly white", "extremes"])
def test_enforcing_gives_exactly_the_parent(kind: str, spread: float) -> None:
    rng = np.random.default_rng(3)
    parent = {
        "random": pixels(rng, 32, 24, 3),
        "black": np.zeros((32, 24, 3), np.uint8),
        "white": np.full((32, 24, 3), 255, np.uint8),
        "nearly black": rng.integers(0, 4, (32, 24, 3)).astype(np.uint8),
        "nearly white": rng.integers(252, 256, (32, 24, 3)).astype(np.uint8),
        "extremes": (255 * rng.integers(0, 2, (32, 24, 3))).astype(np.uint8),
    }[kind]
    bands = (spread * rng.standard_normal((32, 24, 3, 3))).astype(np.float32)
    child = children_of(parent, bands)
    assert child.shape == (64, 48, 3) and child.dtype == np.uint8 and child.flags.c_contiguous
    np.testing.assert_array_equal(box_mean(child), parent)


@pytest.mark.parametrize(("low", "high", "spread"), [(60, 240, 12.0), (0, 256, 60.0), (243, 245, 2.0), (0, 3, 300.0)])
def test_enforcing_goes_block_by_block_as_written(low: int, high: int, spread: float) -> None:
    """The rule in plain Python, block by block, against what is done for all at once."""
    rng = np.random.default_rng(9)
    parent = rng.integers(low, high, (12, 9, 3)).astype(np.uint8)
    bands = (spread * rng.standard_normal((12, 9, 3, 3))).astype(np.float32)
    child, got = merge(parent.astype(np.float32), bands), children_of(parent, bands)
    for y, x, c in np.ndindex(parent.shape):
        wanted = child[2 * y : 2 * y + 2, 2 * x : 2 * x + 2, c].ravel()
        block = got[2 * y : 2 * y + 2, 2 * x : 2 * x + 2, c].ravel()
        assert block.tolist() == enforced_block(wanted, int(parent[y, x, c]))


@pytest.mark.parametrize("spread", [0.4, 8.0, 300.0])
def test_nothing_is_brighter_than_glass(spread: float) -> None:
    rng = np.random.default_rng(4)
    glass = np.array([242, 241, 243], np.uint8)
    parent = np.minimum(rng.integers(200, 250, (32, 24, 3)).astype(np.uint8), glass)
    bands = (spread * rng.standard_normal((32, 24, 3, 3))).astype(np.float32)
    child = children_of(parent, bands, glass)
    np.testing.assert_array_equal(box_mean(child), parent)
    assert (child <= glass).all() and (child == glass).any((0, 1)).all()
    free = children_of(parent, bands)
    inside = (merge(parent.astype(np.float32), bands) <= glass).reshape(32, 2, 24, 2, 3).all((1, 3))
    same = (child == free).reshape(32, 2, 24, 2, 3).all((1, 3))
    assert same[inside].all(), "blocks that stay below it are left as they are"


def test_glass_stays_even_below_any_detail() -> None:
    rng = np.random.default_rng(4)
    bands = (30 * rng.standard_normal((32, 24, 3, 3))).astype(np.float32)
    for bright in (242, 245):  # glass, and what lies beside a sketch and is brighter still
        child = children_of(np.full((32, 24, 3), bright, np.uint8), bands, 242)
        assert (child == bright).all()


def enforced_block(wanted: NDArray[np.float32], parent: int) -> list[int]:
    mean, one = np.float32(parent), np.float32(1)
    deviation = wanted - mean
    up, down = max(deviation.max(), np.float32(1e-6)), max(-deviation.min(), np.float32(1e-6))
    fitted = mean + deviation * min(one, (np.float32(255) - mean) / up, mean / down)
    out = [int(v) for v in np.floor(fitted + np.float32(0.5)).clip(0, 255)]
    while not 4 * parent - 2 <= sum(out) <= 4 * parent + 1:
        step = 1 if sum(out) < 4 * parent - 2 else -1
        free = [i for i in range(4) if 0 <= out[i] + step <= 255]
        out[max(free, key=lambda i: ((fitted[i] - np.float32(out[i])) * step, -i))] += step
    return out


def test_enforcing_leaves_what_already_agrees() -> None:
    """A child whose means are whole numbers comes back from its own bands, to the grey level."""
    rng = np.random.default_rng(5)
    parent = rng.integers(90, 160, (16, 16, 3)).astype(np.uint8)
    bands = rng.integers(-28, 29, (16, 16, 3, 3)).astype(np.float32)
    child = merge(parent.astype(np.float32), bands)
    np.testing.assert_array_equal(children_of(parent, bands), child.astype(np.uint8))


def test_enforcing_is_the_nearest_possible_child() -> None:
    """Against all children of a block within two grey levels of the wanted one."""
    rng = np.random.default_rng(6)
    for _ in range(150):
        parent = int(rng.integers(40, 216))
        deviation = rng.uniform(-20, 20, 4)
        wanted = (parent + deviation - deviation.mean()).astype(np.float32)
        near = [[int(np.floor(w + 0.5)) + step for step in range(-2, 3)] for w in wanted]
        allowed = [x for x in itertools.product(*near) if (sum(x) + 2) // 4 == parent]
        best = min(float(np.square(np.array(x) - wanted).sum()) for x in allowed)
        got = children_of(np.full((1, 1, 1), parent, np.uint8), details(block(*wanted))).ravel()
        assert float(np.square(got - wanted).sum()) == pytest.approx(best, abs=1e-3)


def nudged_share(bands: Floats, parent: Pixels) -> float:
    """Share of values that are not the rounded ones."""
    wanted = merge(parent.astype(np.float32), bands)
    nudge = children_of(parent, bands).astype(int) - np.floor(wanted + 0.5).clip(0, 255).astype(int)
    return float((nudge != 0).mean())


def test_few_values_are_nudged() -> None:
    """Four rounding errors of a half at most cannot move a mean that is right; ties and saturation can."""
    rng = np.random.default_rng(7)
    parent = rng.integers(60, 200, (64, 64, 3)).astype(np.uint8)
    fine = (8 * rng.standard_normal((64, 64, 3, 3))).astype(np.float32)
    assert nudged_share(fine, parent) == 0
    halves = (np.floor(fine * 4) / 4).astype(np.float32)
    assert 0 < nudged_share(halves, parent) < 0.03
    bright = rng.integers(236, 250, (64, 64, 3)).astype(np.uint8)
    assert 0 < nudged_share(fine, bright) < 0.5


def test_ties_go_to_the_first_child() -> None:
    """Halves are rounded up, all four: a sum of 42 for a mean of 10, which allows 41 at most."""
    got = children_of(np.full((1, 1, 1), 10, np.uint8), details(block(10.5, 10.5, 9.5, 9.5)))
    assert got.ravel().tolist() == [10, 11, 10, 10]
    got = children_of(np.full((1, 1, 1), 0, np.uint8), details(block(0.5, 0.5, -0.5, -0.5)))
    assert box_mean(got).item() == 0, "children at 0 are skipped"

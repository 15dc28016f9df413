"""Noise keyed by place: golden values, overlaps, and independence."""

from __future__ import annotations

import numpy as np
import pytest

from everslide.model.geometry import Rect, WindowIndex
from everslide.model.pyramid.keyed_noise import BLOCK_PX, SEED_FORMAT, normals, raw_bits

FAR = 2**40
FIELD = Rect(0, 0, 128, 128)


def test_golden_values() -> None:
    """Seeds in the wild mean these numbers: raise SEED_FORMAT if they ever have to change."""
    assert SEED_FORMAT == 1
    assert raw_bits(7, "detail", 0, 0, 0, 4).tolist() == [
        0x629F80621946ED78, 0x5756A5C4861BC2D6, 0x8F677D2F89019F7F, 0xD34E601E6ED94770,
    ]  # fmt: skip
    assert raw_bits(2**64 - 1, "grain", 3, -1, FAR, 2).tolist() == [0xE0405175A55C525F, 0xC134BC3D50E1B828]
    drawn = normals(7, "detail", 0, Rect(0, 0, 64, 32), 2)
    first = [1.45829177, -1.28881049, 0.00376745, -0.29173067, 0.70979869, 0.05983661]
    last = [-0.93200564, 0.90915942, -0.34350786, 0.82918864]
    np.testing.assert_allclose(drawn[0, 0, :6], first, atol=2e-7)
    np.testing.assert_allclose(drawn[1, 31, 60:], last, atol=2e-7)


def test_shape_and_type() -> None:
    drawn = normals(1, "detail", 0, Rect(-32, 64, 96, 32), 9)
    assert drawn.shape == (9, 32, 96) and drawn.dtype == np.float32


@pytest.mark.parametrize(("x", "y"), [(0, 0), (-96, -32), (FAR, -FAR), (2**62, 2**62)])
def test_overlapping_rectangles_read_the_same_numbers(x: int, y: int) -> None:
    whole = normals(5, "detail", 2, Rect(x, y, 128, 96), 3)
    part = normals(5, "detail", 2, Rect(x + 32, y + 32, 64, 32), 3)
    np.testing.assert_array_equal(whole[:, 32:64, 32:96], part)


def test_neighbouring_windows_agree_where_they_overlap() -> None:
    left, right = WindowIndex(1, 10, 4).parent_rect, WindowIndex(1, 11, 4).parent_rect
    a, b = normals(3, "grain", 1, left, 3), normals(3, "grain", 1, right, 3)
    np.testing.assert_array_equal(a[:, :, 128:], b[:, :, :32])


@pytest.mark.parametrize(
    ("seed", "stream", "s", "rect"),
    [
        (2, "detail", 0, FIELD),
        (1, "grain", 0, FIELD),
        (1, "detail", 1, FIELD),
        (1, "detail", 0, Rect(128, 0, 128, 128)),
        (1, "detail", 0, Rect(0, 128, 128, 128)),
        (1, "detail", 0, Rect(FAR, 0, 128, 128)),
        (1 + 2**63, "detail", 0, FIELD),
    ],
)
def test_other_keys_give_unrelated_numbers(seed: int, stream: str, s: int, rect: Rect) -> None:
    a, b = normals(1, "detail", 0, FIELD, 4).ravel(), normals(seed, stream, s, rect, 4).ravel()
    assert float((a == b).mean()) < 0.001
    assert abs(float(np.corrcoef(a, b)[0, 1])) < 0.02  # 65536 pairs: five deviations


def test_columns_and_rows_are_not_swapped() -> None:
    a = normals(1, "detail", 0, Rect(64, 0, 32, 32), 1)
    b = normals(1, "detail", 0, Rect(0, 64, 32, 32), 1)
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("x", [0, -(2**20), FAR])
def test_numbers_are_standard_normal(x: int) -> None:
    drawn = normals(9, "detail", 0, Rect(x, 0, 256, 256), 4).astype(np.float64)
    assert abs(drawn.mean()) < 0.01 and abs(drawn.std() - 1) < 0.01
    assert abs((drawn**4).mean() - 3) < 0.1
    assert abs(np.mean(np.abs(drawn) < 0.67448975) - 0.5) < 0.01
    assert float(np.abs(drawn).max()) < 4.5
    for axis in (0, 1, 2):
        assert abs((drawn * np.roll(drawn, 1, axis)).mean()) < 0.01, "neighbours are independent"


def test_a_rectangle_off_the_block_grid_is_refused() -> None:
    for rect in (Rect(1, 0, 32, 32), Rect(0, 0, BLOCK_PX + 1, 32)):
        with pytest.raises(AssertionError):
            normals(1, "detail", 0, rect, 1)

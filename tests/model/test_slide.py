"""What a slide may be."""

from __future__ import annotations

import pytest

from everslide.model.errors import EverslideError, SlideError
from everslide.model.slide import Slide


def test_size_of_every_plane_is_rounded_up() -> None:
    slide = Slide("demo", 1, 1001, 257)
    assert [slide.size_at(s) for s in (0, 1, 2, 8, 12)] == [(1001, 257), (501, 129), (251, 65), (4, 2), (1, 1)]
    assert Slide("demo", 1).size_at(8) == (512, 384)


@pytest.mark.parametrize(
    ("name", "seed", "width", "found"),
    [
        ("Upper", 0, 512, "'Upper'"),
        ("", 0, 512, "''"),
        ("-a", 0, 512, "'-a'"),
        ("a" * 65, 0, 512, "a" * 50),
        ("a", -1, 512, "seed -1"),
        ("a", 2**64, 512, "18446744073709551616"),
        ("a", 0, 255, "width 255"),
        ("a", 0, 2**40 + 1, "1099511627777"),
    ],
)
def test_impossible_values_are_named(name: str, seed: int, width: int, found: str) -> None:
    with pytest.raises(SlideError, match=found) as caught:
        Slide(name, seed, width)
    assert isinstance(caught.value, EverslideError)


def test_extreme_values_are_allowed() -> None:
    assert Slide("a" * 64, 2**64 - 1, 2**40, 256, unbounded=True).size_at(40) == (1, 1)

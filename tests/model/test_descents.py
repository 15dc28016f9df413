"""What was painted below real tissue: kept where the tissue goes on, drawn away from its border, with its place."""

from __future__ import annotations

import numpy as np

from everslide.model.descents import BORDER_PX, KEPT, Descents
from everslide.model.places import CROP_PX, PARENT_PX, Place
from everslide.model.wavelet import box_mean
from tests.model.pictures import tissue

FINEST = tissue(512, 512, 5)
PLANES = {0: FINEST, 1: box_mean(FINEST)}


def place(s: int = 1) -> Place:
    return Place(PLANES, s, 20, 40, quarters=3, mirrored=True)


def test_nothing_painted_nothing_drawn() -> None:
    assert Descents().draw(0, np.random.default_rng(1)) is None


def test_a_parent_lies_away_from_the_border_and_its_children_below_it() -> None:
    descents, rng = Descents(), np.random.default_rng(2)
    painted = place().real()
    descents.keep(painted, place())
    for _ in range(20):
        drawn = descents.draw(0, rng)
        assert drawn is not None and drawn.pixels.shape == (PARENT_PX, PARENT_PX, 3)
        np.testing.assert_array_equal(box_mean(drawn.children.real()), drawn.pixels)
        inner = painted[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
        rows = np.lib.stride_tricks.sliding_window_view(inner, (PARENT_PX, PARENT_PX, 3))[:, :, 0]
        assert (rows == drawn.pixels).all((2, 3, 4)).sum() == 1
    assert descents.draw(1, rng) is None


def test_where_the_image_ends_nothing_is_kept() -> None:
    descents = Descents()
    descents.keep(place(0).real(), place(0))
    assert descents.draw(-1, np.random.default_rng(3)) is None


def test_old_work_makes_room_for_new() -> None:
    descents, rng = Descents(), np.random.default_rng(4)
    for value in range(KEPT + 1):
        descents.keep(np.full((CROP_PX, CROP_PX, 3), value, np.uint8), place())
    drawn = (descents.draw(0, rng) for _ in range(1000))
    values = {int(parent.pixels[0, 0, 0]) for parent in drawn if parent}
    assert 0 not in values and len(values) > KEPT // 2

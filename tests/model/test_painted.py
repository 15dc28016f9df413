"""Painted parents: kept by scale and origin, drawn away from the border of what was painted."""

from __future__ import annotations

import numpy as np

from everslide.model.painted import BORDER_PX, KEPT, PaintedParents
from everslide.model.places import PARENT_PX
from everslide.model.sketch import TOP_SCALE
from tests.model.pictures import tissue


def parents() -> PaintedParents:
    return PaintedParents(np.random.default_rng(1), sketches=1)


def test_nothing_painted_nothing_drawn() -> None:
    assert parents().draw(2, "real", np.random.default_rng(2)) is None


def test_a_child_of_the_sketch_is_drawn_from_it() -> None:
    drawn = parents().draw(TOP_SCALE - 1, "sketch", np.random.default_rng(2))
    assert drawn is not None and drawn.pixels.shape == (PARENT_PX, PARENT_PX, 3)
    assert (drawn.s, drawn.origin) == (TOP_SCALE - 1, "sketch")


def test_what_was_painted_one_scale_up_is_drawn_without_its_border() -> None:
    kept = parents()
    plane = tissue(128, 128, 3)
    plane[:BORDER_PX], plane[-BORDER_PX:], plane[:, :BORDER_PX], plane[:, -BORDER_PX:] = 0, 0, 0, 0
    kept.keep(plane, 3, "real")
    rng = np.random.default_rng(4)
    for _ in range(20):
        drawn = kept.draw(2, "real", rng)
        assert drawn is not None and drawn.pixels.min() > 0
    assert kept.draw(2, "sketch", rng) is None and kept.draw(3, "real", rng) is None


def test_old_work_makes_room_for_new() -> None:
    kept = parents()
    for value in range(KEPT + 1):
        kept.keep(np.full((128, 128, 3), value, np.uint8), 1, "real")
    rng = np.random.default_rng(5)
    values = set()
    for _ in range(600):
        drawn = kept.draw(0, "real", rng)
        assert drawn is not None
        values.add(int(drawn.pixels[0, 0, 0]))
    assert 0 not in values and len(values) > KEPT // 2

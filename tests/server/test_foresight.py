"""What is likely to be asked for next: ahead of a movement, around a view, above it, and where slides open."""

from __future__ import annotations

from everslide.model.slide import Slide
from everslide.server.deepzoom import DeepZoom, TileAddress
from everslide.server.foresight import MOST_AHEAD, STRIPS, Foresight
from everslide.server.viewports import Viewport

DEMO = DeepZoom(Slide("demo", 5), 8)
ENDLESS = DeepZoom(Slide("endless", 6, 2**31, 2**31, unbounded=True), 8)
LEVEL = DEMO.max_level


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def first(foresight: Foresight, count: int) -> list[tuple[int, int, int]]:
    guesses = [guess.address for guess, _ in zip(foresight.guesses(), range(count), strict=False)]
    return [(address.level, address.col, address.row) for address in guesses]


def view(col: int, row: int, cols: int, rows: int) -> Viewport:
    return Viewport(LEVEL, col * 256.0, row * 256.0, cols * 256.0, rows * 256.0)


def test_a_row_of_tiles_goes_on() -> None:
    foresight = Foresight()
    for col in (10, 11):
        foresight.asked("anna", "demo", TileAddress(LEVEL, col, 7))
    assert first(foresight, 3) == [(LEVEL, 12, 7), (LEVEL, 13, 7), (LEVEL, 14, 7)]
    foresight.asked("anna", "demo", TileAddress(LEVEL, 12, 7))
    assert first(foresight, 1) == [(LEVEL, 13, 7)]


def test_a_pan_up_goes_on_upwards() -> None:
    foresight = Foresight()
    for row in (40, 39, 38):
        foresight.asked("anna", "demo", TileAddress(LEVEL, 3, row))
    assert first(foresight, 2) == [(LEVEL, 3, 37), (LEVEL, 3, 36)]


def test_a_viewport_that_moves_has_its_next_columns_painted() -> None:
    foresight = Foresight()
    foresight.looked("anna", "demo", DEMO, view(20, 30, 4, 3))
    assert first(foresight, 1)[0] == (LEVEL, 20, 30), "it stands: what it shows, then around it"
    foresight.looked("anna", "demo", DEMO, view(21, 30, 4, 3))
    assert first(foresight, 6) == [(LEVEL, col, row) for col in (25, 26) for row in (30, 31, 32)]
    foresight.looked("anna", "demo", DEMO, view(21, 30, 4, 3))
    assert first(foresight, 1) == [(LEVEL, 25, 30)], "posted twice, it still goes there"


def test_no_more_is_guessed_ahead_than_a_few_strips() -> None:
    foresight = Foresight()
    for left in (20, 22):
        foresight.looked("anna", "demo", DEMO, view(left, 30, 8, 5))
    ahead = [tile for tile in first(foresight, 200) if tile[1] > 29]
    columns = {col for _, col, _ in ahead}
    assert columns == {30, 31, 32, 33} and len({tile for tile in ahead if 30 <= tile[2] <= 34}) <= MOST_AHEAD
    for col in (5, 6):
        foresight.asked("otto", "demo", TileAddress(LEVEL, col, 0))
    assert len([1 for tile in first(foresight, 40) if tile[2] == 0 and tile[1] > 6][:99]) >= STRIPS


def test_around_a_view_and_above_it() -> None:
    foresight = Foresight()
    foresight.looked("anna", "demo", DEMO, view(20, 30, 2, 1))
    tiles = list(foresight.guesses())
    addresses = [guess.address for guess in tiles]
    assert addresses[:2] == [TileAddress(LEVEL, 20, 30), TileAddress(LEVEL, 21, 30)]
    ring = {TileAddress(LEVEL, col, row) for col in range(19, 23) for row in range(29, 32)}
    above = {TileAddress(LEVEL - 1, col, row) for col in range(9, 12) for row in range(14, 16)}
    assert set(addresses) == ring | above and len(addresses) == len(ring | above)
    assert all(address in ring for address in addresses[: len(ring)])


def test_the_latest_viewer_comes_first() -> None:
    foresight = Foresight()
    for viewer, row in (("anna", 5), ("otto", 9), ("anna", 6)):
        foresight.looked(viewer, "demo", DEMO, view(1, row, 1, 1))
    assert first(foresight, 1) == [(LEVEL, 1, 7)], "ahead of anna, who went down"


def test_tiles_asked_for_long_ago_are_no_part_of_a_movement() -> None:
    clock = Clock()
    foresight = Foresight(clock)
    foresight.asked("anna", "demo", TileAddress(LEVEL, 10, 7))
    clock.now = 60.0
    foresight.asked("anna", "demo", TileAddress(LEVEL, 11, 7))
    assert first(foresight, 1) == [(LEVEL, 11, 7)], "it stands"


def test_a_view_of_hundreds_of_tiles_is_nobodys_screen() -> None:
    foresight = Foresight()
    foresight.looked("anna", "demo", DEMO, view(0, 0, 30, 30))
    assert first(foresight, 1) == []


def test_slides_are_guessed_to_be_opened() -> None:
    foresight = Foresight()
    foresight.begin_with("demo", DEMO)
    foresight.begin_with("endless", ENDLESS)
    guesses = list(foresight.guesses())
    demo = [guess.address for guess in guesses if guess.slide == "demo"]
    assert [address.level for address in demo[:5]] == [DEMO.root_level - 2] + [DEMO.root_level - 1] * 4
    assert len(demo) == 1 + 2 * 2 + 4 * 3 + 8 * 6 and all(DEMO.holds(address) for address in demo)
    endless = [guess.address for guess in guesses if guess.slide == "endless"]
    assert len(endless) == 48 and all(ENDLESS.holds(address) for address in endless)
    middle = ENDLESS.grid(endless[0].level)[0] // 2
    assert min(address.col for address in endless) < middle <= max(address.col for address in endless)


def test_whoever_waits_for_guesses_is_woken_by_more() -> None:
    foresight, calls = Foresight(), []
    foresight.changed = lambda: calls.append(1)
    foresight.asked("anna", "demo", TileAddress(LEVEL, 10, 7))
    foresight.looked("anna", "demo", DEMO, view(1, 1, 1, 1))
    foresight.begin_with("demo", DEMO)
    assert len(calls) == 3

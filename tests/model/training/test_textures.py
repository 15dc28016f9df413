"""Sets of painted and of real textures: only the right set, at each colour, is at no distance."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from everslide.model.training.textures import CELLS, GRIDS, KEPT, Textures, cells

GENERATOR = torch.Generator().manual_seed(3)
SIDE = 8


@dataclass(frozen=True)
class Pictures:
    """KEPT pictures of one colour each, and a map of features: a texture that each cell draws about that colour."""

    pixels: Tensor
    map: Tensor

    @staticmethod
    def drawn(mean: float = 0.0, deviation: float = 1.0, flipped: bool = False) -> Pictures:
        colours = torch.rand((KEPT, 1, 1, 1), generator=GENERATOR) * 10
        chance = mean + deviation * torch.randn((KEPT, 4, 4, 4), generator=GENERATOR)
        chance = chance.repeat_interleave(SIDE // 4, 2).repeat_interleave(SIDE // 4, 3)
        return Pictures((10 - colours if flipped else colours).expand(-1, 3, SIDE, SIDE), colours + chance)


def known(*some: Pictures) -> Textures:
    memory = Textures()
    for one in some:
        memory.keep_real(3, one.pixels, [one.map])
    return memory


def gap(painted: Pictures, memory: Textures | None = None) -> float:
    return (memory or known(Pictures.drawn())).distance(3, painted.pixels, [painted.map]).item()


def test_the_right_set_is_at_no_distance() -> None:
    assert gap(Pictures.drawn()) == pytest.approx(0, abs=0.03)
    for wrong in ((0.6, 1.0), (-0.6, 1.0), (0.0, 0.2), (0.0, 2.5)):
        assert gap(Pictures.drawn(*wrong)) > 0.05, wrong


def test_what_belongs_to_a_colour_must_be_painted_at_that_colour() -> None:
    """Both sets of textures are alike; but each dark place has the texture of a bright one."""
    assert gap(Pictures.drawn(flipped=True)) > 0.5


def test_too_coarse_here_and_blurred_there_is_not_right_in_the_mean() -> None:
    """Whole pictures that have the right mean, of cells that have not."""
    painted = Pictures.drawn()
    uneven = torch.tensor([1.5, -1.5]).repeat_interleave(SIDE // 2)
    assert gap(Pictures(painted.pixels, painted.map + uneven)) > 0.1


@pytest.mark.parametrize(("deviation", "sign"), [(0.3, -1), (3.0, 1)])
def test_a_step_against_the_gradient_makes_the_right_spread(deviation: float, sign: int) -> None:
    """Too narrow a set is spread, too wide a one is narrowed."""
    painted, factor = Pictures.drawn(), torch.tensor(deviation, requires_grad=True)
    mean = painted.pixels[:, :1]
    found = mean + factor * (painted.map - mean)
    known(Pictures.drawn()).distance(3, painted.pixels, [found]).backward()  # type: ignore[no-untyped-call]
    assert factor.grad is not None and sign * factor.grad.item() > 0.02


def test_few_places_teach_nothing_yet_and_scales_are_apart() -> None:
    some, memory = Pictures.drawn(), Textures()
    memory.keep_real(4, some.pixels, [some.map])
    painted = some.map[:4].clone().requires_grad_()
    distance = memory.distance(3, some.pixels[:4], [painted])
    distance.backward()  # type: ignore[no-untyped-call]
    assert distance.item() == 0 and painted.grad is not None, "real places of another scale say nothing"


def test_only_the_last_places_are_remembered() -> None:
    assert gap(Pictures.drawn(), known(Pictures.drawn(50), Pictures.drawn())) == pytest.approx(0, abs=0.03)


def test_cells_are_means_of_their_part_of_the_picture() -> None:
    pixels = torch.arange(2.0 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    maps = [torch.arange(2.0 * 5 * 4 * 4).reshape(2, 5, 4, 4), torch.ones((2, 7, 1, 1))]
    for grid in GRIDS:
        colours, found = cells(pixels, maps, grid)
        count = min(grid * grid, CELLS)
        assert [x.shape for x in (colours, *found)] == [(2, count, c) for c in (3, 5, 7)]
        side = 4 // grid
        parts = maps[0][0].unfold(1, side, side).unfold(2, side, side).mean((3, 4)).flatten(1).T
        assert all(any(torch.allclose(cell, part) for part in parts) for cell in found[0][0])

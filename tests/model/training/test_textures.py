"""Sets of painted and of real textures: only the right set, at each colour, is at no distance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from everslide.model.training.textures import KEPT, NEAR, Textures, textures

GENERATOR = torch.Generator().manual_seed(3)


def places(mean: float, deviation: float, slope: float = 1.0) -> tuple[Tensor, list[Tensor]]:
    """Colours (KEPT, 3), and textures (KEPT, 4): `slope` times the colour, and chance."""
    colours = torch.rand((KEPT, 1), generator=GENERATOR).repeat(1, 3) * 10
    chance = mean + deviation * torch.randn((KEPT, 4), generator=GENERATOR)
    return colours, [slope * colours[:, :1] + chance]


def gap(mean: float, deviation: float, slope: float = 1.0) -> float:
    memory = Textures()
    memory.keep_real(3, *places(0, 1))
    return float(memory.distance(3, *places(mean, deviation, slope)))


def test_the_right_set_is_at_no_distance() -> None:
    assert gap(0, 1) == pytest.approx(0, abs=0.03)
    for wrong in ((0.6, 1.0), (-0.6, 1.0), (0.0, 0.4), (0.0, 2.0)):
        assert gap(*wrong) > 0.06, wrong


def test_what_belongs_to_a_colour_must_be_painted_at_that_colour() -> None:
    """Both sets of textures are alike; but each dark place has the texture of a bright one."""
    memory = Textures()
    colours, real = places(0, 1)
    memory.keep_real(3, colours, real)
    assert float(memory.distance(3, 10 - colours, [real[0]])) > 0.5


def test_a_step_against_the_gradient_makes_the_right_spread() -> None:
    """Too narrow a set is spread, too wide a one is narrowed."""
    for deviation, sign in ((0.3, -1), (3.0, 1)):
        memory = Textures()
        memory.keep_real(3, *places(0, 1))
        colours, found = places(0, 1)
        factor = torch.tensor(deviation, requires_grad=True)
        mean = colours[:, :1]
        memory.distance(3, colours, [mean + factor * (found[0] - mean)]).backward()  # type: ignore[no-untyped-call]
        assert factor.grad is not None and sign * float(factor.grad) > 0.02, deviation


def test_few_places_teach_nothing_yet_and_scales_are_apart() -> None:
    memory = Textures()
    colours, found = places(0, 1)
    memory.keep_real(3, colours[: NEAR - 1], [found[0][: NEAR - 1]])
    painted = found[0][:4].clone().requires_grad_()
    distance = memory.distance(3, colours[:4], [painted])
    assert distance.item() == 0
    distance.backward()  # type: ignore[no-untyped-call]
    memory.keep_real(4, colours, found)
    assert float(memory.distance(3, colours[:4], [found[0][:4]])) == 0, "real places of another scale say nothing"


def test_only_the_last_places_are_remembered() -> None:
    memory = Textures()
    memory.keep_real(3, *places(50, 1))
    memory.keep_real(3, *places(0, 1))
    assert float(memory.distance(3, *places(0, 1))) == pytest.approx(0, abs=0.03)


def test_a_texture_is_the_mean_of_its_map() -> None:
    maps = [torch.arange(8.0).reshape(1, 2, 2, 2), torch.ones((1, 3, 1, 1))]
    assert [x.tolist() for x in textures(maps)] == [[[1.5, 5.5]], [[1, 1, 1]]]

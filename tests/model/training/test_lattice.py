"""Phases: grain has none, a lattice of any period that a network can leave has, and loses it by training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from everslide.model.training.lattice import PERIODS, phases

SIDE = 128


def grain(count: int = 4) -> Tensor:
    """Grey levels of pixels that know nothing of each other."""
    return 180 + 12 * torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


def latticed(period: int, levels: float) -> Tensor:
    """Grain that is so many grey levels darker in one column of each so many pixels of the parent, and paler beside."""
    picture = grain()
    picture[..., :: 2 * period] -= levels
    picture[..., 1 :: 2 * period] += levels
    return picture


def strongest(picture: Tensor) -> float:
    return max(float(x.square().mean().sqrt()) for x in phases(picture))


def test_grain_has_no_lattice() -> None:
    for x in phases(grain()):
        assert x.shape[:1] == (4,) and x.shape[2:] == (1, 1)
        assert float(x.square().mean().sqrt()) == pytest.approx(0.9, abs=0.2)


@pytest.mark.parametrize("period", PERIODS)
def test_a_lattice_fainter_than_the_grain_is_seen(period: int) -> None:
    assert strongest(latticed(period, 6.0)) > 1.5 * strongest(grain())


def blocky() -> Tensor:
    """Grain whose colours, not whose brightness, are those of squares of two pixels, as of a parent's pixels."""
    picture = grain()
    brightness = picture.mean(1, keepdim=True)
    colours = torch.nn.functional.avg_pool2d(picture - brightness, 2)
    return brightness + 2 * torch.nn.functional.interpolate(colours, scale_factor=2)


def test_squares_of_the_parents_colours_are_seen() -> None:
    """Wherever a scan begins, real tissue changes as much between two pixels of the parent as within one."""
    assert strongest(blocky()) > 20 * strongest(grain())
    shifted = blocky()[:, :, 1:, 1:]
    assert strongest(torch.nn.functional.pad(shifted, (0, 1, 0, 1), mode="replicate")) > 20 * strongest(grain())


def test_what_follows_its_gradient_loses_the_lattice() -> None:
    picture = latticed(2, 6.0).requires_grad_()
    optimizer = torch.optim.Adam([picture], lr=0.3)
    before = strongest(picture.detach())
    for _ in range(60):
        optimizer.zero_grad()
        torch.stack([x.square().mean() for x in phases(picture)]).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert strongest(picture.detach()) < 0.6 * before


def test_colours_are_not_rounded_where_all_else_is_computed_in_bfloat16() -> None:
    exact = phases(grain())
    with torch.autocast("cpu", torch.bfloat16):
        found = phases(grain())
    assert all(x.dtype == torch.float32 and torch.equal(x, y) for x, y in zip(found, exact, strict=True))


def test_glass_is_not_blown_up() -> None:
    assert strongest(torch.full((1, 3, SIDE, SIDE), 243.0)) == 0

"""The distance of patches: none between a field and itself, and more for other contrast, colours or structure."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.patches import patch_distance, with_relief


def noise(seed: int) -> Tensor:
    return torch.randn((2, 9, 48, 48), generator=torch.Generator().manual_seed(seed))


def distance(a: Tensor, b: Tensor) -> float:
    return float(patch_distance(a, b, torch.Generator().manual_seed(3)))


def test_a_field_is_no_distance_from_itself() -> None:
    assert distance(noise(1), noise(1)) == 0


def test_places_do_not_matter() -> None:
    turned = noise(1).roll((5, 9), (2, 3))
    assert distance(noise(1), turned) < 0.5 * distance(noise(1), 1.4 * noise(1))


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_contrast_counts(strength: float) -> None:
    assert distance(strength * noise(1), noise(2)) > 2 * distance(noise(1), noise(2))


def test_structure_counts_where_each_pixel_looks_right() -> None:
    smooth = F.avg_pool2d(noise(1), 3, 1, 1)
    smooth = smooth / smooth.std()
    assert distance(smooth, noise(2)) > 2 * distance(noise(1), noise(2))


def test_it_leads_a_field_to_the_right_contrast() -> None:
    scale = torch.tensor(0.4, requires_grad=True)
    patch_distance(scale * noise(1), noise(2)).backward()  # type: ignore[no-untyped-call]
    assert scale.grad is not None and float(scale.grad) < 0


def test_relief_is_what_a_parent_shows_beside_its_neighbourhood() -> None:
    parent = torch.zeros(1, 3, 9, 9)
    parent[0, 0, 4, 4] = 0.25
    relief = with_relief(torch.zeros(1, 9, 9, 9), parent)[:, 9:]
    assert float(relief[0, 0, 4, 4]) == pytest.approx(6 * 0.25 * 24 / 25)
    assert float(relief[0, 0, 0, 8]) == 0 and float(relief[0, 1].abs().max()) == 0
    assert float(with_relief(torch.zeros(1, 9, 9, 9), torch.ones(1, 3, 9, 9)).abs().max()) < 1e-5

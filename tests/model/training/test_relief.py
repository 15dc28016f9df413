"""Relief: what is strange on glass counts as much as what is strange in tissue."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from everslide.model.training.chain import merge
from everslide.model.training.relief import LEAST_CONTRAST, contrast, relief

GLASS, TISSUE = 243.0, 160.0
EDGE = 12
"""Column of the parent at which tissue begins."""


def parent() -> Tensor:
    """Glass beside grainy tissue, (1, 3, 24, 24)."""
    grain = 15 * torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    grain[..., :EDGE] = 0
    out = torch.full((1, 3, 24, 24), GLASS)
    out[..., EDGE:] = TISSUE
    return out + grain


def test_glass_is_even_up_to_the_rim_of_tissue() -> None:
    found = contrast(parent())[0, 0]
    assert found.shape == (24, 24)
    assert float(found[:, :EDGE].max()) == LEAST_CONTRAST
    assert float(found[:, EDGE + 1 :].median()) == pytest.approx(15, rel=0.5)


def test_a_square_on_glass_counts_more_than_the_same_in_tissue() -> None:
    bands = torch.zeros(1, 3, 3, 24, 24)
    bands[..., 5, 5] = bands[..., 5, 18] = 4.0
    found = relief(merge(parent(), bands)).abs().amax(1)[0]
    assert float(found[5, 5]) == pytest.approx(4.0) and float(found[5, 18]) < 1.5
    assert float(found[:, :EDGE].sum()) == pytest.approx(4.0), "the parent's own edge is no detail"


def test_its_gradient_mends_the_square_and_not_the_contrast() -> None:
    bands = torch.zeros(1, 3, 3, 24, 24)
    bands[..., 5, 5] = 4.0
    child = merge(parent(), bands).requires_grad_()
    relief(child).abs().sum().backward()  # type: ignore[no-untyped-call]
    assert child.grad is not None
    pooled = torch.nn.functional.avg_pool2d(child.grad, 2)
    assert float(pooled.abs().max()) < 1e-5, "the mean of no block is moved"

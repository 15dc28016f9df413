"""The energy score tells a painter of the right distribution from others."""

from __future__ import annotations

import pytest
import torch

from everslide.model.score import energy_score


def drawn(seed: int, deviation: float = 1.0, mean: float = 0.0) -> torch.Tensor:
    """Independent normal bands (24, 9, 32, 32)."""
    return mean + deviation * torch.randn((24, 9, 32, 32), generator=torch.Generator().manual_seed(seed))


def test_the_true_distribution_scores_best() -> None:
    truth = drawn(1)
    best = float(energy_score(drawn(2), drawn(3), truth))
    for deviation, mean in ((0.0, 0.0), (0.6, 0.0), (1.5, 0.0), (1.0, 0.6)):
        assert float(energy_score(drawn(2, deviation, mean), drawn(3, deviation, mean), truth)) > best


def test_detail_that_hangs_together_differs_from_white_noise() -> None:
    def smooth(x: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
        return pooled / pooled.std()

    truth = smooth(drawn(1))
    right = float(energy_score(smooth(drawn(2)), smooth(drawn(3)), truth))
    assert float(energy_score(drawn(2), drawn(3), truth)) > right


def test_a_perfect_forecast_costs_nothing_and_gradients_flow() -> None:
    truth = drawn(5)
    assert float(energy_score(truth, truth, truth)) == pytest.approx(0.005, abs=0.006)
    first = drawn(6).requires_grad_()
    energy_score(first, drawn(7), truth).backward()  # type: ignore[no-untyped-call]
    assert first.grad is not None and bool(torch.isfinite(first.grad).all())

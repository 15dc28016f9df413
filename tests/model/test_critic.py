"""The critic: it learns to tell two kinds of detail apart, scale by scale, with a bounded reach."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from everslide.model.critic import Critic, critic_input, relative_loss, slope_penalty


def small() -> Critic:
    torch.manual_seed(0)
    return Critic((8, 8, 8), scales=4)


def test_it_scores_neighbourhoods_at_two_sizes() -> None:
    scores = small()(torch.zeros(2, 12, 32, 32), torch.tensor([0, 3]))
    assert [tuple(score.shape) for score in scores] == [(2, 16, 16), (2, 8, 8)]


def test_its_reach_is_bounded() -> None:
    seen = torch.randn(1, 12, 64, 64, requires_grad=True)
    small()(seen, torch.tensor([0]))[1][0, 8, 8].backward()
    assert seen.grad is not None
    touched = seen.grad.abs().sum((0, 1)).nonzero()
    extent = touched.max(0).values - touched.min(0).values + 1
    assert extent.tolist() == [26, 26]  # 52 pixels of the child


def test_equal_scores_cost_log_2_and_better_ones_less() -> None:
    zero, one = [torch.zeros(1, 2, 2)], [torch.ones(1, 2, 2)]
    assert float(relative_loss(zero, zero)) == pytest.approx(math.log(2))
    assert float(relative_loss(one, zero)) < math.log(2) < float(relative_loss(zero, one))


def test_the_penalty_is_the_squared_slope() -> None:
    class Linear(nn.Module):
        def forward(self, seen: torch.Tensor, s: torch.Tensor) -> list[torch.Tensor]:
            return [3.0 * seen[:, 0]]

    torch.manual_seed(0)
    seen, s = torch.zeros(4, 12, 64, 64), torch.zeros(4, dtype=torch.int64)
    assert float(slope_penalty(Linear(), seen, s, Linear()(seen, s))) == pytest.approx(9 / 2, rel=0.05)


def test_it_learns_to_tell_rough_from_smooth() -> None:
    critic, s = small(), torch.zeros(4, dtype=torch.int64)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=3e-3)
    parent = torch.zeros(4, 3, 16, 16)

    def loss() -> torch.Tensor:
        rough, smooth = critic_input(torch.randn(4, 9, 16, 16), parent), critic_input(torch.zeros(4, 9, 16, 16), parent)
        return relative_loss(critic(rough, s), critic(smooth, s))

    before = float(loss().detach())
    for _ in range(40):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(loss().detach()) < 0.3 * before

"""The critic: it learns what painted tissue lacks, and tells the painter in which direction to go."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from everslide.model.training.critic import LONE_STEPS, RISING_STEPS, Opponent

CHANNELS = (6, 9)
LN2 = math.log(2)
SCALES = torch.zeros(8, dtype=torch.int64)


def opponent(rate: float = 1e-2) -> Opponent:
    torch.manual_seed(3)
    return Opponent(CHANNELS, rate, torch.device("cpu"))


def maps(strength: float = 1.0) -> list[Tensor]:
    return [strength * torch.randn(8, channels, 9, 9) for channels in CHANNELS]


def taught(strength: float, steps: int = 120) -> Opponent:
    """An opponent of a painter whose textures have so much of their contrast."""
    one = opponent()
    for _ in range(steps):
        one.against(maps(strength), maps(), SCALES)
        one.learn(1.0)
    return one


def test_it_tells_what_lacks_contrast_and_in_which_direction_to_mend_it() -> None:
    one = taught(0.5)
    strength = torch.tensor(0.5, requires_grad=True)
    lost = one.against([strength * x for x in maps()], maps(), SCALES)
    assert float(lost.detach()) > LN2 + 0.2
    lost.backward()  # type: ignore[no-untyped-call]
    assert strength.grad is not None and float(strength.grad) < 0, "more contrast is asked for"


def test_of_equals_it_tells_nothing() -> None:
    lost = taught(1.0).against(maps(), maps(), SCALES)
    assert float(lost) == pytest.approx(LN2, abs=0.05)


def test_a_scale_has_its_own_measure() -> None:
    """What is right at one scale is wrong at another, and it is told so."""
    one, other = opponent(), torch.ones_like(SCALES)
    for _ in range(200):
        one.against(maps(0.5), maps(1.0), SCALES)
        one.against(maps(1.0), maps(0.5), other)
        one.learn(1.0)
    assert float(one.against(maps(0.5), maps(1.0), SCALES)) > LN2 + 0.1
    assert float(one.against(maps(1.0), maps(0.5), other)) > LN2 + 0.1


def test_the_painters_gradient_does_not_reach_the_critic_nor_the_critics_the_painter() -> None:
    one = opponent()
    painted = [x.requires_grad_() for x in maps()]
    one.against(painted, maps(), SCALES).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in one.critic.parameters())
    reached = [None if x.grad is None else x.grad.clone() for x in painted]
    one.learn(1.0)
    for x, before in zip(painted, reached, strict=True):
        assert x.grad is not None and before is not None and torch.equal(x.grad, before)


def test_a_new_one_has_no_word_and_gets_it_step_by_step() -> None:
    one, words = opponent(), []
    for _ in range(LONE_STEPS + RISING_STEPS + 1):
        words.append(one.word)
        one.against(maps(), maps(), SCALES)
        one.learn(1.0)
    assert words[LONE_STEPS] == 0.0 and words[-1] == 1.0
    assert words == sorted(words)


def test_it_goes_on_where_it_was_also_without_its_optimizer() -> None:
    one = taught(0.5, 20)
    pair = (maps(0.5), maps(), SCALES)
    for left_out in ((), ("optimizer",)):
        other = opponent()
        other.resume({name: x for name, x in one.state().items() if name not in left_out})
        assert other.steps == 20 and torch.equal(other.against(*pair), one.against(*pair))


def test_a_gradient_that_is_no_number_leaves_it_as_it_was() -> None:
    one = taught(0.5, 5)
    before = {name: x.clone() for name, x in one.critic.state_dict().items()}
    one.against([x * math.nan for x in maps()], maps(), SCALES)
    one.learn(1.0)
    assert all(torch.equal(x, before[name]) for name, x in one.critic.state_dict().items())

"""The energy score: a proper score, which only the right distribution makes least."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from everslide.model.training.loss import _apart, _pairs, distance, energy_distance, energy_score

GENERATOR = torch.Generator().manual_seed(3)


def normals(mean: float = 0.0, deviation: float = 1.0, channels: int = 2) -> Tensor:
    """A map of features (64, channels, 16, 16)."""
    return mean + deviation * torch.randn((64, channels, 16, 16), generator=GENERATOR)


def expected(first: Tensor, second: Tensor, real: Tensor) -> float:
    """The score on average, and so of a sampler that paints like this."""
    return float(energy_score([first], [second], [real]).mean())


def test_by_hand() -> None:
    """Samples 3 and -1 of a real 0: (3 + 1) / 2 - 4 / 2. Samples 3 and 3: 3. Samples 0 and 0: 0."""

    def score(first: float, second: float) -> float:
        x, x2, y = ([torch.full((1, 1, 2, 2), v)] for v in (first, second, 0.0))
        return float(energy_score(x, x2, y))

    assert score(3, -1) == pytest.approx(0, abs=1e-3)
    assert score(3, 3) == pytest.approx(3, abs=1e-2)
    assert score(0, 0) == pytest.approx(0.005, abs=1e-6), "half of two roots of TINY, less half of one"


def test_the_right_distribution_scores_best() -> None:
    real = normals()
    right = expected(normals(), normals(), real)
    mean = torch.zeros_like(real)
    worse = {
        "the mean": expected(mean, mean, real),
        "shifted": expected(normals(0.5), normals(0.5), real),
        "half as wide": expected(normals(deviation=0.5), normals(deviation=0.5), real),
        "twice as wide": expected(normals(deviation=2.0), normals(deviation=2.0), real),
        "one of its samples again and again": expected(once := normals(), once, real),
    }
    assert all(score > 1.02 * right for score in worse.values()), (right, worse)
    assert worse["the mean"] == pytest.approx(1.41 * right, rel=0.03), "an exact 2 ** 0.5 for the normal distribution"


@pytest.mark.parametrize("variety", [1.0, 1.15])
def test_variety_widens_what_scores_best(variety: float) -> None:
    """Of normal samples of one channel the best variance is variety^2 / (2 - variety^2) of the real one."""
    real, one, other = (normals(channels=1) for _ in range(3))
    best = (variety**2 / (2 - variety**2)) ** 0.5

    def score(deviation: float) -> float:
        return float(energy_score([deviation * one], [deviation * other], [real], None, variety).mean())

    assert min((0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6), key=score) == pytest.approx(best, abs=0.06)


def test_variety_does_not_widen_maps_of_one_place() -> None:
    x, x2, y = ([torch.full((1, 1, 1, 1), v)] for v in (3.0, -1.0, 0.0))
    assert energy_score(x, x2, y, None, 1.5).tolist() == energy_score(x, x2, y).tolist()


def test_the_mean_would_win_without_the_pay_for_variety() -> None:
    """So that the test above tests something: by distances alone blur is best."""
    real, mean = normals(), torch.zeros(64, 2, 16, 16)
    assert float(distance(mean, real).mean()) < float(distance(normals(), real).mean())


def test_what_belongs_together_must_be_painted_together() -> None:
    """Both channels real alike: whoever paints each of them rightly, but apart, scores worse."""
    real = normals(channels=1).repeat(1, 2, 1, 1)
    one, other = (normals(channels=1).repeat(1, 2, 1, 1) for _ in range(2))
    assert expected(normals(), normals(), real) > 1.02 * expected(one, other, real)


def test_too_much_of_one_does_not_pay_for_too_little_of_another() -> None:
    """Half of 48 channels too strong, half too faint, as much variance as there should be in all."""
    widths = torch.tensor([1.2**0.5, 0.8**0.5]).repeat_interleave(24)[None, :, None, None]
    real, one, other = (normals(channels=48) for _ in range(3))

    def together(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().mean(1).sqrt().mean()

    right, wrong = expected(one, other, real), expected(widths * one, widths * other, real)
    assert wrong > 1.001 * right
    blind = [
        (together(w * one, real) + together(w * other, real) - together(w * one, w * other)) / 2 for w in (1, widths)
    ]
    assert blind[1] < 1.0005 * blind[0], "the root mean square alone hardly sees it"


def test_what_depends_on_the_parent_must_be_painted_where_it_is() -> None:
    """Real is what the parent says and a little chance. Whoever paints any parent's children scores worse."""
    parent = normals()
    real, right, other = (of + normals(deviation=0.3) for of in (parent, parent, parent.flip(0)))
    again = parent + normals(deviation=0.3)
    assert expected(other, parent.flip(0) + normals(deviation=0.3), real) > 2 * expected(right, again, real)


def test_maps_count_by_their_shares_whatever_their_size() -> None:
    """A large map and a small one: the mean of their scores, alike by default; and each chain has its own."""

    def maps(value: float) -> list[Tensor]:
        return [torch.full((2, 4, 16, 16), value), torch.zeros((2, 1, 2, 2))]

    first, real = maps(2.0), maps(0.0)
    first[0][1] = 4.0
    scores = energy_score(first, first, real)
    assert scores.shape == (2,)
    assert scores.tolist() == pytest.approx([2 / 2, 4 / 2], abs=0.01)
    assert energy_score(first, first, real, (3.0, 1.0)).tolist() == pytest.approx([2 * 3 / 4, 4 * 3 / 4], abs=0.01)


def test_gradients_are_finite_where_all_are_the_same() -> None:
    first, second = (torch.zeros((1, 3, 4, 4), requires_grad=True) for _ in range(2))
    energy_score([first], [second], [torch.zeros((1, 3, 4, 4))]).sum().backward()  # type: ignore[no-untyped-call]
    assert first.grad is not None and bool(torch.isfinite(first.grad).all())


def test_a_step_against_the_gradient_makes_a_mean_spread() -> None:
    """Two samples that are the mean are pushed to either side of it, not left there."""
    real = normals()
    spread = torch.tensor(0.1, requires_grad=True)
    one, other = normals(), normals()
    energy_score([spread * one], [spread * other], [real]).mean().backward()  # type: ignore[no-untyped-call]
    assert spread.grad is not None and float(spread.grad) < -0.05


def test_the_energy_distance_is_least_for_the_right_set() -> None:
    """Of sets of 256 pictures whose means are drawn from a distribution."""

    def pictures(mean: float, deviation: float) -> list[Tensor]:
        means = mean + deviation * torch.randn((256, 3, 1, 1), generator=GENERATOR)
        return [means + 0.01 * torch.randn((256, 3, 4, 4), generator=GENERATOR)]

    real = pictures(0, 1)
    right = float(energy_distance(pictures(0, 1), real))
    for mean, deviation in ((0.5, 1), (0, 0.2), (0, 2)):
        assert float(energy_distance(pictures(mean, deviation), real)) > right + 0.02


def test_channels_by_themselves_by_hand() -> None:
    """Over all pairs of two: E|x - y| - 1/2 E|x - x'|, less 1/2 E|y - y'| over all, the mean of the channels."""
    x, y = (torch.randn(count, 3, generator=GENERATOR) for count in (5, 7))

    def mean(a: Tensor, b: Tensor) -> Tensor:
        return (a[:, None] - b[None]).abs().mean()

    torch.testing.assert_close(_apart(x, y), mean(x, y) - mean(x, x) / 2 * 5 / 4 - mean(y, y) / 2)


def test_small_distances_are_not_rounded_away_in_bfloat16() -> None:
    a, b = (5 + 0.01 * torch.randn(6, 16, generator=GENERATOR) for _ in range(2))
    exact = _pairs(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(_pairs(a, b), exact)


def test_a_few_places_do_not_ask_for_less_variety() -> None:
    """Of eight painted ones against eight real ones, on average, those as wide as real ones are nearest."""
    x, y = (torch.randn(8, 20_000, generator=GENERATOR) for _ in range(2))
    far = {width: float(_apart(width * x, y)) for width in (0.8, 1.0, 1.2)}
    assert far[1.0] < far[0.8] - 0.004 and far[1.0] < far[1.2] - 0.004, far


def test_what_is_the_same_is_not_pushed_anywhere() -> None:
    """Glass is even, in painted and in real pictures: painted values that were sorted first would all be raised."""
    x = torch.zeros((16, 1), requires_grad=True)
    for _ in range(400):
        (_apart(x, torch.zeros((16, 1))) / 400).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and abs(float(x.grad.sum())) < 0.1, "1 where painted ones come first"


def test_the_energy_distance_knows_what_single_places_look_like() -> None:
    """Of pictures whose means are alike; where in them something lies does not count."""

    def pictures(dots: bool) -> list[Tensor]:
        places = torch.rand((8, 1, 16, 16), generator=GENERATOR) < 0.25
        return [places.float() if dots else torch.full((8, 1, 16, 16), 0.25)]

    real = pictures(dots=True)
    assert float(energy_distance(pictures(dots=False), real)) > float(energy_distance(pictures(dots=True), real)) + 0.1

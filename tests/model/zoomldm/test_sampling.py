"""Samplers, operators and the seam pass on random weights, by what must hold of them without any recorded array."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from everslide.model.zoomldm.checkpoint import random_networks
from everslide.model.zoomldm.inversion import InversionSettings, invert
from everslide.model.zoomldm.resize import OperatorName, Resizer, make_operator
from everslide.model.zoomldm.sampling import Method, states
from everslide.model.zoomldm.seams import SeamSettings, decode_large, seam_pass, slerp
from everslide.model.zoomldm.zoomldm import ZoomLDM
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import TINY, tiny


def start() -> tuple[Tensor, Tensor]:
    """Noise and a condition."""
    torch.manual_seed(4)
    model = tiny(torch.float64)
    return torch.randn(1, 3, 16, 16).double(), model.condition(torch.randn(1, 24, 2, 2).double(), 1)


class Bell(ZoomLDM):
    """Knows the noise exactly, of data that is normal with deviation 0.5: samples can be computed beforehand."""

    deviation = 0.5

    def eps(self, z_t: Tensor, t: Tensor | float, c: Tensor) -> Tensor:
        return z_t * torch.sqrt(1 - self.schedule.alpha_bar[int(t)]) / self._variance(int(t))

    def expected(self, z: Tensor, t: int) -> Tensor:
        """Where the path from z at time t ends: each place keeps its quantile."""
        return z * self.deviation / torch.sqrt(self._variance(t))

    def _variance(self, t: int) -> Tensor:
        alpha_bar = self.schedule.alpha_bar[t]
        return alpha_bar * self.deviation**2 + 1 - alpha_bar


@pytest.fixture(scope="module")
def bell() -> Bell:
    return Bell(TINY, random_networks(TINY, 0), "bell", torch.float64, torch.device("cpu"))


def error(bell: Bell, method: Method, steps: int) -> float:
    """Relative, of a whole path."""
    z, c = start()
    path = list(states(bell, z, c, w=0, steps=steps, method=method))
    expected = bell.expected(z, path[0].t)
    return float((path[-1].z - expected).abs().mean() / expected.abs().mean())


@pytest.mark.parametrize("method", get_args(Method))
def test_samplers_find_what_an_exact_denoiser_must_give(bell: Bell, method: Method) -> None:
    assert error(bell, method, 100) < min(0.05, 0.2 * error(bell, method, 5))


def test_the_second_order_of_dpm_solver_is_worth_more_than_ddim(bell: Bell) -> None:
    assert error(bell, "dpm++", 10) < 0.2 * error(bell, "ddim", 10)


def test_guidance_costs_a_second_call_and_none_costs_one() -> None:
    model = tiny(torch.float64)
    z, c = start()
    for w, calls in ((0.0, 3), (1.0, 6)):
        before = model.calls.denoiser
        list(states(model, z, c, w=w, steps=3))
        assert model.calls.denoiser - before == calls
    guided = model.guided_eps(z, 500, c, 2)
    torch.testing.assert_close(guided, 3 * model.eps(z, 500, c) - 2 * model.eps(z, 500, model.unconditional(1)))


@pytest.mark.parametrize("name", get_args(OperatorName))
@pytest.mark.parametrize("factor", [2, 4])
def test_operators_keep_even_colours_and_undo_their_enlargements(name: OperatorName, factor: int) -> None:
    operator = make_operator(name, factor)
    even = torch.full((1, 3, 32, 32), 0.3, dtype=torch.float64)
    torch.testing.assert_close(operator.down(even), even[:, :, ::factor, ::factor])
    torch.testing.assert_close(operator.up(even)[0, 0, :32, :32], even[0, 0])
    torch.manual_seed(0)
    y = torch.nn.functional.interpolate(torch.randn(1, 3, 4, 4).double(), (32, 32), mode="bicubic")
    again = operator.down(operator.up(y))
    assert again.shape == y.shape
    assert (again - y).abs().mean() < (1e-9 if name == "box" else 0.05)


def test_the_resizer_is_pillows_bicubic_away_from_borders() -> None:
    """Pillow has the same kernel, and other borders."""
    pixels = tissue(64, 64, 3)[..., 0].astype(np.float32)
    pillow = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC))
    found = Resizer(2).down(torch.from_numpy(pixels)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found[4:-4, 4:-4], pillow[4:-4, 4:-4], atol=1e-3)


def test_the_seam_pass_depends_on_no_batch_and_joins_what_patches_do_not() -> None:
    model = tiny()
    torch.manual_seed(1)
    z, c = torch.randn(1, 3, 32, 16), model.unconditional(5)
    noises = torch.randn(7, 1, 3, 32, 16)
    settings = SeamSettings(300, 100, 0.0, 4)
    one, five = (seam_pass(model, z, c, settings, lambda i: noises[i], batch) for batch in (1, 5))
    torch.testing.assert_close(one, five, atol=1e-4, rtol=1e-4)
    other = z.clone()
    other[:, :, :8] += 1
    moved = seam_pass(model, other, c, settings, lambda i: noises[i], 1)
    assert (moved - one)[:, :, 20:].abs().max() > 1e-4, "the lower patch sees the upper one"


def test_a_single_window_is_decoded_as_it_is() -> None:
    torch.manual_seed(2)
    z = torch.randn(1, 3, 16, 16)
    expected = ((tiny().decode(z)[0] + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(decode_large(tiny(), z, 4), expected, atol=1e-5, rtol=1e-5)


def test_interpolation_between_embeddings_keeps_their_length() -> None:
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    torch.testing.assert_close(slerp(0.5, a, b), torch.full((2,), 0.5**0.5))
    torch.testing.assert_close(slerp(0.25, a, a), a)


def test_inversion_lowers_its_loss_and_visits_the_papers_times() -> None:
    assert [InversionSettings().times[i] for i in (0, -1)] == [950, 50]
    torch.manual_seed(6)
    z, noise, u = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16), torch.randn(2, 24, 2, 2)
    same_time = InversionSettings(steps=25, first=500, last=500)
    path = list(invert(tiny(), z, 1, u, lambda _: noise, same_time))
    assert len(path) == 25 and (path[-1].total < path[0].total).all()
    assert (path[-1].similarity > path[0].similarity).all()
    for step in path:
        torch.testing.assert_close(step.total, step.denoising - same_time.similarity * step.similarity)
    alone = list(invert(tiny(), z[1:], 1, u[1:], lambda _: noise[1:], same_time))
    torch.testing.assert_close(path[-1].u[1:], alone[-1].u, atol=2e-3, rtol=1e-3)  # images do not see each other

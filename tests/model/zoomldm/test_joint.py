"""Corrections of joint sampling: S1's gradient is the gradient, and each lessens the error it is made from."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from everslide.model.zoomldm.checkpoint import random_networks
from everslide.model.zoomldm.joint import (
    S1,
    S1_PRINTED,
    S2,
    S2_PRINTED,
    JointSettings,
    Prediction,
    by_decoder,
    by_encoder,
    correct,
)
from everslide.model.zoomldm.resize import Bicubic, Box, Operator
from everslide.model.zoomldm.zoomldm import ZoomLDM
from tests.model.zoomldm.tiny import TINY, tiny


class Mirror(ZoomLDM):
    """An autoencoder whose encoder undoes its decoder, and a denoiser that knows clean latents from noisy ones."""

    def encode(self, image: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(image, 4)

    def decode(self, z: Tensor) -> Tensor:
        return z.repeat_interleave(4, -1).repeat_interleave(4, -2)

    def eps(self, z_t: Tensor, t: Tensor | float, c: Tensor) -> Tensor:
        """Of data that is normal with deviation one: the noise is its share of what is seen."""
        return torch.sqrt(1 - self.schedule.alpha_bar[int(torch.as_tensor(t).flatten()[0]) - 1]) * z_t


@lru_cache
def mirror() -> Mirror:
    return Mirror(TINY, random_networks(TINY, 0), "mirror", torch.float64, torch.device("cpu"))


def guide() -> Tensor:
    torch.manual_seed(3)
    return torch.rand(2, 3, 32, 32).double() * 2 - 1


def error(model: ZoomLDM, z0: Tensor, operator: Operator) -> Tensor:
    """Half the squared distance of each image's coarse version from the guide, (B,)."""
    return (guide() - operator.down(model.decode(z0))).square().sum((1, 2, 3)) / 2


def prediction(model: ZoomLDM, t: int) -> Prediction:
    torch.manual_seed(4)
    z = torch.randn(2, 3, 16, 16).double()
    alpha_bar = model.schedule.alpha_bar[t - 1]
    eps = model.eps(z, t, model.unconditional(2))
    return Prediction(z, eps, (z - torch.sqrt(1 - alpha_bar) * eps) / torch.sqrt(alpha_bar))


@pytest.mark.parametrize("operator", [Bicubic(2), Box(2)], ids=["bicubic", "box"])
def test_s1_follows_the_gradient_through_the_decoder(operator: Operator) -> None:
    """Against torch's own, without recomputation; the decoder quantises, and is gone straight through."""
    model, z0 = tiny(torch.float64), prediction(tiny(torch.float64), 400).z0.detach()
    leaf = z0.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(error(model, leaf, operator).sum(), leaf)
    with torch.inference_mode():
        found = by_decoder(model, z0, guide(), operator, S1_PRINTED)
    torch.testing.assert_close(found, -expected, rtol=1e-9, atol=1e-12)
    finite = by_encoder(model, z0, guide(), operator, S2_PRINTED)
    cosine = torch.nn.functional.cosine_similarity(finite.flatten(1), -expected.flatten(1))
    assert (cosine < 0.9).all(), "what S2 has instead is another direction"


def test_s1_holds_less_than_plain_backpropagation() -> None:
    model, z0 = tiny(torch.float64), prediction(tiny(torch.float64), 400).z0.detach()

    def held(run: bool) -> int:
        sizes: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            if run:
                by_decoder(model, z0, guide(), Box(2), S1_PRINTED)
            else:
                error(model, z0.clone().requires_grad_(True), Box(2))
        return max(sizes) if run else sum(sizes)

    assert not model.autoencoder.decoder.gradient_checkpointing
    assert held(True) < 0.2 * held(False)
    assert not model.autoencoder.decoder.gradient_checkpointing, "left as it was"


@pytest.mark.parametrize("settings", [S1_PRINTED, S1, S2_PRINTED, S2], ids=["s1-printed", "s1", "s2-printed", "s2"])
@pytest.mark.parametrize("t", [100, 400, 800])
@pytest.mark.parametrize("operator", [Bicubic(2), Box(2)], ids=["bicubic", "box"])
def test_each_correction_lessens_the_error(settings: JointSettings, t: int, operator: Operator) -> None:
    """Flip any sign on the way, and it grows."""
    model = mirror()
    now, errors = prediction(model, t), []
    for _ in range(4):
        errors.append(error(model, now.z0, operator))
        now = correct(model, now, t, model.unconditional(2), guide(), operator, replace(settings, lambda_=0.02, w=0.0))
    errors.append(error(model, now.z0, operator))
    for before, after in pairwise(errors):
        assert (after < before).all()


def test_directions_of_bounded_length_stay_so_however_far_the_guide_is() -> None:
    """At the first steps the clean prediction is 85 times the noise: a printed correction has no bound there."""
    model, t = mirror(), 1000
    moved = {}
    for name, settings in {"s1": S1, "s2": S2, "s1-printed": S1_PRINTED, "s2-printed": S2_PRINTED}.items():
        before = prediction(model, t)
        far = replace(before, z0=before.z0 * 85)
        after = correct(model, far, t, model.unconditional(2), guide(), Box(2), replace(settings, w=0.0))
        moved[name] = float((after.z - before.z).abs().max())
    assert moved["s1"] <= S1.lambda_ * 1.001 and moved["s2"] <= S2.lambda_ * 1.001
    assert min(moved["s1-printed"], moved["s2-printed"]) > 3 * S2.lambda_

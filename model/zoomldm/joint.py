"""Joint multi-scale sampling: one step of Algorithms S1 and S2 (Yellapragada et al., 2025, supplement).

Algorithm S1 samples an image whose coarser version is given; S2 samples both at once, each step's guide being the
coarser image as it is predicted at that step. The context never reads the details. Per step, on the clean prediction
z0 = (z - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar):

    S1:  e     = -grad_z0 |y - A Dec(z0)|^2 / 2          by backpropagation through the decoder, y the guide
    S2:  e_img = A^T (y - A Dec(z0))                     what the image lacks
         e     = [Enc(Dec(z0) + zeta e_img) - Enc(Dec(z0))] / zeta      the same in latents, without backpropagation
    both g     = [z0(z + delta e) - z0(z)] / delta       the same carried through the denoiser
         z    <- z + lambda g                            K times, then one DDIM step

The sign is such that the correction reduces the error. In S2, A^T is `Operator.up`, whose scale lambda absorbs.
Printed, neither bounds the length of a correction, which grows with 1 / sqrt(alpha_bar), and S2 diverges; where every
direction is divided by its largest value per image, as in the authors' notebook, both stay finite and come nearer.
The notebook also adds noise of variance beta~ in the DDIM step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from everslide.model.zoomldm.latent_model import LatentModel
from everslide.model.zoomldm.resize import Operator


@dataclass(frozen=True)
class JointSettings:
    """How a joint sample is drawn.

    through: what carries the error of an image into its latents: the decoder's gradient (S1), or a finite difference
    through the encoder (S2). start, stride: times start, start - stride, ... > 0. corrections: K. w: guidance, 0 for
    none, scale 1 + w as usually counted. zeta, delta: steps of the finite differences; lambda_: step of the correction.
    normalise: divide every direction by its largest value per image, as the notebook does. noise: add noise of variance
    beta~ in every step; deduct_noise: and take it out of the deterministic part, as the seam pass has. clamp: the guide
    is limited to [-1, 1].
    """

    start: int = 1000
    stride: int = 20
    corrections: int = 1
    w: float = 2.0
    zeta: float = 0.005
    delta: float = 0.005
    lambda_: float = 0.5
    normalise: bool = False
    noise: bool = False
    deduct_noise: bool = False
    clamp: bool = True
    through: Literal["decoder", "encoder"] = "encoder"

    @property
    def times(self) -> range:
        """Time of each step, 1 .. 1000, falling."""
        return range(self.start, 0, -self.stride)


S1_PRINTED = JointSettings(through="decoder")
"""Algorithm S1 as printed: 50 DDIM steps, K = 1."""
S1 = replace(S1_PRINTED, normalise=True)
"""The same with directions of bounded length."""
S2_PRINTED = JointSettings()
"""Algorithm S2 as printed: it diverges."""
S2 = replace(S2_PRINTED, normalise=True)
"""The same with directions of bounded length."""
NOTEBOOK = JointSettings(stride=50, corrections=10, normalise=True, noise=True)
"""As in the authors' notebook: S2 in 20 steps, K = 10, w = 2."""


@dataclass(frozen=True)
class Prediction:
    """At one time: noisy latents, predicted noise, predicted clean latents; all (B, 3, h, w)."""

    z: Tensor
    eps: Tensor
    z0: Tensor


def predict(model: LatentModel, z: Tensor, t: int, c: Tensor, w: float) -> Prediction:
    """eps and z0 of latents z (B, 3, h, w) at time t (1 .. 1000), given c, with guidance w."""
    alpha_bar = model.schedule.alpha_bar[t - 1]
    eps = model.guided_eps(z, t, c, w)
    return Prediction(z, eps, (z - torch.sqrt(1 - alpha_bar) * eps) / torch.sqrt(alpha_bar))


def with_clean(model: LatentModel, z: Tensor, t: int, z0: Tensor) -> Prediction:
    """The prediction that z at time t is a noised z0: its eps is what then remains."""
    alpha_bar = model.schedule.alpha_bar[t - 1]
    return Prediction(z, (z - torch.sqrt(alpha_bar) * z0) / torch.sqrt(1 - alpha_bar), z0)


def noised(model: LatentModel, z0: Tensor, t: int, noise: Tensor) -> Tensor:
    """z_t = sqrt(alpha_bar) z0 + sqrt(1 - alpha_bar) noise, the latents of time t; noise: standard normals like z0."""
    alpha_bar = model.schedule.alpha_bar[t - 1]
    return torch.sqrt(alpha_bar) * z0 + torch.sqrt(1 - alpha_bar) * noise


def correct(
    model: LatentModel, now: Prediction, t: int, c: Tensor, guide: Tensor, operator: Operator, settings: JointSettings
) -> Prediction:
    """K corrections towards the guide (B, 3, H / factor, W / factor), an image in [-1, 1]."""
    direction = by_decoder if settings.through == "decoder" else by_encoder
    for _ in range(settings.corrections):
        e = _direction(direction(model, now.z0, guide, operator, settings), settings)
        moved = predict(model, now.z + settings.delta * e, t, c, settings.w)
        g = _direction((moved.z0 - now.z0) / settings.delta, settings)
        now = predict(model, now.z + settings.lambda_ * g, t, c, settings.w)
    return now


def by_encoder(model: LatentModel, z0: Tensor, guide: Tensor, operator: Operator, settings: JointSettings) -> Tensor:
    """What clean latents z0 lack, as the encoder sees it (S2): two encodings and no gradient."""
    image = model.decode(z0)
    e_img = _direction(operator.up(guide - operator.down(image)), settings)
    moved_latents = model.encode(image + settings.zeta * e_img)
    return _difference(moved_latents, model.encode(image), settings.zeta, settings)


def by_decoder(model: LatentModel, z0: Tensor, guide: Tensor, operator: Operator, settings: JointSettings) -> Tensor:
    """What clean latents z0 lack: -grad_z0 |y - A Dec(z0)|^2 / 2 (S1), straight through the quantisation.

    Blocks of the decoder are computed again on the way back, so that only their inputs are held.
    """
    decoder = model.autoencoder.decoder
    with torch.inference_mode(False), torch.enable_grad():
        z, y = z0.detach().clone().requires_grad_(True), guide.detach().clone()
        decoder.gradient_checkpointing = True
        decoder._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
        try:
            error = (y - operator.down(model.decode(z))).square().sum() / 2
            (gradient,) = torch.autograd.grad(error, z)
        finally:
            decoder.gradient_checkpointing = False
    return -gradient


def ddim_step(model: LatentModel, now: Prediction, t: int, settings: JointSettings, noise: Tensor | None) -> Tensor:
    """The latents of the next time, t - stride (Song et al., 2021, Eq. 12; sigma^2 = beta~ where noise is given)."""
    schedule = model.schedule
    alpha_bar, alpha_bar_next = schedule.alpha_bar[t - 1], schedule.alpha_bar[max(t - 1 - settings.stride, 0)]
    beta_tilde = schedule.betas[t - 1] * (1 - alpha_bar_next) / (1 - alpha_bar)
    spread = 1 - alpha_bar_next - (beta_tilde if settings.deduct_noise else 0)
    z = torch.sqrt(alpha_bar_next) * now.z0 + torch.sqrt(spread) * now.eps
    return z if noise is None else z + torch.sqrt(beta_tilde) * noise


def limit(guide: Tensor, settings: JointSettings) -> Tensor:
    """The guide of finer images that a context's decoded clean prediction gives: in [-1, 1] where `clamp` is set."""
    return guide.clamp(-1, 1) if settings.clamp else guide


def _difference(moved: Tensor, here: Tensor, step: float, settings: JointSettings) -> Tensor:
    """A directional derivative; where directions are normalised anyway, its step cancels."""
    return moved - here if settings.normalise else (moved - here) / step


def _direction(x: Tensor, settings: JointSettings) -> Tensor:
    largest = x.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)  # zero where nothing lacks
    return x / largest if settings.normalise else x

"""Samplers of single images: DDIM, DPM-Solver++ and PLMS, by diffusers' schedulers, with classifier-free guidance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler
from torch import Tensor

from everslide.model.zoomldm.zoomldm import ZoomLDM

Method = Literal["ddim", "dpm++", "plms"]


@dataclass(frozen=True)
class State:
    """After a step at time t: the latents of the next time, and the clean ones predicted at this one (or None)."""

    t: int
    z: Tensor
    z0: Tensor | None


def make_scheduler(model: ZoomLDM, method: Method) -> Any:
    """diffusers' scheduler with the checkpoint's schedule.

    ddim: Song et al. (2021), Eq. 12, eta = 0. plms: Liu et al. (2022), as in the authors' demonstration notebooks. Both
    with the authors' spacing of time steps. dpm++: Lu et al. (2022), second order, its steps evenly spaced in the
    logarithm of the signal to noise ratio: evenly spaced in time, it was no better than ddim.
    """
    common = {
        "num_train_timesteps": model.config.timesteps,
        "beta_start": model.config.beta_start,
        "beta_end": model.config.beta_end,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }
    if method == "ddim":
        return DDIMScheduler(**common, clip_sample=False, set_alpha_to_one=False)
    if method == "plms":
        return PNDMScheduler(**common, skip_prk_steps=True, set_alpha_to_one=False)
    return DPMSolverMultistepScheduler(**common, algorithm_type="dpmsolver++", solver_order=2, use_lu_lambdas=True)


def states(
    model: ZoomLDM,
    z: Tensor,
    c: Tensor,
    *,
    w: float,
    steps: int,
    method: Method = "ddim",
) -> Iterator[State]:
    """Denoise z = z_T (B, 3, h, w) step by step, given c (B, 65, C). w: guidance, 0 is none (usual scale: 1 + w)."""
    scheduler = make_scheduler(model, method)
    scheduler.set_timesteps(steps)
    dtype = z.dtype
    for t in scheduler.timesteps:
        eps = model.guided_eps(z, int(t), c, w)
        stepped = scheduler.step(eps, t, z)
        z = stepped.prev_sample.to(dtype)
        yield State(int(t), z, getattr(stepped, "pred_original_sample", None))


def sample(
    model: ZoomLDM,
    z: Tensor,
    c: Tensor,
    *,
    w: float,
    steps: int,
    method: Method = "ddim",
) -> Tensor:
    """The latents z_0 (B, 3, h, w) at the end of `states`."""
    for state in states(model, z, c, w=w, steps=steps, method=method):
        z = state.z
    return z

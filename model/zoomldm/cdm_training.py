"""Training of the conditioning diffusion model (CDM), a DiT with learned variances, on the Summarizer's outputs.

x0 is predicted, under a cosine schedule, at 1e-4. The loss is the hybrid one of Nichol and Dhariwal (2021), Eq. 16, as
DiT has it: the squared error of x0, and a thousandth of the variational bound. The bound's gradient reaches the rows of
the last layer that give the variances, and no further: where x0 is predicted, it weighs small times by thousands, as
the signal to noise ratio falls there; carried into the blocks it spoils x0, and the variances too. The checkpoint has
the parts of DiT's (`model`, `ema`, `opt`, `args`), and a stopped run goes on from it.
"""

from __future__ import annotations

import argparse
import copy
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.config import CDMConfig
from everslide.model.zoomldm.schedule import cosine_betas
from everslide.model.zoomldm.training_run import (
    UNREADABLE,
    Report,
    TrainSettings,
    average_gradients,
    rank,
    reason,
    seed_step,
    update_average,
    write_whole,
)
from everslide.model.zoomldm.training_set import TrainingSet
from everslide.model.zoomldm.zoomldm import ZoomLDM

_log = logging.getLogger(__name__)


def init_cdm(config: CDMConfig) -> CDM:
    """A CDM as DiT begins: Xavier linear layers, small embeddings, sinusoidal positions, gates and output zero."""
    network = CDM(config)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for name, parameter in network.named_parameters():
        if name.startswith(("y_embedder.", "t_embedder.")) and name.endswith("weight"):
            nn.init.normal_(parameter, std=0.02)
        if ".adaLN_modulation." in name or name.startswith("final_layer.linear."):
            nn.init.zeros_(parameter)
    network.pos_embed.data.copy_(sinusoidal_positions(config.tokens, config.hidden)[None])
    return network


def sinusoidal_positions(tokens: int, width: int) -> Tensor:
    """Position embeddings (tokens, width): sines, then cosines, of the position at geometric frequencies.

    Vaswani et al. (2017), section 3.5; the two halves are not interleaved, as in DiT.
    """
    rate = 10_000 ** -(torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angle = torch.arange(tokens, dtype=torch.float64)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1).float()


@dataclass(frozen=True)
class Posterior:
    """q(x_{t-1} | x_t, x_0) of the cosine schedule, per time (T,): its mean is coef_x0 x_0 + a multiple of x_t.

    log_beta_tilde: logarithm of its variance, at t = 0, where that is zero, the one of t = 1. log_beta: logarithm of
    the forward step's variance. They bound what the CDM may learn.
    """

    alpha_bar: Tensor
    coef_x0: Tensor
    log_beta_tilde: Tensor
    log_beta: Tensor


def posterior(device: torch.device) -> Posterior:
    """The posterior of the cosine schedule with 1000 steps (Nichol and Dhariwal, 2021, Eqs. 10 and 11)."""
    beta = cosine_betas()
    alpha_bar = np.cumprod(1 - beta)
    alpha_bar_before = np.concatenate([[1.0], alpha_bar[:-1]])
    beta_tilde = beta * (1 - alpha_bar_before) / (1 - alpha_bar)
    beta_tilde[0] = beta_tilde[1]
    arrays = (
        alpha_bar,
        np.sqrt(alpha_bar_before) * beta / (1 - alpha_bar),
        np.log(beta_tilde),
        np.log(beta),
    )
    return Posterior(*(torch.from_numpy(array).float().to(device) for array in arrays))


def hybrid_losses(
    network: nn.Module, q: Posterior, x0: Tensor, t: Tensor, y: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The two losses of Eq. 16, each (B,): squared error of x0; variational term of time t in bits per dimension.

    x0, noise: (B, channels, tokens); t: (B,) in 0 .. 999; y: (B,) scales.
    """

    def at(values: Tensor) -> Tensor:
        return values[t][:, None, None]

    x_t = torch.sqrt(at(q.alpha_bar)) * x0 + torch.sqrt(1 - at(q.alpha_bar)) * noise
    x0_predicted, v = network(x_t, t, y).chunk(2, dim=1)
    simple = (x0_predicted - x0).square().mean((1, 2))
    return simple, variational_term(q, x0, t, x0_predicted.detach(), v)


def variational_term(q: Posterior, x0: Tensor, t: Tensor, x0_predicted: Tensor, v: Tensor) -> Tensor:
    """L_t of the bound (B,), in bits per dimension: KL(q(x_{t-1} | x_t, x_0) | p), and -log p(x_0 | x_1) at t = 0.

    x0, x0_predicted, v: (B, channels, tokens). v: the variance of p, from -1 (beta~) to 1 (beta), interpolated in
    logarithms (Eq. 15). The weight is 1: Eq. 16 weights the sum over 1,000 times by 0.001, and t is drawn evenly.
    """

    def at(values: Tensor) -> Tensor:
        return values[t][:, None, None]

    log_variance = at(q.log_beta_tilde) + (v + 1) / 2 * (at(q.log_beta) - at(q.log_beta_tilde))
    mean_error = at(q.coef_x0) * (x0 - x0_predicted)  # x_t is common to both means
    log_ratio = at(q.log_beta_tilde) - log_variance
    kl = (log_ratio.exp() - 1 - log_ratio + mean_error.square() * (-log_variance).exp()) / 2
    squared = (x0 - x0_predicted).square() * (-log_variance).exp()
    likelihood = (float(np.log(2 * np.pi)) + log_variance + squared) / 2  # negative logarithm
    out: Tensor = torch.where(t == 0, likelihood.mean((1, 2)), kl.mean((1, 2))) / float(np.log(2))
    return out


def train_cdm(
    model: ZoomLDM, data: TrainingSet, network: CDM, settings: TrainSettings, out: Path, report: Report
) -> None:
    """Train a CDM on what the frozen Summarizer makes of the training images, until `settings.steps`.

    Goes on from `out` where an earlier call was stopped. Raises WeightsError where `out` holds something else than a
    checkpoint of such a run.
    """
    network.to(model.device).train().requires_grad_(True)
    network.pos_embed.requires_grad_(False)
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], settings.rate, weight_decay=0)
    q = posterior(model.device)
    for step in range(_resume(out, network, average, optimiser), settings.steps):
        rng = seed_step(settings, step)
        x0, y = _conditions(model, data, settings.batch, rng)
        t = torch.randint(0, len(q.alpha_bar), (len(x0),), device=model.device)
        simple, variational = (loss.mean() for loss in hybrid_losses(network, q, x0, t, y, torch.randn_like(x0)))
        optimiser.zero_grad()
        simple.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        _add_gradients(variational, network.final_layer.linear)
        average_gradients(network)
        optimiser.step()
        update_average(average, network, settings.ema, step)
        if rank() == 0 and settings.saves_after(step + 1):
            states = {"model": network.state_dict(), "ema": average.state_dict(), "opt": optimiser.state_dict()}
            write_whole(out, {**states, "args": argparse.Namespace(**asdict(settings)), "step": step + 1})
        report(step + 1, float((simple + variational).detach()))


def _add_gradients(loss: Tensor, layer: nn.Linear) -> None:
    """Of a loss for a layer alone: those of nothing before it."""
    parameters = (layer.weight, layer.bias)
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _conditions(model: ZoomLDM, data: TrainingSet, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Summarizer outputs (count, channels, tokens) of drawn images, and their magnifications (count,)."""
    parts, labels = [], []
    for s, _, u in data.draw(count, rng):
        with torch.no_grad():
            parts.append(model.condition(u, s).transpose(1, 2))
        labels += [s] * len(u)
    return torch.cat(parts), torch.tensor(labels, device=model.device)


def _resume(out: Path, network: CDM, average: CDM, optimiser: torch.optim.Optimizer) -> int:
    """Steps that are done already."""
    if not out.exists():
        return 0
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            state = torch.load(out, map_location="cpu", weights_only=True)
        network.load_state_dict(state["model"])
        average.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["opt"])
        step = int(state["step"])
    except UNREADABLE as error:
        raise WeightsError(
            f"{out}: expected nothing, or the checkpoint of a run of these sizes that was stopped, found another file "
            f"({reason(error)}); give another --out"
        ) from error
    _log.info("%s: going on after step %d", out, step)
    return step

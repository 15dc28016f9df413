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
    """A CDM as DiT begins: Xavier for linear layers, small embeddings, sines as positions, gates and output at zero."""
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
    network.pos_embed.data.copy_(sines(config.tokens, config.hidden)[None])
    return network


def sines(tokens: int, width: int) -> Tensor:
    """(tokens, width): sines then cosines of the place at geometric frequencies (Vaswani et al., 2017)."""
    rate = 10_000 ** -(torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angle = torch.arange(tokens, dtype=torch.float64)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1).float()


@dataclass(frozen=True)
class Posterior:
    """q(x_{t-1} | x_t, x_0) of the cosine schedule, per time (T,): its mean is on_x0 x_0 + on_xt x_t.

    log_least: logarithm of its variance beta~; log_most: that of beta. At t = 0, where beta~ is zero, that of t = 1.
    """

    alpha_bar: Tensor
    on_x0: Tensor
    on_xt: Tensor
    log_least: Tensor
    log_most: Tensor


def posterior(device: torch.device) -> Posterior:
    """Nichol and Dhariwal (2021), Eqs. 10 and 11."""
    beta = cosine_betas()
    alpha_bar = np.cumprod(1 - beta)
    before = np.concatenate([[1.0], alpha_bar[:-1]])
    least = beta * (1 - before) / (1 - alpha_bar)
    least[0] = least[1]
    arrays = (
        alpha_bar,
        np.sqrt(before) * beta / (1 - alpha_bar),
        np.sqrt(1 - beta) * (1 - before) / (1 - alpha_bar),
        np.log(least),
        np.log(beta),
    )
    return Posterior(*(torch.from_numpy(array).float().to(device) for array in arrays))


def hybrid_losses(
    network: nn.Module, q: Posterior, x0: Tensor, t: Tensor, y: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The two losses of Eq. 16, each (B,): squared error of x0, and the variational term of time t in bits per number.

    x0, noise: (B, channels, tokens); t: (B,); y: (B,) magnifications.
    """

    def at(values: Tensor) -> Tensor:
        return values[t][:, None, None]

    x_t = torch.sqrt(at(q.alpha_bar)) * x0 + torch.sqrt(1 - at(q.alpha_bar)) * noise
    found, share = network(x_t, t, y).chunk(2, dim=1)
    simple = (found - x0).square().mean((1, 2))
    return simple, variational_term(q, x0, x_t, t, found.detach(), share)


def variational_term(q: Posterior, x0: Tensor, x_t: Tensor, t: Tensor, found: Tensor, share: Tensor) -> Tensor:
    """L_t of the bound (B,), in bits per number: KL(q(x_{t-1} | x_t, x_0) | p), and -log p(x_0 | x_1) at t = 0.

    found: predicted x0; share: of log beta against log beta~ in the variance of p, -1 to 1 (Eq. 15). Since the sum over
    1,000 times is weighted by 0.001 in Eq. 16, the mean over times is weighted by 1.
    """

    def at(values: Tensor) -> Tensor:
        return values[t][:, None, None]

    log_p = at(q.log_least) + (share + 1) / 2 * (at(q.log_most) - at(q.log_least))
    apart = at(q.on_x0) * (x0 - found)  # x_t is common to both means
    ratio = at(q.log_least) - log_p
    kl = (ratio.exp() - 1 - ratio + apart.square() * (-log_p).exp()) / 2
    likelihood = (float(np.log(2 * np.pi)) + log_p + (x0 - found).square() * (-log_p).exp()) / 2
    out: Tensor = torch.where(t == 0, likelihood.mean((1, 2)), kl.mean((1, 2))) / float(np.log(2))
    return out


def train_cdm(
    model: ZoomLDM, data: TrainingSet, network: CDM, settings: TrainSettings, out: Path, report: Report
) -> None:
    """Train a CDM on what the frozen Summarizer makes of the training images, until `settings.steps`.

    Goes on from `out` where an earlier call was stopped. Raises WeightsError where `out` is another file.
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
        report(step + 1, float((simple + variational).detach()))
        if rank() == 0 and settings.saves_after(step + 1):
            states = {"model": network.state_dict(), "ema": average.state_dict(), "opt": optimiser.state_dict()}
            write_whole(out, {**states, "args": argparse.Namespace(**asdict(settings)), "step": step + 1})


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

"""Training of ZoomLDM's denoiser and Summarizer, jointly; checkpoints in the authors' names.

|eps(z_t, t, c) - eps|^2 at a random time, c by the Summarizer, set to zero in a tenth of cases (after the Summarizer),
magnifications drawn uniformly; AdamW with linear warm-up; an average of the denoiser alone.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from everslide.model.errors import DataError, WeightsError
from everslide.model.zoomldm.checkpoint import read_tensors, unet_source
from everslide.model.zoomldm.networks import autoencoder_name, unet_name
from everslide.model.zoomldm.summarizer import prepare_grid
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
from everslide.model.zoomldm.training_set import TrainingSet, autoencoder_digest
from everslide.model.zoomldm.zoomldm import ZoomLDM

STATE_NAME = "state.pt"
_log = logging.getLogger(__name__)


def init_denoiser(network: nn.Module) -> None:
    """Set the last layer of every residual branch and the output to zero, as latent diffusion begins.

    diffusers' own random weights, where every branch adds noise, need several times as many steps.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and name.split(".")[-1] in ("conv2", "proj_out", "conv_out"):
            nn.init.zeros_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def train(model: ZoomLDM, data: TrainingSet, settings: TrainSettings, run: Path, report: Report) -> None:
    """Train until `settings.steps`, going on from the run's last checkpoint. model: where to begin; changed in place.

    Several processes (torchrun) average their gradients; each draws its own images. Raises DataError where the images
    are not of the model's sizes, WeightsError where the run's checkpoint is not.
    """
    check_sizes(model, data)
    networks = nn.ModuleDict({"unet": model.unet, "summarizer": model.summarizer})
    for parameter in networks.parameters():  # loaded ones lie in the mapped file
        parameter.data = parameter.data.clone()
    networks.requires_grad_(True).train()
    average = copy.deepcopy(model.unet).requires_grad_(False)
    optimiser = torch.optim.AdamW(networks.parameters(), lr=settings.rate, weight_decay=settings.decay)
    for step in range(_resume(run, networks, average, optimiser), settings.steps):
        rng = seed_step(settings, step)
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * min(1.0, (step + 1) / max(settings.warmup, 1))
        optimiser.zero_grad()
        loss = _loss(model, list(data.draw(settings.batch, rng)), settings.dropped)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(networks)
        optimiser.step()
        update_average(average, model.unet, settings.ema, step)
        if rank() == 0 and settings.saves_after(step + 1):
            _save(run, model, networks, average, optimiser, step + 1)
        report(step + 1, float(loss.detach()))


def check_sizes(model: ZoomLDM, data: TrainingSet) -> None:
    """Raise DataError where the data's latents or embeddings are not the model's, or not of its sizes."""
    config = model.config
    if data.autoencoder and data.autoencoder != autoencoder_digest(model):
        raise DataError("training data: latents of another autoencoder; give the checkpoint they were prepared with")
    side, channels = config.unet.image_size, config.summarizer.input_channels
    for s in data.counts:
        z, u = data.image(s, 0)
        if s >= config.summarizer.magnifications or z.shape != (config.unet.channels, side, side) or len(u) != channels:
            raise DataError(
                f"training data of scale {s}: expected scales 0 .. {config.summarizer.magnifications - 1}, latents "
                f"({config.unet.channels}, {side}, {side}) and embeddings of {channels} channels, as config.yaml has, "
                f"found {tuple(z.shape)} and {len(u)}; prepare the slides with the checkpoint and encoder of it"
            )


def _loss(model: ZoomLDM, images: Sequence[tuple[int, Tensor, Tensor]], dropped: float) -> Tensor:
    """Mean over images of any scales: the Summarizer sees those of a scale together, the denoiser all."""
    parts = []
    for s, _, u in images:
        prepared = prepare_grid(u.to(model.device))
        parts.append(model.summarise(prepared, torch.full((len(u),), s, device=model.device)))
    c, z = torch.cat(parts), torch.cat([z for _, z, _ in images]).to(model.device)
    c = c * (torch.rand(len(c), 1, 1, device=z.device) >= dropped)
    t, eps = torch.randint(0, len(model.schedule), (len(z),), device=z.device), torch.randn_like(z)
    alpha_bar = model.schedule.alpha_bar[t][:, None, None, None]
    found = model.eps(torch.sqrt(alpha_bar) * z + torch.sqrt(1 - alpha_bar) * eps, t.float(), c)
    return (found - eps).square().mean()


def load_start(model: ZoomLDM, path: Path) -> int:
    """Take over the denoiser's tensors of a latent diffusion checkpoint where names and shapes agree; returns how many.

    ImageNet's has another context width: its cross-attention stays random. Raises WeightsError where nothing fits.
    """
    found = read_tensors(path)
    own, taken = model.unet.state_dict(), 0
    for name, tensor in own.items():
        plain = unet_name(name, model.config.unet)
        keys = (unet_source(plain, True), f"model.diffusion_model.{plain}", plain)
        source = next((found[key] for key in keys if key in found and found[key].shape == tensor.shape), None)
        if source is not None:
            tensor.copy_(source)
            taken += 1
    if not taken:
        raise WeightsError(f"{path}: expected a latent diffusion checkpoint, found no tensor of this denoiser")
    _log.info("%s: %d of %d tensors of the denoiser taken over", path, taken, len(own))
    return taken


def authors_state(model: ZoomLDM, average: nn.Module) -> dict[str, Tensor]:
    """The model as a flat state dict of the authors' `LatentDiffusion`, on the CPU; average: the EMA of its U-Net."""
    config, out = model.config, {}
    for name, tensor in model.unet.state_dict().items():
        out[f"model.diffusion_model.{unet_name(name, config.unet)}"] = tensor
    for name, tensor in average.state_dict().items():
        out[unet_source(unet_name(name, config.unet), True)] = tensor
    for name, tensor in model.autoencoder.state_dict().items():
        source = f"first_stage_model.{autoencoder_name(name, config.autoencoder)}"
        out[source] = tensor[..., None, None] if ".attn_1." in source and tensor.ndim == 2 else tensor
    out |= {f"cond_stage_model.{name}": tensor for name, tensor in model.summarizer.state_dict().items()}
    out |= {"betas": model.schedule.betas, "alphas_cumprod": model.schedule.alpha_bar}
    out["model_ema.decay"], out["model_ema.num_updates"] = torch.tensor(0.9999), torch.tensor(1, dtype=torch.int)
    return {name: tensor.detach().cpu().clone() for name, tensor in out.items()}


def _save(
    run: Path, model: ZoomLDM, networks: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, step: int
) -> None:
    run.mkdir(parents=True, exist_ok=True)
    state = {"step": step, "networks": networks.state_dict(), "average": average.state_dict()}
    write_whole(run / STATE_NAME, {**state, "optimiser": optimiser.state_dict()})
    write_whole(run / "weights.ckpt", authors_state(model, average))


def _resume(run: Path, networks: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    path = run / STATE_NAME
    if not path.is_file():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        networks.load_state_dict(state["networks"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
    except UNREADABLE as error:
        raise WeightsError(
            f"{path}: not the state of a run of these sizes ({reason(error)}); give another --out"
        ) from error
    _log.info("%s: going on after step %d", path, state["step"])
    return int(state["step"])

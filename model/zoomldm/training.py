"""Training of ZoomLDM's denoiser and Summarizer, jointly, and of its CDM; checkpoints in the authors' names.

Denoiser: |eps(z_t, t, c) - eps|^2 at a random time, c by the Summarizer, set to zero in a tenth of cases (after the
Summarizer), magnifications drawn uniformly; AdamW with linear warm-up; an average of the denoiser alone. CDM: x0 of the
Summarizer's output, cosine schedule, Adam 1e-4; its variances, which no sampler here uses, are not trained.
"""

from __future__ import annotations

import argparse
import copy
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.checkpoint import read_tensors, unet_source
from everslide.model.zoomldm.config import CDMConfig
from everslide.model.zoomldm.networks import autoencoder_name, unet_name
from everslide.model.zoomldm.schedule import cosine_betas
from everslide.model.zoomldm.summarizer import prepare_grid
from everslide.model.zoomldm.training_set import TrainingSet
from everslide.model.zoomldm.zoomldm import ZoomLDM

STATE_NAME = "state.pt"
_log = logging.getLogger(__name__)
Told = Callable[[int, float], None]


@dataclass(frozen=True)
class TrainSettings:
    """steps in all; batch: images a step and process; warmup: steps to the full rate; ema: decay of the average;
    dropped: share of conditions set to zero; save: steps between checkpoints."""

    steps: int = 100_000
    batch: int = 16
    rate: float = 1e-4
    decay: float = 0.01
    warmup: int = 1000
    ema: float = 0.9999
    dropped: float = 0.1
    save: int = 1000
    seed: int = 1


def train(model: ZoomLDM, data: TrainingSet, settings: TrainSettings, run: Path, told: Told) -> None:
    """Train until `settings.steps`, going on from the run's last checkpoint. model: where to begin; changed in place.

    Several processes (torchrun) average their gradients; each draws its own images.
    """
    networks = nn.ModuleDict({"unet": model.unet, "summarizer": model.summarizer})
    for parameter in networks.parameters():  # loaded ones lie in the mapped file
        parameter.data = parameter.data.clone()
    networks.requires_grad_(True).train()
    average = copy.deepcopy(model.unet).requires_grad_(False)
    optimiser = torch.optim.AdamW(networks.parameters(), lr=settings.rate, weight_decay=settings.decay)
    first = _resume(run, networks, average, optimiser)
    for step in range(first, settings.steps):
        rng = np.random.default_rng([settings.seed, step, _rank()])
        torch.manual_seed(int(rng.integers(2**63)))
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * min(1.0, (step + 1) / max(settings.warmup, 1))
        optimiser.zero_grad()
        total = 0.0
        for s, z, u in data.draw(settings.batch, rng):
            share = len(z) / settings.batch
            loss = _loss(model, z.to(model.device), u.to(model.device), s, settings.dropped) * share
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        _average_gradients(networks)
        optimiser.step()
        decay = min(settings.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, own in zip(average.parameters(), model.unet.parameters(), strict=True):
                mean.lerp_(own, 1 - decay)
        told(step + 1, total)
        if _rank() == 0 and ((step + 1) % settings.save == 0 or step + 1 == settings.steps):
            _save(run, model, networks, average, optimiser, step + 1)


def _loss(model: ZoomLDM, z: Tensor, u: Tensor, s: int, dropped: float) -> Tensor:
    t = torch.randint(0, len(model.schedule), (len(z),), device=z.device)
    alpha_bar = model.schedule.alpha_bar[t][:, None, None, None]
    eps = torch.randn_like(z)
    c = model.summarise(prepare_grid(u), torch.full((len(u),), s, device=z.device))
    c = c * (torch.rand(len(c), 1, 1, device=z.device) >= dropped)
    found = model.eps(torch.sqrt(alpha_bar) * z + torch.sqrt(1 - alpha_bar) * eps, t.float(), c)
    return (found - eps).square().mean()


def load_start(model: ZoomLDM, path: Path) -> int:
    """Take over the denoiser's tensors of a latent diffusion checkpoint where names and shapes agree; tells how many.

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
    """The flat state dict of the authors' `LatentDiffusion`."""
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
    _write(run / STATE_NAME, {**state, "optimiser": optimiser.state_dict()})
    _write(run / "weights.ckpt", authors_state(model, average))


def _resume(run: Path, networks: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    path = run / STATE_NAME
    if not path.is_file():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        networks.load_state_dict(state["networks"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
    except (RuntimeError, KeyError, ValueError, EOFError) as error:
        raise WeightsError(f"{path}: not the state of a run of these sizes ({error}); give another --out") from error
    _log.info("%s: going on after step %d", path, state["step"])
    return int(state["step"])


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


def train_cdm(model: ZoomLDM, data: TrainingSet, network: CDM, settings: TrainSettings, out: Path, told: Told) -> None:
    """Train a CDM on what the frozen Summarizer says of the training images; writes `out` as the authors do theirs."""
    network.to(model.device).train().requires_grad_(True)
    network.pos_embed.requires_grad_(False)
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], settings.rate, weight_decay=0)
    alpha_bar = torch.from_numpy(np.cumprod(1 - cosine_betas())).float().to(model.device)
    for step in range(settings.steps):
        rng = np.random.default_rng([settings.seed, step])
        torch.manual_seed(int(rng.integers(2**63)))
        parts, labels = [], []
        for s, _, u in data.draw(settings.batch, rng):
            with torch.no_grad():
                parts.append(model.condition(u, s).transpose(1, 2))  # (n, channels, tokens)
            labels += [s] * len(u)
        x0, y = torch.cat(parts), torch.tensor(labels, device=model.device)
        t = torch.randint(0, 1000, (len(x0),), device=model.device)
        a = alpha_bar[t][:, None, None]
        found = network(torch.sqrt(a) * x0 + torch.sqrt(1 - a) * torch.randn_like(x0), t, y)[:, : x0.shape[1]]
        loss = (found - x0).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay = min(settings.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, own in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(own, 1 - decay)
        told(step + 1, float(loss.detach()))
        if (step + 1) % settings.save == 0 or step + 1 == settings.steps:
            states = {"model": network.state_dict(), "ema": average.state_dict()}
            _write(out, {**states, "args": argparse.Namespace(**asdict(settings))})


def _write(path: Path, content: object) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    torch.save(content, partial)
    partial.replace(path)


def join_processes(device: str) -> str:
    """The device of this process; where torchrun started several, they find each other here, each with its own GPU."""
    if not torch.distributed.is_torchelastic_launched() or torch.distributed.is_initialized():
        return device
    gpus = torch.cuda.is_available() and device in ("auto", "cuda")
    torch.distributed.init_process_group("nccl" if gpus else "gloo")
    return f"cuda:{torch.distributed.get_node_local_rank(0)}" if gpus else device


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def _average_gradients(networks: nn.Module) -> None:
    """Mean over the processes of a run, where there are several."""
    if not torch.distributed.is_initialized():
        return
    count = torch.distributed.get_world_size()
    for parameter in networks.parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.distributed.all_reduce(gradient)
        parameter.grad = gradient / count

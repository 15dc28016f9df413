"""A tiny ZoomLDM with random weights, written as the authors write theirs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
import yaml
from torch import Tensor

from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.checkpoint import authors_names, random_networks
from everslide.model.zoomldm.config import AutoencoderConfig, CDMConfig, SummarizerConfig, UNetConfig, ZoomLDMConfig
from everslide.model.zoomldm.networks import unet_name
from everslide.model.zoomldm.schedule import scaled_linear
from everslide.model.zoomldm.zoomldm import ZoomLDM

TINY = ZoomLDMConfig(
    unet=UNetConfig(16, 3, 32, (1, 2), 1, (2,), 1, 32),
    autoencoder=AutoencoderConfig(32, (1, 1, 1), 1, 3, 64),
    summarizer=SummarizerConfig(24, 32, 32, 64, 2),
)
"""64 px images, two levels of a U-Net."""
TINY_CDM = CDMConfig(65, 32, 48, 2, 4)


def state_dict(config: ZoomLDMConfig = TINY, seed: int = 0) -> dict[str, Tensor]:
    """Every key that the authors' `LatentDiffusion.state_dict()` has. The U-Net as trained is zero, its average not."""
    networks = random_networks(config, seed)
    ours = {f"{part}.{name}": t for part, net in networks.items() for name, t in net.state_dict().items()}
    out = {source: _as_convolution(ours[name], source) for name, source in authors_names(config, networks).items()}
    for name, tensor in networks["unet"].state_dict().items():
        out[f"model.diffusion_model.{unet_name(name, config.unet)}"] = torch.zeros_like(tensor)
    schedule = scaled_linear(config.beta_start, config.beta_end, config.timesteps)
    out |= {"betas": schedule.betas, "alphas_cumprod": schedule.alpha_bar}
    return out | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7, dtype=torch.int)}


def write_checkpoint(folder: Path, config: ZoomLDMConfig = TINY, seed: int = 0, data: str = "") -> Path:
    """weights.ckpt, config.yaml and cdm.ckpt in `folder`; data: class of the training data."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state_dict(config, seed), folder / "weights.ckpt")
    values = document(config)
    if data:
        values["data"] = {"params": {"train": {"target": data}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    torch.manual_seed(seed)
    torch.save({"ema": random_cdm().state_dict(), "opt": {"lr": 0.1}}, folder / "cdm.ckpt")
    return folder


def random_cdm() -> CDM:
    """Random weights; its last layer is scaled so that samples look like the Summarizer's."""
    return CDM(TINY_CDM).requires_grad_(False).eval()


def document(config: ZoomLDMConfig) -> dict[str, object]:
    """The authors' configuration file."""
    unet, vq, summarizer = config.unet, config.autoencoder, config.summarizer
    unet_params = {
        "image_size": unet.image_size, "in_channels": unet.channels, "out_channels": unet.channels,
        "model_channels": unet.model_channels, "attention_resolutions": list(unet.attention_at),
        "num_res_blocks": unet.res_blocks, "channel_mult": list(unet.channel_mult), "num_heads": unet.heads,
        "use_spatial_transformer": True, "transformer_depth": 1, "context_dim": unet.context_dim,
    }  # fmt: skip
    sizes = {
        "double_z": False, "z_channels": vq.z_channels, "ch": vq.ch, "ch_mult": list(vq.ch_mult),
        "num_res_blocks": vq.res_blocks, "attn_resolutions": [],
    }  # fmt: skip
    summarizer_params = {
        "num_layers": summarizer.layers, "input_channels": summarizer.input_channels,
        "hidden_channels": summarizer.hidden_channels, "output_channels": summarizer.output_channels,
        "vit_mlp_dim": summarizer.mlp_dim, "mag_levels": summarizer.magnifications,
    }  # fmt: skip
    params = {
        "linear_start": config.beta_start, "linear_end": config.beta_end, "timesteps": config.timesteps,
        "use_ema": config.ema, "unet_config": {"params": unet_params},
        "first_stage_config": {"params": {"n_embed": vq.codes, "ddconfig": sizes}},
        "cond_stage_config": {"params": summarizer_params},
    }  # fmt: skip
    cdm = {
        "num_patches": TINY_CDM.tokens, "in_channels": TINY_CDM.channels, "hidden_size": TINY_CDM.hidden,
        "depth": TINY_CDM.depth, "num_heads": TINY_CDM.heads, "mlp_ratio": TINY_CDM.mlp_ratio,
        "num_classes": TINY_CDM.classes,
    }  # fmt: skip
    return {"model": {"params": params}, "cdm": cdm}


@lru_cache
def tiny(dtype: torch.dtype = torch.float32, seed: int = 0) -> ZoomLDM:
    """The tiny model, loaded. Only read it."""
    return ZoomLDM(TINY, random_networks(TINY, seed), f"tiny {seed}", dtype, torch.device("cpu"))


def _as_convolution(tensor: Tensor, source: str) -> Tensor:
    """The authors' attention of the autoencoder is made of 1x1 convolutions."""
    return tensor[..., None, None] if ".attn_1." in source and tensor.ndim == 2 else tensor

"""Tiny PixCell folders with random weights, saved by diffusers' own classes as the published ones were."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtTransformer2DModel
from safetensors.torch import load_file, save_file

CHANNELS = 24
"""Of an embedding."""
CODE = "raise SystemExit('a file of the folder was run')\n"


def transformer(side: int, **more: object) -> PixArtTransformer2DModel:
    """Latents 4 x side x side; its output has a learned variance as well."""
    sizes = {
        "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 4, "out_channels": 8, "num_layers": 2,
        "cross_attention_dim": 24, "sample_size": side, "caption_channels": CHANNELS, "norm_num_groups": 4,
    }  # fmt: skip
    return PixArtTransformer2DModel(**{**sizes, **more})


def autoencoder(channels: int = 4) -> AutoencoderKL:
    """Eight times smaller, as that of Stable Diffusion 3.5."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=channels, norm_num_groups=4,
        scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip


def write_pixcell(folder: Path, side: int = 8, tokens: int = 1, vae: bool = True, **more: object) -> Path:
    """transformer, scheduler and vae. tokens: embeddings per image; more than one have positions."""
    torch.manual_seed(5)
    network = transformer(side, **more)
    with torch.no_grad():
        network.proj_out.weight.mul_(3)
    network.save_pretrained(folder / "transformer")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["caption_projection.uncond_embedding"] = torch.randn(tokens, CHANNELS)
    if tokens > 1:
        tensors["y_pos_embed.y_pos_embed"] = torch.randn(1, tokens, CHANNELS)
    save_file({name: tensor.half() for name, tensor in tensors.items()}, weights)
    config = json.loads((folder / "transformer" / "config.json").read_text())
    config |= {"_class_name": "PixCellTransformer2DModel", "caption_num_tokens": tokens}
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    (folder / "transformer" / "pixcell_transformer_2d.py").write_text(CODE)
    DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02).save_pretrained(folder / "scheduler")
    autoencoder().save_pretrained(folder / "vae")
    if not vae:
        (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    index = {
        "_class_name": "PixCellPipeline", "transformer": ["pixcell_transformer_2d", "PixCellTransformer2DModel"],
        "scheduler": ["diffusers", "DPMSolverMultistepScheduler"], "vae": ["diffusers", "AutoencoderKL"],
    }  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder

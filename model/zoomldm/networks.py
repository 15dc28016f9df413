"""The U-Net and the autoencoder, which are diffusers' own classes, and the authors' names of their parameters.

The U-Net with cross-attention is `UNet2DConditionModel`, the VQ-f4 autoencoder `VQModel`: the same networks as in the
authors' code under other names. Summarizer and CDM are modules of this package, since diffusers has none like them.
"""

from __future__ import annotations

import re

from diffusers import UNet2DConditionModel, VQModel

from everslide.model.zoomldm.config import AutoencoderConfig, UNetConfig

GROUPS = 32
"""Groups of every GroupNorm."""
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VQ_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def make_unet(config: UNetConfig) -> UNet2DConditionModel:
    """The denoiser eps(z_t, t, c), with random weights."""
    attends = [2**level in config.attention_at for level in range(len(config.channel_mult))]
    return UNet2DConditionModel(
        sample_size=config.image_size,
        in_channels=config.channels,
        out_channels=config.channels,
        block_out_channels=tuple(config.model_channels * mult for mult in config.channel_mult),
        layers_per_block=config.res_blocks,
        down_block_types=tuple("CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
        cross_attention_dim=config.context_dim,
        attention_head_dim=config.heads,  # the class calls the number of heads so
        norm_num_groups=GROUPS,
    )


def make_autoencoder(config: AutoencoderConfig) -> VQModel:
    """The VQ autoencoder, with random weights. Its `encode` does not quantise, its `decode` does so first."""
    stages = len(config.ch_mult)
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * stages,
        up_block_types=("UpDecoderBlock2D",) * stages,
        block_out_channels=tuple(config.ch * mult for mult in config.ch_mult),
        layers_per_block=config.res_blocks,
        latent_channels=config.z_channels,
        num_vq_embeddings=config.codes,
        vq_embed_dim=config.z_channels,
        norm_num_groups=GROUPS,
        scaling_factor=1.0,
    )


def unet_name(name: str, config: UNetConfig) -> str:
    """diffusers' name of a parameter of the U-Net -> the authors'."""
    per_level = config.res_blocks + 1
    levels = len(config.channel_mult)
    stem, leaf = name.rsplit(".", 1)
    if stem in _UNET_ENDS:
        return f"{_UNET_ENDS[stem]}.{leaf}"
    side, rest = stem.split("_block", 1)
    if side == "mid":
        kind, index, inner = _split(rest.removeprefix("."))
        return f"middle_block.{2 * index if kind == 'resnets' else 1}.{_inner(kind, inner)}.{leaf}"
    level_text, rest = rest.removeprefix("s.").split(".", 1)
    level = int(level_text)
    kind, index, inner = _split(rest)
    if side == "down":
        if kind == "downsamplers":
            return f"input_blocks.{per_level * (level + 1)}.0.op.{leaf}"
        block, place = 1 + per_level * level + index, 0 if kind == "resnets" else 1
        return f"input_blocks.{block}.{place}.{_inner(kind, inner)}.{leaf}"
    if kind == "upsamplers":
        place = 2 if 2 ** (levels - 1 - level) in config.attention_at else 1
        return f"output_blocks.{per_level * level + config.res_blocks}.{place}.conv.{leaf}"
    block, place = per_level * level + index, 0 if kind == "resnets" else 1
    return f"output_blocks.{block}.{place}.{_inner(kind, inner)}.{leaf}"


def autoencoder_name(name: str, config: AutoencoderConfig) -> str:
    """diffusers' name of a parameter of the autoencoder -> the authors'."""
    stages = len(config.ch_mult)
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    attention = re.fullmatch(r"(.*)mid_block\.attentions\.0\.(.*)\.(weight|bias)", name)
    if attention:
        return f"{attention[1]}mid.attn_1.{_VQ_ATTENTION[attention[2]]}.{attention[3]}"
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{stages - 1 - int(m[1])}.block.{m[2]}", name)
    return re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{stages - 1 - int(m[1])}.upsample", name)


def _split(rest: str) -> tuple[str, int, str]:
    """ "resnets.1.conv1" -> ("resnets", 1, "conv1")."""
    kind, index, inner = rest.split(".", 2)
    return kind, int(index), inner


def _inner(kind: str, inner: str) -> str:
    return _RESNET[inner] if kind == "resnets" else inner

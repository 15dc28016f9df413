"""ZoomLDM as a folder of diffusers: `unet/`, `vae/`, `conditioning_encoder/` and `scheduler/`.

Two layouts are in use. In one the components are the authors' classes: their options as config.json, their names
without prefix. In the other denoiser and autoencoder are diffusers' own, `UNet2DConditionModel` and `VQModel`. Both are
converted to what a published checkpoint is converted to; the pipeline's Python file is not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.checkpoint import SUFFIX, is_converted, unet_source, write_converted
from everslide.model.zoomldm.config import (
    NAIP,
    AutoencoderConfig,
    UNetConfig,
    ZoomLDMConfig,
    read_autoencoder,
    read_summarizer,
    read_unet,
)
from everslide.model.zoomldm.diffusers_folder import INDEX_NAME, read_config, read_weights
from everslide.model.zoomldm.networks import autoencoder_name, unet_name

CONVERTED_NAME = "zoomldm" + SUFFIX


def is_folder(path: Path) -> bool:
    """Whether a path is a model folder as diffusers writes it: one with model_index.json."""
    return (path / INDEX_NAME).is_file()


def convert_folder(folder: Path) -> Path:
    """Write the safetensors of a folder into it, unless they are there already and of these very files.

    Raises WeightsError, which names the component that is missing, foreign or damaged.
    """
    index, kind = read_config(folder, None, INDEX_NAME)
    if kind != "ZoomLDMPipeline":
        raise WeightsError(f"{folder / INDEX_NAME}: expected a ZoomLDMPipeline, found {kind or 'none'!r}")
    config = _config(folder, index)
    target, state = folder / CONVERTED_NAME, _state(folder)
    if is_converted(target, state, config):
        return target
    return write_converted(target, folder, config, _authors_tensors(folder, config), state)


def _config(folder: Path, index: Mapping[str, Any]) -> ZoomLDMConfig:
    unet, unet_class = _options(folder / "unet")
    vae, vae_class = _options(folder / "vae")
    summarizer, _ = _options(folder / "conditioning_encoder")
    schedule, _ = read_config(folder / "scheduler", None, "scheduler_config.json")
    try:
        sizes = read_summarizer(summarizer)
        return ZoomLDMConfig(
            _own_unet(unet) if unet_class else read_unet(unet),
            _own_autoencoder(vae) if vae_class else read_autoencoder(vae),
            sizes,
            beta_start=float(schedule["beta_start"]),
            beta_end=float(schedule["beta_end"]),
            timesteps=int(schedule["num_train_timesteps"]),
            ema=False,  # baked in
            domain="ground" if sizes.magnifications == NAIP.summarizer.magnifications else "tissue",
            scale_factor=float(index.get("scale_factor", 1.0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{folder}: expected the options of ZoomLDM's components, found: {error!r}") from error


def _options(folder: Path) -> tuple[Mapping[str, Any], str]:
    """Options of a component, which may lie below `params`, and its class of diffusers, if any."""
    values, kind = read_config(folder, None)
    params = values.get("params", values)
    if not isinstance(params, dict):
        raise WeightsError(f"{folder}: expected the options of a component in config.json")
    return params, kind


def _own_unet(values: Mapping[str, Any]) -> UNetConfig:
    """From the configuration of diffusers' class."""
    widths, kinds = values["block_out_channels"], values["down_block_types"]
    heads = values["attention_head_dim"]  # the class calls the number of heads so
    return UNetConfig(
        image_size=int(values["sample_size"]),
        channels=int(values["in_channels"]),
        model_channels=int(widths[0]),
        channel_mult=tuple(width // widths[0] for width in widths),
        res_blocks=int(values["layers_per_block"]),
        attention_at=tuple(2**level for level, kind in enumerate(kinds) if kind.startswith("CrossAttn")),
        heads=int(heads if isinstance(heads, int) else heads[0]),
        context_dim=int(values["cross_attention_dim"]),
    )


def _own_autoencoder(values: Mapping[str, Any]) -> AutoencoderConfig:
    """From the configuration of diffusers' class."""
    widths = values["block_out_channels"]
    return AutoencoderConfig(
        ch=int(widths[0]),
        ch_mult=tuple(width // widths[0] for width in widths),
        res_blocks=int(values["layers_per_block"]),
        z_channels=int(values["latent_channels"]),
        codes=int(values["num_vq_embeddings"]),
    )


def _authors_tensors(folder: Path, config: ZoomLDMConfig) -> dict[str, Tensor]:
    """All tensors under the names of the authors' checkpoint."""
    _, unet_class = _options(folder / "unet")
    _, vae_class = _options(folder / "vae")
    out = {}
    for name, tensor in read_weights(folder / "unet").items():
        out[unet_source(_renamed(folder / "unet", name, config.unet) if unet_class else name, ema=False)] = tensor
    for name, tensor in read_weights(folder / "vae").items():
        known = _renamed(folder / "vae", name, config.autoencoder) if vae_class else name
        out[f"first_stage_model.{known}"] = tensor
    for name, tensor in read_weights(folder / "conditioning_encoder").items():
        out[f"cond_stage_model.{name}"] = tensor
    return out


def _renamed(folder: Path, name: str, config: UNetConfig | AutoencoderConfig) -> str:
    try:
        return unet_name(name, config) if isinstance(config, UNetConfig) else autoencoder_name(name, config)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{folder}: a tensor {name!r} that the class does not have") from error


def _state(folder: Path) -> str:
    """Whether the files are the ones that were converted."""
    paths = sorted(path for part in ("unet", "vae", "conditioning_encoder") for path in (folder / part).iterdir())
    return " ".join(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths)

"""Sizes of ZoomLDM's networks: the two published configurations, and reading of the authors' `config.yaml`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from everslide.model.errors import WeightsError


@dataclass(frozen=True)
class UNetConfig:
    """The denoiser. image_size: side of its latents; attention_at: down-sampling factors that have attention."""

    image_size: int = 64
    channels: int = 3
    model_channels: int = 192
    channel_mult: tuple[int, ...] = (1, 2, 3, 5)
    res_blocks: int = 2
    attention_at: tuple[int, ...] = (8, 4, 2)
    heads: int = 1
    context_dim: int = 512


@dataclass(frozen=True)
class AutoencoderConfig:
    """The VQ autoencoder; it shrinks an image by 2 ** (len(ch_mult) - 1)."""

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4)
    res_blocks: int = 2
    z_channels: int = 3
    codes: int = 8192

    @property
    def factor(self) -> int:
        """Pixels of an image per latent, a side."""
        return int(2 ** (len(self.ch_mult) - 1))


@dataclass(frozen=True)
class SummarizerConfig:
    """The Summarizer: embeddings of `input_channels` in, 1 + tokens vectors of `output_channels` out.

    kind: the published transformer, or the convolutions it was compared with (table S3), of `layers` layers.
    """

    input_channels: int = 1024
    hidden_channels: int = 512
    output_channels: int = 512
    mlp_dim: int = 2048
    layers: int = 12
    heads: int = 8
    tokens: int = 64
    magnifications: int = 8
    kind: Literal["transformer", "cnn"] = "transformer"

    def __post_init__(self) -> None:
        if self.kind not in ("transformer", "cnn"):
            raise WeightsError(f"kind {self.kind!r} of the Summarizer: expected transformer or cnn")


@dataclass(frozen=True)
class CDMConfig:
    """The Conditioning Diffusion Model, a DiT on `tokens` vectors of `channels`."""

    tokens: int = 65
    channels: int = 512
    hidden: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    classes: int = 8


@dataclass(frozen=True)
class ZoomLDMConfig:
    """All of a checkpoint. beta_start, beta_end: `scaled_linear` schedule of `timesteps` steps. domain: what it paints,
    tissue in magnifications or the ground in metres per pixel. scale_factor: latents are those of the autoencoder times
    this. Raises WeightsError where the networks do not fit each other."""

    unet: UNetConfig = field(default_factory=UNetConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    summarizer: SummarizerConfig = field(default_factory=SummarizerConfig)
    beta_start: float = 0.0015
    beta_end: float = 0.0195
    timesteps: int = 1000
    ema: bool = True
    domain: Literal["tissue", "ground"] = "tissue"
    scale_factor: float = 1.0

    def __post_init__(self) -> None:
        for part in (self.unet, self.autoencoder, self.summarizer):
            _check_sizes(asdict(part))
        _check_sizes({"timesteps": self.timesteps})
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise WeightsError(
                f"linear_start {self.beta_start} and linear_end {self.beta_end}: expected 0 < start <= end < 1"
            )
        if self.unet.context_dim != self.summarizer.output_channels:
            raise WeightsError(
                f"the denoiser attends to vectors of {self.unet.context_dim}, the Summarizer gives "
                f"{self.summarizer.output_channels}: expected equal sizes"
            )
        if self.unet.channels != self.autoencoder.z_channels:
            raise WeightsError(
                f"the denoiser's latents have {self.unet.channels} channels, the autoencoder's "
                f"{self.autoencoder.z_channels}: expected equal numbers"
            )
        if not (math.isfinite(self.scale_factor) and self.scale_factor > 0):
            raise WeightsError(f"scale_factor {self.scale_factor}: expected a number above 0")

    @property
    def context_shape(self) -> tuple[int, int]:
        """(tokens, channels) of a condition."""
        return self.summarizer.tokens + 1, self.summarizer.output_channels

    @property
    def image_px(self) -> int:
        """Side of the images that the model was trained on, in pixels."""
        return self.unet.image_size * self.autoencoder.factor

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def _check_sizes(sizes: Mapping[str, Any]) -> None:
    """Raises WeightsError where one is not a whole number from 1 on: blocks and attention may be none."""
    for name, value in sizes.items():
        numbers = value if isinstance(value, tuple) else (value,)
        least = 0 if name == "res_blocks" else 1
        whole = all(type(number) is int and number >= least for number in numbers)
        if name != "kind" and not (whole and (numbers or name == "attention_at")):
            raise WeightsError(f"{name} {value!r}: expected whole numbers from {least} on")


BRCA = ZoomLDMConfig()
"""configs/zoomldm_brca.yaml: eight magnifications, 20x to 0.15625x."""
NAIP = ZoomLDMConfig(summarizer=SummarizerConfig(magnifications=4), domain="ground")
"""configs/zoomldm_naip.yaml: four ground resolutions, 1 to 8 m per pixel."""


def config_from_dict(values: Mapping[str, Any]) -> ZoomLDMConfig:
    """The inverse of `ZoomLDMConfig.as_dict`. Raises WeightsError."""
    try:
        parts = {
            "unet": UNetConfig(**_tuples(values["unet"])),
            "autoencoder": AutoencoderConfig(**_tuples(values["autoencoder"])),
            "summarizer": SummarizerConfig(**values["summarizer"]),
        }
        return ZoomLDMConfig(**{**values, **parts})
    except (KeyError, TypeError) as error:
        raise WeightsError(f"expected the sizes of unet, autoencoder and summarizer, found: {error!r}") from error


def read_config(path: Path) -> ZoomLDMConfig:
    """Read the authors' YAML. Raises WeightsError, which names the file and the missing field."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; the authors' config.yaml must lie beside the weights")
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        params = document["model"]["params"]
        config = ZoomLDMConfig(
            unet=read_unet(params["unet_config"]["params"]),
            autoencoder=read_autoencoder(params["first_stage_config"]["params"]),
            summarizer=read_summarizer(params["cond_stage_config"]["params"]),
            beta_start=float(params["linear_start"]),
            beta_end=float(params["linear_end"]),
            timesteps=int(params["timesteps"]),
            ema=bool(params.get("use_ema", True)),
            domain=_domain(document),
            scale_factor=float(params.get("scale_factor", 1.0)),
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WeightsError(f"{path}: cannot be read as YAML: {error}") from error
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: expected a ZoomLDM configuration (model.params...), found: {error!r}") from error
    return config


def read_cdm_config(path: Path) -> CDMConfig | None:
    """The section `cdm` of a YAML (the arguments of the authors' DiT), or None where there is none."""
    try:
        document = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else {}
        values = document.get("cdm")
        if values is None:
            return None
        return CDMConfig(
            tokens=values["num_patches"],
            channels=values["in_channels"],
            hidden=values["hidden_size"],
            depth=values["depth"],
            heads=values["num_heads"],
            mlp_ratio=values["mlp_ratio"],
            classes=values["num_classes"],
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: expected a section cdm with the DiT's arguments, found: {error!r}") from error


def _domain(document: Mapping[str, Any]) -> Literal["tissue", "ground"]:
    """From the class of the training data; where the file does not name it, from the number of resolutions."""
    training = ((document.get("data") or {}).get("params") or {}).get("train") or {}
    if "target" in training:
        return "ground" if "naip" in str(training["target"]).lower() else "tissue"
    levels = document["model"]["params"]["cond_stage_config"]["params"].get("mag_levels", 8)
    return "ground" if int(levels) == NAIP.summarizer.magnifications else "tissue"


def read_unet(values: Mapping[str, Any]) -> UNetConfig:
    """From the options of the authors' class."""
    if not values.get("use_spatial_transformer") or values.get("transformer_depth", 1) != 1:
        raise WeightsError("expected a U-Net with spatial transformers of depth 1, as ZoomLDM has")
    if values.get("out_channels", values["in_channels"]) != values["in_channels"]:
        raise WeightsError(
            f"expected a U-Net with as many output as input channels, found {values['out_channels']} and "
            f"{values['in_channels']}"
        )
    return UNetConfig(
        image_size=int(values["image_size"]),
        channels=int(values["in_channels"]),
        model_channels=int(values["model_channels"]),
        channel_mult=tuple(values["channel_mult"]),
        res_blocks=int(values["num_res_blocks"]),
        attention_at=tuple(values["attention_resolutions"]),
        heads=int(values["num_heads"]),
        context_dim=int(values["context_dim"]),
    )


def read_autoencoder(values: Mapping[str, Any]) -> AutoencoderConfig:
    """From the options of the authors' class."""
    sizes = values["ddconfig"]
    if sizes.get("attn_resolutions") or sizes.get("double_z"):
        raise WeightsError("expected a VQ autoencoder without attention in its stages, as ZoomLDM has")
    if values.get("embed_dim", sizes["z_channels"]) != sizes["z_channels"]:
        raise WeightsError(
            "expected a VQ autoencoder whose codes have as many channels (embed_dim) as its latents (z_channels), "
            f"found {values['embed_dim']} and {sizes['z_channels']}"
        )
    return AutoencoderConfig(
        ch=int(sizes["ch"]),
        ch_mult=tuple(sizes["ch_mult"]),
        res_blocks=int(sizes["num_res_blocks"]),
        z_channels=int(sizes["z_channels"]),
        codes=int(values["n_embed"]),
    )


def read_summarizer(values: Mapping[str, Any]) -> SummarizerConfig:
    """From the options of the authors' class."""
    hidden = int(values["hidden_channels"])
    return SummarizerConfig(
        input_channels=int(values["input_channels"]),
        hidden_channels=hidden,
        output_channels=int(values.get("output_channels", 512)),
        mlp_dim=int(values["vit_mlp_dim"]),
        layers=int(values["num_layers"]),
        heads=int(values.get("num_heads", 8)),
        tokens=int(values.get("seq_length", 64)),
        magnifications=int(values.get("mag_levels", 8)),
        kind=values.get("kind", "transformer"),
    )


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where the dataclasses have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

"""ZoomLDM as a `LatentModel`, in the paper's symbols, and loading of its checkpoints and of CDMs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from diffusers import UNet2DConditionModel, VQModel
from torch import Tensor, nn

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.checkpoint import (
    Networks,
    convert,
    convert_cdm,
    converted_path,
    load_cdm_network,
    load_networks,
)
from everslide.model.zoomldm.config import ZoomLDMConfig, read_cdm_config, read_config
from everslide.model.zoomldm.diffusers_folder import INDEX_NAME
from everslide.model.zoomldm.latent_model import Calls, LatentModel
from everslide.model.zoomldm.schedule import Schedule, scaled_linear
from everslide.model.zoomldm.summarizer import CNNSummarizer, Summarizer, grid_side, prepare_grid
from everslide.model.zoomldm.zoomldm_folder import convert_folder, is_folder

WEIGHTS_NAME = "weights.ckpt"
CONFIG_NAME = "config.yaml"


class ZoomLDM(LatentModel):
    """A ZoomLDM checkpoint as a `LatentModel`. Its times are 1 .. 1000, as the authors' samplers call the denoiser."""

    def __init__(
        self,
        config: ZoomLDMConfig,
        networks: Networks,
        digest: str,
        dtype: torch.dtype,
        device: torch.device,
        autocast: torch.dtype | None = None,
    ) -> None:
        self.config, self.digest, self.dtype, self.device, self.autocast = config, digest, dtype, device, autocast
        self.unet = cast(UNet2DConditionModel, _placed(networks["unet"], device, dtype))
        self.autoencoder = cast(VQModel, _placed(networks["autoencoder"], device, dtype))
        self.summarizer = cast("Summarizer | CNNSummarizer", _placed(networks["summarizer"], device, dtype))
        self.schedule: Schedule = scaled_linear(config.beta_start, config.beta_end, config.timesteps).to(dtype, device)
        self.calls = Calls()
        self.latent_channels, self.latent_side = config.unet.channels, config.unet.image_size
        self.factor, self.magnifications = config.autoencoder.factor, config.summarizer.magnifications
        self.embedding_channels = config.summarizer.input_channels

    def grid_side(self, s: int) -> int:
        """An image of scale s covers 2^s x 2^s patches of 20x, pooled to at most 8x8."""
        return grid_side(s)

    def eps(self, z_t: Tensor, t: Tensor | float, c: Tensor) -> Tensor:
        """Predicted noise (B, 3, h, w) of latents z_t at time t (one for all, or (B,)) given c (B, 65, C')."""
        assert z_t.ndim == 4 and c.shape[1:] == self.config.context_shape and len(c) == len(z_t)
        self.calls.denoiser += len(z_t)
        times = torch.as_tensor(t, dtype=torch.float32, device=self.device).expand(len(z_t))
        with self.precision():
            out: Tensor = self.unet(z_t, times, c, return_dict=False)[0]
        return out.to(self.dtype)

    def encode(self, image: Tensor) -> Tensor:
        """Image (B, 3, 4h, 4w) in [-1, 1] -> latents (B, 3, h, w), *not* quantised."""
        self.calls.encode += len(image)
        with self.precision():
            out: Tensor = self.autoencoder.encode(image, return_dict=False)[0]
        return out.to(self.dtype) * self.config.scale_factor

    def decode(self, z: Tensor) -> Tensor:
        """Latents (B, 3, h, w), quantised first -> image (B, 3, 4h, 4w), about [-1, 1]."""
        self.calls.decode += len(z)
        with self.precision():
            out: Tensor = self.autoencoder.decode(z / self.config.scale_factor, return_dict=False)[0]
        return out.to(self.dtype)

    def condition(self, grids: Tensor, magnification: int | Sequence[int]) -> Tensor:
        """Raw embedding grids u (B, C, k, k) -> c (B, 65, C'). Raises WeightsError for a magnification it lacks."""
        wanted = [magnification] * len(grids) if isinstance(magnification, int) else list(magnification)
        if not all(0 <= m < self.magnifications for m in wanted):
            raise WeightsError(f"magnification {wanted}: this checkpoint knows 0 .. {self.magnifications - 1}")
        index = torch.tensor(wanted, device=self.device)
        return self.summarise(prepare_grid(grids.to(self.device, self.dtype)), index)

    def summarise(self, prepared: Tensor, magnification: Tensor) -> Tensor:
        """Prepared grids (B, C, k, k) and magnifications (B,) -> c (B, 65, C')."""
        with self.precision():
            out: Tensor = self.summarizer(prepared, magnification)
        return out.to(self.dtype)

    def unconditional(self, count: int) -> Tensor:
        """All zeros (count, 65, C'): what the condition was replaced with in a tenth of training."""
        return torch.zeros(count, *self.config.context_shape, device=self.device, dtype=self.dtype)


def _placed(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network, frozen. Not by diffusers' own `to`, which warns of every cast."""
    return nn.Module.to(network, device, dtype).requires_grad_(False).eval()


def load_zoomldm(
    path: Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
    autocast: torch.dtype | None = None,
) -> ZoomLDM:
    """Load a published checkpoint, converted on the first time.

    path: the folder with weights.ckpt and config.yaml, the weights themselves with config.yaml beside them, or a folder
    of diffusers (`zoomldm_folder`).
    Raises WeightsError.
    """
    converted = convert_folder(path) if is_folder(path) else _converted(path)
    config, networks, digest = load_networks(converted, dtype)
    return ZoomLDM(config, networks, digest, dtype, device or torch.device("cpu"), autocast)


def _converted(path: Path) -> Path:
    """The safetensors of the authors' files, written now where need be."""
    weights = path / WEIGHTS_NAME if path.is_dir() else path
    converted = converted_path(weights)
    if converted == weights or (converted.exists() and not weights.exists()):
        return converted
    if not weights.exists():
        raise WeightsError(
            f"{weights}: no such file; give the folder with {WEIGHTS_NAME} and {CONFIG_NAME}, or one of diffusers with "
            f"{INDEX_NAME}"
        )
    return convert(weights, read_config(weights.with_name(CONFIG_NAME)))


def load_cdm(path: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> tuple[CDM, str]:
    """Load a CDM checkpoint, converted on the first time, and its digest. Raises WeightsError."""
    converted = convert_cdm(path, read_cdm_config(path.with_name(CONFIG_NAME)))
    network, digest = load_cdm_network(converted, dtype)
    return cast(CDM, _placed(network, device or torch.device("cpu"), dtype)), digest

"""PixCell (Yellapragada et al., 2025): a diffusion transformer of 20x tissue, conditioned by UNI2-h embeddings.

A folder as it is published, for diffusers: `transformer/`, `scheduler/` and `vae/`, each a config.json and weights. The
transformer is diffusers' PixArt with embeddings of patches in place of a caption: one for 256 px, a grid of 4x4 with
fixed positions for 1024 px. So diffusers' own class computes it, and none of the Python files of the folder is run. The
autoencoder is that of Stable Diffusion 3.5, which the folder lacks for its licence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtTransformer2DModel
from diffusers.models.embeddings import PatchEmbed
from torch import Tensor, nn

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.checkpoint import check_names
from everslide.model.zoomldm.diffusers_folder import read_config, read_weights
from everslide.model.zoomldm.latent_model import Calls, LatentModel
from everslide.model.zoomldm.schedule import Schedule

TRANSFORMERS = ("PixCellTransformer2DModel", "PixArtTransformer2DModel")
"""The class that config.json of the transformer names: the authors' own, or that of diffusers it is made from."""
VAE_SOURCE = "the folder vae of stabilityai/stable-diffusion-3.5-large"
_UNCONDITIONAL = "caption_projection.uncond_embedding"
_POSITIONS = "y_pos_embed.y_pos_embed"


class PixCell(LatentModel):
    """A `LatentModel` of one scale, 20x. Its times are 1 .. 1000 here, 0 .. 999 for its transformer."""

    magnifications = 1

    def __init__(
        self,
        transformer: PixArtTransformer2DModel,
        vae: AutoencoderKL,
        schedule: Schedule,
        unconditional: Tensor,
        positions: Tensor | None,
        digest: str,
        device: torch.device,
        autocast: torch.dtype | None = None,
    ) -> None:
        """unconditional: (tokens, channels), learned. positions: (1, tokens, channels), added to all embeddings."""
        self.digest, self.dtype, self.device, self.autocast = digest, torch.float32, device, autocast
        self.transformer, self.autoencoder = _placed(transformer, device), _placed(vae, device)
        self.schedule, self.calls = schedule.to(torch.float32, device), Calls()
        self._unconditional = unconditional.to(device)
        self._positions = None if positions is None else positions.to(device)
        self.latent_channels, self.latent_side = vae.config.latent_channels, transformer.config.sample_size
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.tokens, self.embedding_channels = unconditional.shape
        self._scale, self._shift = vae.config.scaling_factor, vae.config.shift_factor or 0.0

    def grid_side(self, s: int) -> int:
        """See `LatentModel.grid_side`."""
        side: int = round(self.tokens**0.5)
        return side

    def eps(self, z_t: Tensor, t: Tensor | float, c: Tensor) -> Tensor:
        """See `LatentModel.eps`."""
        assert z_t.ndim == 4 and c.shape == (len(z_t), self.tokens, self.embedding_channels)
        self.calls.denoiser += len(z_t)
        times = torch.as_tensor(t, dtype=torch.float32, device=self.device).expand(len(z_t)) - 1
        with self.precision():
            embeddings = c if self._positions is None else c + self._positions
            out: Tensor = self.transformer(
                z_t, embeddings, times, added_cond_kwargs=self._size(z_t), return_dict=False
            )[0]
        noise: Tensor = out[:, : self.latent_channels].to(self.dtype)  # a learned variance may follow
        return noise

    def encode(self, image: Tensor) -> Tensor:
        """See `LatentModel.encode`: the mean of the autoencoder's distribution."""
        self.calls.encode += len(image)
        with self.precision():
            mean: Tensor = self.autoencoder.encode(image).latent_dist.mode()
        z: Tensor = (mean.to(self.dtype) - self._shift) * self._scale
        return z

    def decode(self, z: Tensor) -> Tensor:
        """See `LatentModel.decode`."""
        self.calls.decode += len(z)
        with self.precision():
            out: Tensor = self.autoencoder.decode(z / self._scale + self._shift, return_dict=False)[0]
        return out.to(self.dtype)

    def condition(self, grids: Tensor, magnification: int | Sequence[int]) -> Tensor:
        """See `LatentModel.condition`: embeddings (B, C, k, k) of 256 px patches, row by row."""
        wanted = [magnification] if isinstance(magnification, int) else magnification
        if any(wanted):
            raise WeightsError(f"magnification {magnification}: PixCell knows 20x, scale 0, only")
        return grids.to(self.device, self.dtype).flatten(2).transpose(1, 2)

    def unconditional(self, count: int) -> Tensor:
        """See `LatentModel.unconditional`: a learned embedding."""
        return self._unconditional.expand(count, -1, -1)

    def _size(self, z: Tensor) -> dict[str, Tensor | None]:
        """Resolution and aspect ratio of the images, for transformers that are conditioned by them."""
        if not self.transformer.use_additional_conditions:
            return {"resolution": None, "aspect_ratio": None}
        size = z.new_tensor([[z.shape[2] * self.factor, z.shape[3] * self.factor]]).expand(len(z), -1)
        return {"resolution": size, "aspect_ratio": (size[:, :1] / size[:, 1:])}


def load_pixcell(
    folder: Path, vae: Path | None = None, device: torch.device | None = None, autocast: torch.dtype | None = None
) -> PixCell:
    """Load a published folder. vae: the autoencoder's folder; by default `vae` in it.

    Raises WeightsError, which names the part that is missing, foreign or damaged.
    """
    config, kind = read_config(folder / "transformer", TRANSFORMERS)
    tensors = {name: tensor.float() for name, tensor in read_weights(folder / "transformer").items()}
    unconditional, positions = tensors.pop(_UNCONDITIONAL, None), tensors.pop(_POSITIONS, None)
    if unconditional is None:
        raise WeightsError(
            f"{folder / 'transformer'}: expected {_UNCONDITIONAL}, which guidance needs, in a {kind}: is it PixCell's?"
        )
    if (positions is None) != (len(unconditional) == 1) or round(len(unconditional) ** 0.5) ** 2 != len(unconditional):
        raise WeightsError(
            f"{folder / 'transformer'}: expected one embedding, or a square of them with positions ({_POSITIONS}), "
            f"found {len(unconditional)}"
        )
    transformer = _transformer(folder / "transformer", config, tensors)
    autoencoder = _autoencoder(vae or folder / "vae")
    if autoencoder.config.latent_channels != transformer.config.in_channels:
        raise WeightsError(
            f"{vae or folder / 'vae'}: expected an autoencoder of {transformer.config.in_channels} channels, found "
            f"{autoencoder.config.latent_channels}: take {VAE_SOURCE}"
        )
    sha = hashlib.sha256(json.dumps([config, dict(autoencoder.config)], sort_keys=True, default=str).encode())
    parts = (transformer.state_dict(), autoencoder.state_dict(), {"u": unconditional})
    for name, tensor in (item for part in parts for item in sorted(part.items())):
        sha.update(name.encode())
        sha.update(tensor.contiguous().numpy().data)
    schedule = _schedule(folder / "scheduler")
    place = device or torch.device("cpu")
    return PixCell(transformer, autoencoder, schedule, unconditional, positions, sha.hexdigest(), place, autocast)


def _transformer(folder: Path, config: Mapping[str, Any], tensors: dict[str, Tensor]) -> PixArtTransformer2DModel:
    """Without a second copy of its weights; its positions are computed, not stored."""
    known = {name: value for name, value in config.items() if not name.startswith("_") and name != "caption_num_tokens"}
    try:
        with torch.device("meta"):
            network = PixArtTransformer2DModel(**known)
        own = network.config
        network.pos_embed = PatchEmbed(
            height=own.sample_size,
            width=own.sample_size,
            patch_size=own.patch_size,
            in_channels=own.in_channels,
            embed_dim=network.inner_dim,
            interpolation_scale=own.interpolation_scale or max(own.sample_size // 64, 1),
        )
        check_names(folder, network.state_dict().keys(), tensors.keys(), set())
        network.load_state_dict(tensors, assign=True)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise WeightsError(f"{folder}: expected a PixCell transformer: {str(error).splitlines()[0]}") from error
    return network


def _autoencoder(folder: Path) -> AutoencoderKL:
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{folder}: expected the autoencoder, config.json and diffusion_pytorch_model.safetensors. The authors do "
            f"not publish it: fetch {VAE_SOURCE} (`everslide models pull sd3-vae`), and put it there or give "
            "--with vae=FOLDER"
        )
    config, _ = read_config(folder, ("AutoencoderKL",))
    known = {name: value for name, value in config.items() if not name.startswith("_")}
    try:
        with torch.device("meta"):
            network = AutoencoderKL(**known)
        tensors = {name: tensor.float() for name, tensor in read_weights(folder).items()}
        check_names(folder, network.state_dict().keys(), tensors.keys(), set())
        network.load_state_dict(tensors, assign=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder}: expected an AutoencoderKL: {str(error).splitlines()[0]}") from error
    return network


def _schedule(folder: Path) -> Schedule:
    """Of any scheduler of diffusers with betas and predicted noise."""
    config, kind = read_config(folder, None, "scheduler_config.json")
    if config.get("prediction_type", "epsilon") != "epsilon":
        raise WeightsError(f"{folder}: expected a scheduler of predicted noise, found {config['prediction_type']}")
    names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
    try:
        scheduler = DPMSolverMultistepScheduler(**{name: config[name] for name in names if name in config})
    except (NotImplementedError, TypeError, ValueError) as error:
        raise WeightsError(f"{folder}: expected a noise schedule, found {kind}: {error}") from error
    return Schedule(scheduler.betas, scheduler.alphas_cumprod)


def _placed(network: nn.Module, device: torch.device) -> Any:
    """The network, frozen."""
    return cast(Any, nn.Module.to(network, device, torch.float32).requires_grad_(False).eval())

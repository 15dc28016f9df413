"""Encoders of 20x patches behind one interface: UNI, UNI2-h, HIPT, DINOv2 ViT-L/14; textures, without weights.

Weights come from the user's own path (UNI and others are gated): safetensors, or a PyTorch file of tensors only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from everslide.model.errors import ImageError, WeightsError
from everslide.model.evaluation.image_statistics import patch_numbers
from everslide.model.mini.patch_encoder import load_encoder as load_patch_encoder
from everslide.model.zoomldm.checkpoint import check_names, read_tensors
from everslide.model.zoomldm.vit import VisionTransformer, ViTConfig

EncoderName = Literal["uni", "uni2-h", "hipt", "dinov2", "dinov2-reg"]
ENCODERS: tuple[EncoderName, ...] = ("uni", "uni2-h", "hipt", "dinov2", "dinov2-reg")
PATCH_PX = 256
"""Side of a patch of 20x."""
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_IGNORED = ("mask_token", "head.")
"""Names, or beginnings of names, of what training needs and embedding does not: HIPT's files have a projection head."""


class Encoder(Protocol):
    """Images -> embeddings. channels: of an embedding, 0 where it shows only in what comes out. fingerprint: of the
    weights and how they are used; equal ones embed alike."""

    channels: int
    fingerprint: str

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], square -> (B, channels)."""
        ...


@dataclass(frozen=True)
class EncoderSpec:
    """vit: sizes of the network. input_px: the side that images are resized to. colours: mean and standard deviation of
    each channel, taken from [0, 1] images and divided by."""

    vit: ViTConfig
    input_px: int
    colours: tuple[tuple[float, float, float], tuple[float, float, float]]


SPECS: dict[EncoderName, EncoderSpec] = {
    "uni": EncoderSpec(ViTConfig(16, 1024, 24, 16, 14, layer_scale=True), 224, _IMAGENET),
    "uni2-h": EncoderSpec(
        ViTConfig(14, 1536, 24, 24, 16, layer_scale=True, registers=8, gated=8192, class_position=False), 224, _IMAGENET
    ),
    "hipt": EncoderSpec(ViTConfig(16, 384, 12, 6, 14, layer_scale=False), 256, _HALF),
    "dinov2": EncoderSpec(ViTConfig(14, 1024, 24, 16, 37, layer_scale=True, offset=0.1), 224, _IMAGENET),
    "dinov2-reg": EncoderSpec(
        ViTConfig(14, 1024, 24, 16, 37, layer_scale=True, registers=4, antialias=True), 224, _IMAGENET
    ),
}
"""uni: timm's vit_large_patch16_224 with layer scale, pytorch_model.bin of MahmoodLab/UNI. uni2-h: the
same of MahmoodLab/UNI2-h, with register tokens and gated perceptrons, that of PixCell. hipt: vit256_small_dino.pth.
dinov2: dinov2_vitl14_pretrain.pth. dinov2-reg: dinov2_vitl14_reg4_pretrain.pth, with register tokens, that of NAIP."""


class ViTEncoder:
    """A vision transformer with its way of preparing images; `batch` of them at once."""

    def __init__(self, spec: EncoderSpec, network: VisionTransformer, digest: str, batch: int = 8) -> None:
        self._spec, self._network, self._batch = spec, network.eval().requires_grad_(False), batch
        self.channels, self.fingerprint = spec.vit.width, digest

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """See `Encoder.embed`."""
        weight = self._network.cls_token
        mean, deviation = (torch.tensor(c).view(1, 3, 1, 1).to(weight) for c in self._spec.colours)
        out = []
        for part in torch.split(images, self._batch):
            side = (self._spec.input_px, self._spec.input_px)
            sized = part.to(weight)
            if sized.shape[-2:] != side:
                sized = F.interpolate(sized, side, mode="bicubic", antialias=True)
            out.append(self._network((sized - mean) / deviation))
        return torch.cat(out)


class TextureEncoder:
    """Sharpness, spectrum and stain of an image: nine numbers that need no weights."""

    channels, fingerprint = 9, "texture 1"

    def embed(self, images: Tensor) -> Tensor:
        """See `Encoder.embed`."""
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(np.stack([patch_numbers(patch) for patch in pixels])).float()


class MiniEncoder:
    """The patch encoder of `mini`, which comes with Everslide: one embedding of the whole image, whatever its size."""

    def __init__(self) -> None:
        """Raises WeightsError where the shipped weights are missing or damaged."""
        self._encoder = load_patch_encoder()
        self.channels, self.fingerprint = self._encoder.config.embedding, f"mini {self._encoder.digest}"

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """See `Encoder.embed`."""
        return self._encoder.quick(2 * images.cpu().clamp(0, 1) - 1, 1)[:, :, 0, 0]


def load_encoder(
    name: EncoderName, path: Path, spec: EncoderSpec | None = None, device: torch.device | None = None, batch: int = 8
) -> ViTEncoder:
    """Load published weights of `name` from a file. spec: sizes other than the published ones. batch: images at once.

    Raises WeightsError, which names missing and unknown keys.
    """
    spec = spec or SPECS[name]
    tensors = {
        _plain(key): tensor.float() for key, tensor in _read(path).items() if not _plain(key).startswith(_IGNORED)
    }
    with torch.device("meta"):
        network = VisionTransformer(spec.vit)
    check_names(path, network.state_dict().keys(), tensors.keys(), set())
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{path}: expected the weights of {name}: {error}") from error
    sha = hashlib.sha256()
    for key in sorted(tensors):
        sha.update(tensors[key].contiguous().numpy().data)
    return ViTEncoder(spec, network.to(device or torch.device("cpu")), f"{name} {sha.hexdigest()}", batch)


def embed_image(encoder: Encoder, pixels: NDArray[np.uint8], patch_px: int = PATCH_PX) -> Tensor:
    """Embeddings (C, rows, columns) of the whole patches of an image (H, W, 3) of 20x. Raises ImageError."""
    rows, cols = (length // patch_px for length in pixels.shape[:2])
    if not rows or not cols:
        raise ImageError(f"expected an image of at least {patch_px} x {patch_px} px, found {pixels.shape[1::-1]}")
    cut = pixels[: rows * patch_px, : cols * patch_px].reshape(rows, patch_px, cols, patch_px, 3)
    patches = cut.transpose(0, 2, 4, 1, 3).reshape(rows * cols, 3, patch_px, patch_px)
    lines = [encoder.embed(torch.from_numpy(line.copy()).float() / 255) for line in np.array_split(patches, rows)]
    return torch.stack(lines).permute(2, 0, 1)  # (rows, cols, C) -> (C, rows, cols)


def read_grid(path: Path, channels: int | None = None) -> Tensor:
    """Embedding grid (C, H, W) of a .npy file. Raises ImageError.

    Laid out as (C, H, W); or as the authors write those of square images, (C, H * W) for tissue and (H * W, C) for
    NAIP; or (C,) of a single patch. channels: C, where it is known, to distinguish these two. Where both fit,
    (C, H * W).
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"{path}: expected a .npy file of an embedding grid, found: {error}") from error
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 2 and channels == array.shape[1] != array.shape[0]:
        array = array.T
    side = round(array.shape[1] ** 0.5) if array.ndim == 2 else 0
    if array.ndim == 2 and side**2 == array.shape[1]:
        array = array.reshape(-1, side, side)
    if array.ndim != 3 or not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"{path}: expected floats (C, rows, columns), or (C, n) or (n, C) with n square, "
            f"found {array.dtype} {array.shape}"
        )
    if channels is not None and array.shape[0] != channels:
        raise ImageError(
            f"{path}: expected embeddings of {channels} channels, found {array.shape[0]}; take the encoder that the "
            "checkpoint was trained with"
        )
    if not np.isfinite(array).all():
        raise ImageError(f"{path}: expected finite numbers")
    return torch.from_numpy(array.astype(np.float32))


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{path}: not a whole safetensors file ({error}); copy it again") from error
    return read_tensors(path)


def _plain(key: str) -> str:
    key = key.removeprefix("module.").removeprefix("backbone.")
    return "register_tokens" if key == "reg_token" else key  # timm's name and DINOv2's

"""Feature extractors of `measure`, `embed` and `zoomldm prepare`, chosen by a name and a file of weights; LPIPS.

CLIP and CONCH are read as tensors. `inception` and `script` are TorchScript: programs, to be taken from nobody but
their authors. OpenAI publishes CLIP so too; of its archive the tensors alone are used.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.checkpoint import read_tensors
from everslide.model.zoomldm.compute import Compute
from everslide.model.zoomldm.encoders import ENCODERS, Encoder, MiniEncoder, TextureEncoder, load_encoder
from everslide.model.zoomldm.lpips import load_lpips
from everslide.model.zoomldm.vision_towers import ClipVision, ConchVision, make_clip, make_conch

TorchScriptName = Literal["inception", "script"]
TORCHSCRIPT: tuple[TorchScriptName, ...] = ("inception", "script")
TOWERS = ("clip", "conch")
"""Image halves of networks of images and words."""
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class TorchScriptEncoder:
    """A TorchScript network. inception: takes [0, 255] uint8 and `return_features`, as NVIDIA publishes it for the FID;
    script: anything that takes [0, 1] floats (B, 3, H, W) and returns (B, C)."""

    def __init__(self, kind: TorchScriptName, path: Path, device: torch.device | None = None) -> None:
        """Raises WeightsError where there is no TorchScript file at `path`."""
        self._kind, self._network = kind, load_script(path, device)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.channels, self.fingerprint = 0, f"{kind} {digest}"

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """See `Encoder.embed`."""
        if self._kind == "inception":
            out = self._network((images * 255).round().to(torch.uint8), return_features=True)
        else:
            out = self._network(images)
        return torch.as_tensor(out).float()


class TowerEncoder:
    """The image half of a network of images and words. Images are resized by their shorter side and cut in the middle,
    as its authors do."""

    def __init__(self, name: str, path: Path, device: torch.device | None = None) -> None:
        """name: clip (ViT-B-32.pt, ViT-L-14.pt, ... of OpenAI), or conch (pytorch_model.bin of MahmoodLab/CONCH).
        Raises WeightsError."""
        tensors = _tensors(path)
        self._network: ClipVision | ConchVision
        self._network = make_clip(path, tensors) if name == "clip" else make_conch(path, tensors)
        self._network.to(device or torch.device("cpu"))
        self._colours = _CLIP if name == "clip" else _IMAGENET
        sha = hashlib.sha256()
        for key, tensor in sorted(self._network.state_dict().items()):
            sha.update(key.encode() + tensor.cpu().contiguous().numpy().tobytes())
        self.channels, self.fingerprint = 0, f"{name} {sha.hexdigest()}"

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """See `Encoder.embed`; images need not be square."""
        side = self._network.input_px
        short = min(images.shape[-2:])
        sized = images
        if short != side:
            size = [round(length * side / short) for length in images.shape[-2:]]
            sized = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((length - side) // 2 for length in sized.shape[-2:])
        cut = sized[..., top : top + side, left : left + side]
        mean, deviation = (torch.tensor(c, device=cut.device).view(1, 3, 1, 1) for c in self._colours)
        out: Tensor = self._network((cut - mean) / deviation)
        return out


def _tensors(path: Path) -> dict[str, Tensor]:
    """The state dict of a file of tensors, or of a TorchScript archive."""
    try:
        return read_tensors(path)
    except WeightsError:
        if not path.is_file():
            raise
        try:
            return dict(load_script(path).state_dict())
        except WeightsError as error:
            raise WeightsError(f"{path}: expected a state dict or a TorchScript archive as published") from error


def load_script(path: Path, device: torch.device | None = None) -> Any:
    """A TorchScript network, ready to run: a program, to be taken from its authors alone. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; download the network from its authors and give its path")
    try:
        return torch.jit.load(str(path), map_location=device or "cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{path}: expected a TorchScript file, found: {str(error).splitlines()[0]}") from error


def make_extractor(text: str, compute: Compute | None = None) -> Encoder:
    """The extractor that a text names: texture, mini, or NAME:PATH with a name of ENCODERS, TOWERS or TORCHSCRIPT.

    Raises WeightsError for another text, and for a file that is not what the name says.
    """
    compute = compute or Compute(torch.device("cpu"))
    if text == "texture":
        return TextureEncoder()
    if text == "mini":
        return MiniEncoder()
    name, _, path = text.partition(":")
    for encoder in ENCODERS:
        if name == encoder and path:
            return load_encoder(encoder, Path(path), device=compute.device, batch=compute.batch)
    for tower in TOWERS:
        if name == tower and path:
            return TowerEncoder(tower, Path(path), compute.device)
    for kind in TORCHSCRIPT:
        if name == kind and path:
            return TorchScriptEncoder(kind, Path(path), compute.device)
    names = ", ".join((*ENCODERS, *TOWERS, *TORCHSCRIPT))
    raise WeightsError(f"extractor {text!r}: expected texture, mini, or NAME:PATH with one of {names}")


def make_distance(text: str, compute: Compute) -> Any:
    """LPIPS from the text of `--lpips`: BACKBONE:LINEAR, two published files, or one TorchScript file.

    What is returned takes two images (B, 3, H, W) in [-1, 1] and gives distances. Raises WeightsError.
    """
    backbone, colon, linear = text.partition(":")
    if colon:
        return load_lpips(Path(backbone), Path(linear), compute.device)
    return load_script(Path(text), compute.device)

"""The encoder of `mini`: a patch of 20x tissue -> an embedding, learned without labels.

A small convolutional network. Each component of the embedding has mean 0 and deviation 1 over the training patches.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.errors import WeightsError
from everslide.model.mini.precision import fast_bfloat16
from everslide.model.mini.tensors import UNFIT, read_tensors, write_tensors

FORMAT = "everslide-encoder-1"
SHIPPED_ENCODER = Path(__file__).parent.parent / "weights" / "encoder.safetensors"
PATCH_PX = 128
"""Side of a patch at 20x: 64 um."""
EMBEDDING = 64
"""Length of an embedding."""


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder. channels: width after the first convolution, then after each halving of the resolution.
    embedding: length of its output."""

    channels: tuple[int, ...] = (24, 48, 96, 144)
    embedding: int = EMBEDDING

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class _Stage(nn.Module):
    """Halves a plane, then adds what two convolutions find in it."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.shrink = nn.Sequential(nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width))
        self.first = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.shrink(x))
        out: Tensor = F.relu(x + self.second(F.relu(self.first(x))))
        return out


class PatchEncoder(nn.Module):
    """(B, 3, PATCH_PX, PATCH_PX) in [-1, 1] at 0.5 um per pixel -> embeddings (B, embedding)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        self.enter = nn.Sequential(
            nn.Conv2d(3, widths[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(widths[0])
        )
        self.stages = nn.Sequential(*(_Stage(a, b) for a, b in itertools.pairwise(widths)))
        self.leave = nn.Linear(2 * widths[-1], config.embedding)
        self.register_buffer("mean", torch.zeros(config.embedding))
        self.register_buffer("deviation", torch.ones(config.embedding))

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1:] == (3, PATCH_PX, PATCH_PX), x.shape
        return self.glance(x, 1)[:, :, 0, 0]

    def glance(self, x: Tensor, side: int) -> Tensor:
        """Embeddings (B, embedding, side, side) of `side` x `side` equal squares of an image (B, 3, H, W) in [-1, 1].

        H = W, a multiple of `side`. The encoder was trained on 20x patches of PATCH_PX: for smaller or coarser squares
        the embedding is only a rough indication.
        """
        h = self.stages(F.relu(self.enter(x)))
        square = h.shape[2] // side
        assert square * side == h.shape[2] == h.shape[3], (h.shape, side)
        mean = F.avg_pool2d(h.float(), square)
        spread = (F.avg_pool2d(h.float().square(), square) - mean.square()).clamp(min=0).add(1e-4).sqrt()
        pooled = torch.cat([mean, spread], 1).to(h.dtype).permute(0, 2, 3, 1)
        out: Tensor = (self.leave(pooled) - self.mean) / self.deviation
        return out.permute(0, 3, 1, 2)

    @torch.inference_mode()
    def embed(self, patches: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
        """Embeddings (N, embedding) float32 of patches (N, PATCH_PX, PATCH_PX, 3) uint8 at 20x; N may be 0."""
        assert patches.ndim == 4 and patches.shape[1:] == (PATCH_PX, PATCH_PX, 3) and patches.dtype == np.uint8
        out = [np.empty((0, self.config.embedding), np.float32)]
        for start in range(0, len(patches), batch):
            part = torch.from_numpy(patches[start : start + batch].transpose(0, 3, 1, 2).astype(np.float32))
            out.append(self.quick(part / 127.5 - 1, 1)[:, :, 0, 0].cpu().numpy())
        return np.concatenate(out)

    def quick(self, x: Tensor, side: int) -> Tensor:
        """As `glance`, computed in bfloat16 where that is fast; (B, embedding, side, side) float32."""
        device = self.leave.weight.device
        with torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device)):
            return self.glance(x.to(device, memory_format=torch.channels_last), side).float()

    @property
    def digest(self) -> str:
        """SHA-256 over every tensor, hex."""
        sha = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            sha.update(name.encode())
            sha.update(tensor.cpu().contiguous().numpy().tobytes())
        return sha.hexdigest()


def save_encoder(path: Path, encoder: PatchEncoder) -> None:
    """Write a file for `load_encoder`, atomically. Raises WeightsError."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    write_tensors(path, tensors, {"format": FORMAT, "config": json.dumps(encoder.config.as_dict())})


def load_encoder(path: Path | None = None) -> PatchEncoder:
    """The encoder in the file `path`, or the one shipped in this package. Raises WeightsError."""
    path = path or SHIPPED_ENCODER
    tensors, header = read_tensors(path, FORMAT, "everslide train --encoder")
    try:
        values = json.loads(header["config"])
        encoder = PatchEncoder(EncoderConfig(tuple(values["channels"]), int(values["embedding"])))
        encoder.load_state_dict(tensors)
    except (KeyError, *UNFIT) as error:
        raise WeightsError(f"{path}: not a whole encoder ({error}); copy or train it again") from error
    return encoder.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

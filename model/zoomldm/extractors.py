"""Networks that images are compared by, behind the interface of encoders: by name and file of weights.

What is neither a vision transformer of `encoders` nor known here is read as TorchScript: a program, to be taken from
nobody but its authors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.compute import Compute
from everslide.model.zoomldm.encoders import ENCODERS, Encoder, OwnEncoder, TextureEncoder, load_encoder

Kind = Literal["inception", "script"]
KINDS: tuple[Kind, ...] = ("inception", "script")


class ScriptEncoder:
    """A TorchScript network. inception: takes [0, 255] uint8 and `return_features`, as NVIDIA publishes it for the FID;
    script: anything that takes [0, 1] floats."""

    def __init__(self, kind: Kind, path: Path, device: torch.device | None = None) -> None:
        self._kind, self._network = kind, load_script(path, device)
        self.channels, self.fingerprint = 0, f"{kind} {path.name}"

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """See `Encoder.embed`."""
        if self._kind == "inception":
            out = self._network((images * 255).round().to(torch.uint8), return_features=True)
        else:
            out = self._network(images)
        return torch.as_tensor(out).float()


def load_script(path: Path, device: torch.device | None = None) -> Any:
    """Raises WeightsError where there is no TorchScript file at `path`."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; download the network from its authors and give its path")
    try:
        return torch.jit.load(str(path), map_location=device or "cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{path}: expected a TorchScript file, found: {str(error).splitlines()[0]}") from error


def make_extractor(text: str, compute: Compute | None = None) -> Encoder:
    """texture, mini, or NAME:PATH with a name of ENCODERS or KINDS. Raises WeightsError."""
    compute = compute or Compute(torch.device("cpu"))
    if text == "texture":
        return TextureEncoder()
    if text == "mini":
        return OwnEncoder()
    name, _, path = text.partition(":")
    for encoder in ENCODERS:
        if name == encoder and path:
            return load_encoder(encoder, Path(path), device=compute.device, batch=compute.batch)
    for kind in KINDS:
        if name == kind and path:
            return ScriptEncoder(kind, Path(path), compute.device)
    names = ", ".join((*ENCODERS, *KINDS))
    raise WeightsError(f"extractor {text!r}: expected texture, mini, or NAME:PATH with one of {names}")

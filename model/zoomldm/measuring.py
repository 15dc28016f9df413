"""The paper's measures of painted against real images: FID, crop FID, SSIM, PSNR, LPIPS, similarity, memorisation.

What needs a downloaded network takes its path. Networks that are not vision transformers of `encoders` are read as
TorchScript: a program, to be taken from nobody but its authors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from everslide.model.errors import DataError, WeightsError
from everslide.model.measures import all_patches
from everslide.model.picture import read_rgb
from everslide.model.similarity import cosines, frechet_distance, memorised, psnr, ssim
from everslide.model.zoomldm.encoders import ENCODERS, Encoder, OwnEncoder, TextureEncoder, load_encoder

Pixels = NDArray[np.uint8]
Kind = Literal["inception", "clip", "script"]
KINDS: tuple[Kind, ...] = ("inception", "clip", "script")
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


@dataclass(frozen=True)
class Figures:
    """What was measured; None where it does not apply: pairs need images of the same names and sizes.

    psnr: over pairs that are not equal, whose is infinite.
    """

    images: tuple[int, int]
    frechet: float
    crops: tuple[int, int] | None
    crop_frechet: float | None
    memorised: float | None
    psnr: float | None
    ssim: float | None
    similarity: float | None
    lpips: float | None


class ScriptEncoder:
    """A TorchScript network. inception: takes [0, 255] uint8 and `return_features`, as NVIDIA publishes it for the FID;
    clip: OpenAI's archive, its images at 224 px; script: anything that takes [0, 1] floats."""

    def __init__(self, kind: Kind, path: Path) -> None:
        self._kind, self._network = kind, load_script(path)
        self.channels, self.fingerprint = 0, f"{kind} {path.name}"

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """See `Encoder.embed`."""
        if self._kind == "inception":
            out = self._network((images * 255).round().to(torch.uint8), return_features=True)
        elif self._kind == "clip":
            sized = F.interpolate(images, (224, 224), mode="bicubic", antialias=True)
            mean, deviation = (torch.tensor(c).view(1, 3, 1, 1) for c in _CLIP)
            out = self._network.encode_image((sized - mean) / deviation)
        else:
            out = self._network(images)
        return torch.as_tensor(out).float()


def load_script(path: Path) -> Any:
    """Raises WeightsError where there is no TorchScript file at `path`."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; download the network from its authors and give its path")
    try:
        return torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{path}: expected a TorchScript file, found: {str(error).splitlines()[0]}") from error


def make_extractor(text: str) -> Encoder:
    """texture, mini, or NAME:PATH with a name of ENCODERS or KINDS. Raises WeightsError."""
    if text == "texture":
        return TextureEncoder()
    if text == "mini":
        return OwnEncoder()
    name, _, path = text.partition(":")
    for encoder in ENCODERS:
        if name == encoder and path:
            return load_encoder(encoder, Path(path))
    for kind in KINDS:
        if name == kind and path:
            return ScriptEncoder(kind, Path(path))
    names = ", ".join((*ENCODERS, *KINDS))
    raise WeightsError(f"extractor {text!r}: expected texture, mini, or NAME:PATH with one of {names}")


def measure(painted: Path, real: Path, extractor: Encoder, crop: int | None, lpips: Path | None) -> Figures:
    """Measure one folder of images against another. Raises DataError, ImageError, WeightsError."""
    found = [_read(folder) for folder in (painted, real)]
    sets = [list(images.values()) for images in found]
    embedded = [_embed(extractor, images) for images in sets]
    crops = None if crop is None else [[p for image in images for p in all_patches(image, crop)] for images in sets]
    if crops and min(map(len, crops)) < 2:
        raise DataError(f"--crop {crop}: expected images of at least that side, found {[len(c) for c in crops]} crops")
    pairs = [
        (found[0][name], found[1][name])
        for name in sorted(found[0].keys() & found[1].keys())
        if found[0][name].shape == found[1][name].shape
    ]
    return Figures(
        images=(len(sets[0]), len(sets[1])),
        frechet=frechet_distance(*embedded),
        crops=(len(crops[0]), len(crops[1])) if crops else None,
        crop_frechet=frechet_distance(*(_embed(extractor, part) for part in crops)) if crops else None,
        memorised=memorised(*embedded) if len(sets[1]) > 2 else None,
        psnr=_mean([psnr(a, b) for a, b in pairs if not np.array_equal(a, b)]),
        ssim=_mean([ssim(a, b) for a, b in pairs]),
        similarity=_mean([_similarity(extractor, a, b) for a, b in pairs]),
        lpips=_mean([_lpips(load_script(lpips), a, b) for a, b in pairs]) if lpips else None,
    )


def _read(folder: Path) -> dict[str, Pixels]:
    """Images of a folder by stem."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if len(paths) < 2:
        raise DataError(f"{folder}: expected a folder of at least 2 images, found {len(paths)}")
    return {path.stem: read_rgb(path) for path in paths}


def _embed(extractor: Encoder, images: list[Pixels]) -> NDArray[np.float64]:
    rows = [extractor.embed(_tensor(image)) for image in tqdm(images, desc="embedding", unit="image", leave=False)]
    return torch.cat(rows).double().cpu().numpy()


def _similarity(extractor: Encoder, a: Pixels, b: Pixels) -> float:
    return float(cosines(*(extractor.embed(_tensor(image)).double().cpu().numpy() for image in (a, b)))[0, 0])


def _lpips(network: Any, a: Pixels, b: Pixels) -> float:
    with torch.inference_mode():
        return float(network(_tensor(a) * 2 - 1, _tensor(b) * 2 - 1))


def _tensor(image: Pixels) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy()).float()[None] / 255


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None

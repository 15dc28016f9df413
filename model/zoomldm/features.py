"""Diffusion features: activations of one layer of the frozen denoiser, averaged over each patch of a slide."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from everslide.model.errors import ImageError
from everslide.model.evaluation.image_statistics import tissue_share
from everslide.model.geometry import Rect
from everslide.model.zoomldm.compute import Compute, in_batches
from everslide.model.zoomldm.embedding import open_plane
from everslide.model.zoomldm.joint import noised
from everslide.model.zoomldm.zoomldm import ZoomLDM


def layer_of(model: ZoomLDM, name: str) -> nn.Module:
    """A block of the denoiser by its name: mid, down0, down1, ..., up0, up1, ... Raises ImageError for others."""
    blocks = {"mid": model.unet.mid_block}
    blocks |= {f"down{i}": block for i, block in enumerate(model.unet.down_blocks)}
    blocks |= {f"up{i}": block for i, block in enumerate(model.unet.up_blocks)}
    if name not in blocks:
        raise ImageError(f"layer {name!r}: expected one of {', '.join(blocks)}")
    return cast(nn.Module, blocks[name])


@torch.inference_mode()
def denoiser_features(model: ZoomLDM, images: Tensor, t: int, layer: str, seed: int = 1) -> Tensor:
    """Mean of a layer's output over the image, (B, C), of images (B, 3, H, W) in [-1, 1], without condition.

    t: time, 1 .. 1000, that their latents are noised to, by the same noise for every image: equal images have equal
    features. Raises ImageError for an unknown layer.
    """
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: object, out: Tensor | tuple[Tensor, ...]) -> None:
        found = out if isinstance(out, Tensor) else out[0]
        kept.append(found.float().mean((2, 3)))

    handle = layer_of(model, layer).register_forward_hook(keep)
    try:
        z0 = model.encode(images.to(model.device, model.dtype))
        noise = torch.randn(z0.shape[1:], generator=torch.Generator().manual_seed(seed)).to(z0)
        model.eps(noised(model, z0, t, noise), t, model.unconditional(len(z0)))
    finally:
        handle.remove()
    return kept[0]


def slide_features(
    model: ZoomLDM, path: Path, s: int, t: int, layer: str, compute: Compute, tissue: float = 0.5
) -> Tensor:
    """Features (n, C) of a slide's patches of scale s, side by side, of which at least a share `tissue` is tissue.

    Raises ImageError where there is none, or the slide cannot be read.
    """
    plane, side = open_plane(path), model.config.image_px
    step = side * 2**s
    places = [Rect(x, y, step, step) for y in range(0, plane.height - step + 1, step)
              for x in range(0, plane.width - step + 1, step)]  # fmt: skip
    kept: list[Tensor] = []

    def work(part: list[int]) -> Tensor:
        pixels = [plane.read(places[n], s) for n in part]
        chosen = [torch.from_numpy(p.copy()) for p in pixels if tissue_share(p) >= tissue]
        if not chosen:
            return torch.empty(0)
        images = torch.stack(chosen).permute(0, 3, 1, 2).float() / 127.5 - 1
        return denoiser_features(model, images, t, layer).cpu()

    with tqdm(total=len(places), desc=path.name, unit="patch") as bar:
        for part, rows in in_batches(range(len(places)), compute.batch, work):
            kept += [rows] if len(rows) else []
            bar.update(len(part))
    if not kept:
        raise ImageError(f"{path}: expected at least one patch of {step} px of 20x that is mostly tissue, found none")
    return torch.cat(kept)

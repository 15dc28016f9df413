"""What the commands of ZoomLDM do, from files to files: describe, sample, paint large, invert, enlarge."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from torch import Tensor
from tqdm import tqdm

from everslide.model.errors import ImageError
from everslide.model.evaluate import MemoryTiles, field_of
from everslide.model.geometry import BASE_MAGNIFICATION, TILE_PX, Rect
from everslide.model.mini.model import load_mini
from everslide.model.mini.weights import load_weights
from everslide.model.painter import Painter
from everslide.model.picture import read_rgb
from everslide.model.slide import Slide
from everslide.model.top import ImageTop
from everslide.model.zoomldm.checkpoint import is_cdm
from everslide.model.zoomldm.conditions import CDMConditions, Conditions, GridConditions, NoCondition
from everslide.model.zoomldm.encoders import read_grid
from everslide.model.zoomldm.inversion import InversionSettings, grid_side
from everslide.model.zoomldm.joint import NOTEBOOK, PAPER, JointSettings
from everslide.model.zoomldm.large import Layout, context_guides, infer_embeddings, join_seams, sample_details
from everslide.model.zoomldm.latents import to_pixels
from everslide.model.zoomldm.resize import OperatorName
from everslide.model.zoomldm.sampling import Method
from everslide.model.zoomldm.sampling import sample as draw
from everslide.model.zoomldm.seams import SeamSettings, decode_large
from everslide.model.zoomldm.zoomldm import ZoomLDM, load_cdm, load_zoomldm

Mode = Literal["uncond", "gt", "infer"]
Algorithm = Literal["paper", "notebook"]


@dataclass(frozen=True)
class Manner:
    """How large images are sampled. seams: run the seam pass; seed: of all noise."""

    settings: JointSettings
    operator: OperatorName
    seams: bool
    seed: int


def make_settings(algorithm: Algorithm, steps: int | None) -> JointSettings:
    """The algorithm as printed or as in the notebook, with its own number of steps or about `steps`."""
    settings = PAPER if algorithm == "paper" else NOTEBOOK
    return settings if steps is None else replace(settings, stride=max(1, -(-settings.start // steps)))


def scale_of_magnification(magnification: float) -> int:
    """20 -> 0, 10 -> 1, ... Raises ImageError for what is no magnification of the series."""
    s = math.log2(BASE_MAGNIFICATION / magnification) if magnification > 0 else -1.0
    if s < -0.01 or abs(s - round(s)) > 0.01:
        raise ImageError(f"magnification {magnification:g}: expected 20, 10, 5, 2.5, 1.25, 0.625, 0.3125 or 0.15625")
    return round(s)


def describe(path: Path) -> str:
    """Sizes and digest of weights of mini, of a checkpoint or of a CDM, converted if need be. Raises WeightsError."""
    if path.suffix == ".safetensors" and not path.name.endswith(".everslide.safetensors"):
        weights = load_weights(path)
        count = sum(tensor.numel() for tensor in weights.tensors.values())
        return f"mini: {count:,} parameters, digest {weights.digest[:16]}\n  {weights.config}"
    if path.is_file() and is_cdm(path):
        cdm, digest = load_cdm(path)
        return f"cdm: {_count(cdm):,} parameters, digest {digest[:16]}\n  {cdm.config}"
    model = _load(path)
    lines = [f"zoomldm: {model.magnifications} magnifications, {model.config.image_px} px, digest {model.digest[:16]}"]
    parts = (("unet", model.unet), ("autoencoder", model.autoencoder), ("summarizer", model.summarizer))
    lines += [f"  {name:12s}{_count(network):>13,} parameters" for name, network in parts]
    return "\n".join([*lines, f"  {model.config}"])


@torch.inference_mode()
def sample_images(
    weights: Path, s: int, count: int, cdm: Path | None, embeddings: Path | None, method: Method, steps: int,
    w: float, out: Path, seed: int,
) -> None:  # fmt: skip
    """Write `count` images of scale s into a folder, conditioned by the CDM, by embeddings, or by nothing.

    embeddings: a .npy grid of one image, or a folder of such, taken in turn.
    """
    model = _load(weights)
    _check_scale(model, s)
    source: Conditions = CDMConditions(model, *load_cdm(cdm)) if cdm else NoCondition(model)
    grids = _grids(embeddings) if embeddings else []
    guided = source.guided or bool(grids)
    layout = Layout(s, 1, count)
    out.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(count), desc="images", unit="image"):
        c = source.of(seed, [layout.window(model, number)], None)
        if grids:
            c = model.condition(read_grid(grids[number % len(grids)])[None], s)
        z = layout.noise(model, seed)("sample", [number])
        z = draw(model, z, c, w=w if guided else 0.0, steps=steps, method=method)
        save(to_pixels(model.decode(z))[0], out / f"{number:05d}.png")


def paint_large(weights: Path, embeddings: Path | None, side: int, manner: Manner, out: Path) -> str:
    """Write one image of 20x, side x side patches, by Algorithm S2 below one context image; tells its size."""
    model = _load(weights)
    context = (side - 1).bit_length()
    if 2**context != side or context >= model.magnifications:
        raise ImageError(f"{side} patches a side: expected 2, 4, ... {2 ** (model.magnifications - 1)}")
    u = None if embeddings is None else read_grid(embeddings)
    if u is not None and u.shape[1:] != (side, side):
        raise ImageError(f"{embeddings}: expected {side} x {side} embeddings, found {tuple(u.shape[1:])}")
    c = model.unconditional(side**2) if u is None else model.condition(u.flatten(1).T[:, :, None, None], 0)
    c_context = model.unconditional(1) if u is None else model.condition(u[None], context)
    above, layout = Layout(context, 1, 1).noise(model, manner.seed), Layout(0, side, side)
    guides, _ = context_guides(model, c_context, manner.settings, lambda stream: above(stream, [0]))
    noise = layout.noise(model, manner.seed)
    z = sample_details(model, guides, c, layout, manner.settings, manner.operator, noise)
    return _finish(model, z, u, layout, manner, out)


def invert_image(weights: Path, image: Path, s: int, steps: int, variations: int, out: Path, seed: int) -> str:
    """Write the embeddings (C, rows, cols) of an image of scale s as .npy, and variations of its first part."""
    model = _load(weights)
    _check_scale(model, s)
    u = infer_embeddings(model, _picture(model, image), s, InversionSettings(steps=steps), seed)
    np.save(out.with_suffix(".npy"), u.cpu().numpy())
    k, layout = grid_side(s), Layout(s, 1, max(variations, 1))
    with torch.inference_mode():
        c = model.condition(u[None, :, :k, :k], s)
        for number in range(variations):
            z = draw(model, layout.noise(model, seed)("variation", [number]), c, w=1.0, steps=50, method="plms")
            save(to_pixels(model.decode(z))[0], out.with_name(f"{out.stem}-{number}.png"))
    return f"{out.with_suffix('.npy')}: embeddings {tuple(u.shape)}; {variations} variations"


def enlarge_with_mini(weights: Path | None, image: Path, s_from: int, s_to: int, out: Path, seed: int) -> str:
    """Octave by octave through the painter: the box means of what it paints are the picture, exactly."""
    pixels = read_rgb(image)
    high, wide = pixels.shape[:2]
    slide = Slide("enlarged", seed, max(wide * 2**s_from, TILE_PX), max(high * 2**s_from, TILE_PX))
    painter = Painter(slide, load_mini(weights), MemoryTiles(), ImageTop(pixels, s_from))
    for s in tqdm(range(s_from - 1, s_to - 1, -1), desc="octaves", unit="octave"):
        pixels = field_of(painter, s, Rect(0, 0, wide * 2 ** (s_from - s), high * 2 ** (s_from - s)))
    return save(pixels, out)


def enlarge_with_zoomldm(
    weights: Path, image: Path, s_from: int, s_to: int, mode: Mode, embeddings: Path | None, invert_steps: int,
    manner: Manner, out: Path,
) -> str:  # fmt: skip
    """Algorithm S1 below the picture (supplement, S4.1), in one go from scale to scale; tells the size."""
    model = _load(weights)
    _check_scale(model, s_from)
    pixels, factor = _picture(model, image), 2 ** (s_from - s_to)
    layout = Layout(s_to, *(length // model.config.image_px * factor for length in pixels.shape[2:]))
    u: Tensor | None = None
    if mode == "gt":
        if embeddings is None:
            raise ImageError("mode gt: expected --embeddings GRID.npy, one embedding per patch of 20x")
        u = read_grid(embeddings)
        if u.shape[1:] != (layout.rows * 2**s_to, layout.cols * 2**s_to):
            raise ImageError(
                f"{embeddings}: expected {layout.rows * 2**s_to} x {layout.cols * 2**s_to} embeddings, one per patch "
                f"of 20x, found {tuple(u.shape[1:])}"
            )
    elif mode == "infer":
        inferred = infer_embeddings(model, pixels, s_from, InversionSettings(steps=invert_steps), manner.seed)
        each = 2**s_from // grid_side(s_from)
        u = inferred.repeat_interleave(each, 1).repeat_interleave(each, 2)
    count = layout.rows * layout.cols
    with torch.inference_mode():
        c = model.unconditional(count)
        if u is not None:
            grid = GridConditions(model, u)
            c = torch.cat([grid.of(manner.seed, [layout.window(model, n)], None) for n in range(count)])
    noise = layout.noise(model, manner.seed)
    z = sample_details(model, [pixels], c, layout, manner.settings, manner.operator, noise)
    return _finish(model, z, u, layout, replace(manner, seams=manner.seams and s_to == 0), out)


def save(pixels: NDArray[np.uint8], path: Path) -> str:
    """Write a PNG that says in itself that it is synthetic; tells its size."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", "SYNTHETIC - not for diagnosis. Painted by Everslide.")
    Image.fromarray(pixels).save(path.with_suffix(".png"), pnginfo=text)
    return f"{path.with_suffix('.png')}: {pixels.shape[1]} x {pixels.shape[0]} px, SYNTHETIC - not for diagnosis"


@torch.inference_mode()
def _finish(model: ZoomLDM, z: Tensor, u: Tensor | None, layout: Layout, manner: Manner, out: Path) -> str:
    """Seam pass, decoding, saving."""
    step = model.latent_side // 4
    if manner.seams:
        z = join_seams(model, z, u, SeamSettings(step=step), layout.noise(model, manner.seed), batch=1)
    decoded = decode_large(model, z, step)
    return save((decoded * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy(), out)


def _grids(path: Path) -> list[Path]:
    """The .npy files of a folder, or the one that was given. Raises ImageError."""
    found = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not found:
        raise ImageError(f"{path}: expected a folder of .npy grids of embeddings, found none")
    return found


def _load(weights: Path) -> ZoomLDM:
    return load_zoomldm(weights, device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _check_scale(model: ZoomLDM, s: int) -> None:
    if s >= model.magnifications:
        raise ImageError(f"magnification {BASE_MAGNIFICATION / 2**s:g}: this checkpoint knows {model.magnifications}")


def _picture(model: ZoomLDM, path: Path) -> Tensor:
    """(1, 3, H, W) in [-1, 1], cut in its middle to whole training images. Raises ImageError."""
    side = model.config.image_px
    pixels = read_rgb(path, min_side=side)
    high, wide = (length // side * side for length in pixels.shape[:2])
    top, left = (pixels.shape[0] - high) // 2, (pixels.shape[1] - wide) // 2
    cut = np.ascontiguousarray(pixels[top : top + high, left : left + wide].transpose(2, 0, 1))
    return torch.from_numpy(cut).to(model.device, model.dtype)[None] / 127.5 - 1


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())

"""The commands of ZoomLDM from files to files: describe, sample, paint large, invert, enlarge."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
from everslide.model.evaluation.fields import MemoryTiles, field_of
from everslide.model.geometry import TILE_PX, Rect
from everslide.model.image_io.user_picture import read_rgb
from everslide.model.mini.model import load_mini
from everslide.model.mini.weights import load_weights
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.slide import Slide
from everslide.model.whole_file import written_whole
from everslide.model.zoomldm.checkpoint import is_cdm
from everslide.model.zoomldm.compute import Compute, in_batches
from everslide.model.zoomldm.conditions import CDMConditions, Conditions, GridConditions, NoCondition
from everslide.model.zoomldm.encoders import read_grid
from everslide.model.zoomldm.inversion import InversionSettings
from everslide.model.zoomldm.joint import NOTEBOOK, S1, S1_PRINTED, S2, S2_PRINTED, JointSettings
from everslide.model.zoomldm.kept import Kept
from everslide.model.zoomldm.large import Layout, context_guides, infer_embeddings, join_seams, sample_details
from everslide.model.zoomldm.latents import to_pixels
from everslide.model.zoomldm.resize import OperatorName
from everslide.model.zoomldm.sampling import Method
from everslide.model.zoomldm.sampling import sample as draw
from everslide.model.zoomldm.scales import Scale, check_scale
from everslide.model.zoomldm.seams import SeamSettings, decode_large
from everslide.model.zoomldm.summarizer import grid_side
from everslide.model.zoomldm.zoomldm import ZoomLDM, load_cdm, load_zoomldm

Mode = Literal["uncond", "gt", "infer"]
Algorithm = Literal["s1", "s1-printed", "s2", "s2-printed", "notebook"]
ALGORITHMS: dict[Algorithm, JointSettings] = {
    "s1": S1, "s1-printed": S1_PRINTED, "s2": S2, "s2-printed": S2_PRINTED, "notebook": NOTEBOOK
}  # fmt: skip
LARGEST_SIDE = 16
"""Patches a side of the paper's large images."""


@dataclass(frozen=True)
class JointSampling:
    """How large images are sampled. operator: A; seams: whether the seam pass is run; seed: of all noise; compute:
    device, batch and precision."""

    settings: JointSettings
    operator: OperatorName
    seams: bool
    seed: int
    compute: Compute


def make_settings(algorithm: Algorithm, steps: int | None) -> JointSettings:
    """The settings of an algorithm, with its own number of steps, or `steps` where they divide 1000, else fewer."""
    settings = ALGORITHMS[algorithm]
    return settings if steps is None else replace(settings, stride=max(1, -(-settings.start // steps)))


def describe(path: Path) -> str:
    """Lines that tell sizes and digest of weights of mini, of a checkpoint or of a CDM, converted if need be.

    Raises WeightsError where it is none of these.
    """
    if path.suffix == ".safetensors" and not path.name.endswith(".everslide.safetensors"):
        weights = load_weights(path)
        count = sum(tensor.numel() for tensor in weights.tensors.values())
        return f"mini: {count:,} parameters, digest {weights.digest[:16]}\n  {weights.config}"
    if path.is_file() and is_cdm(path):
        cdm, digest = load_cdm(path)
        return f"cdm: {_count(cdm):,} parameters, digest {digest[:16]}\n  {cdm.config}"
    model = load_zoomldm(path)
    lines = [f"zoomldm: {model.magnifications} magnifications, {model.config.image_px} px, digest {model.digest[:16]}"]
    parts = (("unet", model.unet), ("autoencoder", model.autoencoder), ("summarizer", model.summarizer))
    lines += [f"  {name:12s}{_count(network):>13,} parameters" for name, network in parts]
    return "\n".join([*lines, f"  {model.config}"])


def sample_images(
    weights: Path, scale: Scale, count: int, cdm: Path | None, embeddings: Path | None, method: Method, steps: int,
    w: float, out: Path, seed: int, compute: Compute,
) -> None:  # fmt: skip
    """Write `count` images of a scale into the folder `out`, conditioned by the CDM, by embeddings, or by nothing.

    embeddings: a .npy grid of one image, or a folder of such, taken in turn. w: guidance, 0 for none. Images that a
    stopped run has written are not drawn again.
    """
    model = load(weights, compute)
    s = check_scale(model.config, scale)
    sampler = load_cdm(cdm, device=model.device) if cdm else None
    grids = _grids(embeddings) if embeddings else []
    facts = (model.digest, s, sampler and sampler[1], [_state(path) for path in grids], method, steps, w, seed)
    with Kept(out, facts) as kept, torch.inference_mode():
        source: Conditions = CDMConditions(model, *sampler) if sampler else NoCondition(model)
        guided, layout = source.guided or bool(grids), Layout(s, 1, count)
        out.mkdir(parents=True, exist_ok=True)

        def work(part: list[int]) -> Tensor:
            c = source.of(seed, [layout.window(model, number) for number in part], None)
            if grids:
                read = [read_grid(grids[number % len(grids)], _channels(model)) for number in part]
                c = torch.cat([model.condition(grid[None], s) for grid in read])
            z = layout.noise(model, seed)("sample", part)
            return model.decode(draw(model, z, c, w=w if guided else 0.0, steps=steps, method=method))

        paths = [out / f"{number:05d}.png" for number in range(count)]
        missing = [number for number in range(count) if not (kept.resumed and paths[number].is_file())]
        with tqdm(total=count, initial=count - len(missing), desc="images", unit="image") as bar:
            for part, images in in_batches(missing, compute.batch, work):
                for number, pixels in zip(part, to_pixels(images), strict=True):
                    save(pixels, paths[number])
                bar.update(len(part))


def paint_large(weights: Path, embeddings: Path | None, side: int | None, sampling: JointSampling, out: Path) -> str:
    """Write one image of the finest scale, side x side patches, by joint sampling below one context; returns its size.

    side: by default as many as the paper has, or as the checkpoint has scales for.
    """
    model = load(weights, sampling.compute)
    side = side or min(LARGEST_SIDE, 2 ** (model.magnifications - 1))
    context = (side - 1).bit_length()
    if 2**context != side or context >= model.magnifications:
        raise ImageError(f"{side} patches a side: expected 2, 4, ... {2 ** (model.magnifications - 1)}")
    u = None if embeddings is None else read_grid(embeddings, _channels(model))
    if u is not None and u.shape[1:] != (side, side):
        raise ImageError(f"{embeddings}: expected {side} x {side} embeddings, found {tuple(u.shape[1:])}")
    if u is None:
        sampling = replace(sampling, settings=replace(sampling.settings, w=0.0))  # nothing to guide by
    facts = (
        "large",
        model.digest,
        sampling.settings,
        sampling.operator,
        sampling.seed,
        side,
        _bytes(u),
        str(sampling.compute),
    )
    with Kept(out, facts) as kept, torch.inference_mode():
        c = model.unconditional(side**2) if u is None else _each(model, u)
        c_context = model.unconditional(1) if u is None else model.condition(u[None], context)
        above, layout = Layout(context, 1, 1).noise(model, sampling.seed), Layout(0, side, side)

        def guides() -> Tensor:
            found, _ = context_guides(model, c_context, sampling.settings, lambda stream: above(stream, [0]))
            return torch.cat(found)

        shown = [guide[None] for guide in kept.once("context", model.device, guides)]
        noise = layout.noise(model, sampling.seed)
        batch = sampling.compute.batch
        z = sample_details(model, shown, c, layout, sampling.settings, sampling.operator, noise, batch, kept)
        return _finish(model, z, u, layout, sampling, out, kept)


def invert_image(
    weights: Path, image: Path, scale: Scale, steps: int, variations: int, out: Path, seed: int, compute: Compute
) -> str:
    """Write the embeddings (C, rows, cols) of an image as .npy, and images sampled from those of its top-left part.

    Returns a line for people. Raises ImageError, WeightsError.
    """
    model = load(weights, compute)
    s = check_scale(model.config, scale)
    pixels = _picture(model, image)
    with Kept(out, ("invert", model.digest, _bytes(pixels), s, steps, seed, str(compute))) as kept:
        u = infer_embeddings(model, pixels, s, InversionSettings(steps=steps), seed, compute.batch, kept)
        np.save(out.with_suffix(".npy"), u.cpu().numpy())
        k, layout = grid_side(s), Layout(s, 1, max(variations, 1))
        with torch.inference_mode():
            c = model.condition(u[None, :, :k, :k], s)

            def work(part: list[int]) -> Tensor:
                z = layout.noise(model, seed)("variation", part)
                return model.decode(draw(model, z, c.expand(len(part), -1, -1), w=1.0, steps=50, method="plms"))

            for part, images in in_batches(range(variations), compute.batch, work):
                for number, one in zip(part, to_pixels(images), strict=True):
                    save(one, out.with_name(f"{out.stem}-{number}.png"))
    return f"{out.with_suffix('.npy')}: embeddings {tuple(u.shape)}; {variations} variations"


def enlarge_with_mini(weights: Path | None, image: Path, s_from: int, s_to: int, out: Path, seed: int) -> str:
    """Enlarge a picture of scale s_from to s_to by the painter of `mini`, octave by octave, and write it.

    The box means of what is written are the picture, exactly. Returns a line for people. Raises ImageError,
    WeightsError.
    """
    pixels = read_rgb(image)
    high, wide = pixels.shape[:2]
    slide = Slide("enlarged", seed, max(wide * 2**s_from, TILE_PX), max(high * 2**s_from, TILE_PX))
    painter = Painter(slide, load_mini(weights), MemoryTiles(), ImageTop(pixels, s_from))
    for s in tqdm(range(s_from - 1, s_to - 1, -1), desc="octaves", unit="octave"):
        pixels = field_of(painter, s, Rect(0, 0, wide * 2 ** (s_from - s), high * 2 ** (s_from - s)))
    return save(pixels, out)


def enlarge_with_zoomldm(
    weights: Path, image: Path, start: Scale, stop: Scale, mode: Mode, embeddings: Path | None, invert_steps: int,
    sampling: JointSampling, out: Path,
) -> str:  # fmt: skip
    """Enlarge a picture from one scale to another by joint sampling below it (supplement, S4.1), and write it.

    mode: without embeddings (uncond), with those of the file `embeddings` (gt), or with those found by inversion in
    `invert_steps` steps (infer). Returns a line for people. Raises ImageError, WeightsError.
    """
    model = load(weights, sampling.compute)
    s_from, s_to = check_scale(model.config, start), check_scale(model.config, stop)
    pixels, factor = _picture(model, image), 2 ** (s_from - s_to)
    layout = Layout(s_to, *(length // model.config.image_px * factor for length in pixels.shape[2:]))
    given = _given_embeddings(model, embeddings, layout) if mode == "gt" else None
    if mode == "uncond":
        sampling = replace(sampling, settings=replace(sampling.settings, w=0.0))  # nothing to guide by
    facts = (
        "superres", model.digest, _bytes(pixels), s_from, s_to, mode, invert_steps, _bytes(given), sampling.settings,
        sampling.operator, sampling.seed, str(sampling.compute),
    )  # fmt: skip
    with Kept(out, facts) as kept:
        u = given
        if mode == "infer":
            inversion = InversionSettings(steps=invert_steps)
            found = infer_embeddings(model, pixels, s_from, inversion, sampling.seed, sampling.compute.batch, kept)
            each = 2**s_from // grid_side(s_from)
            u = found.repeat_interleave(each, 1).repeat_interleave(each, 2)
        with torch.inference_mode():
            c = model.unconditional(layout.count)
            if u is not None:
                grid = GridConditions(model, u)
                c = torch.cat([grid.of(sampling.seed, [layout.window(model, n)], None) for n in range(layout.count)])
        noise, batch = layout.noise(model, sampling.seed), sampling.compute.batch
        z = sample_details(model, [pixels], c, layout, sampling.settings, sampling.operator, noise, batch, kept)
        return _finish(model, z, u, layout, replace(sampling, seams=sampling.seams and s_to == 0), out, kept)


def save(pixels: NDArray[np.uint8], path: Path) -> str:
    """Write pixels (H, W, 3) as a PNG that says in itself that it is synthetic, whole or not at all; returns a line for
    people with path and size."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", "SYNTHETIC - not for diagnosis. Painted by Everslide.")
    target = path.with_suffix(".png")
    with written_whole(target) as partial:
        Image.fromarray(pixels).save(partial, "PNG", pnginfo=text)
    return f"{target}: {pixels.shape[1]} x {pixels.shape[0]} px, SYNTHETIC - not for diagnosis"


def load(weights: Path, compute: Compute) -> ZoomLDM:
    """A checkpoint on the device and in the precision of `compute`. Raises WeightsError."""
    return load_zoomldm(weights, device=compute.device, autocast=compute.autocast)


@torch.inference_mode()
def _finish(
    model: ZoomLDM, z: Tensor, u: Tensor | None, layout: Layout, sampling: JointSampling, out: Path, kept: Kept
) -> str:
    """Seam pass, decoding, saving."""
    step, batch = model.latent_side // 4, sampling.compute.batch
    if sampling.seams:
        settings = SeamSettings(step=step, w=0.0 if u is None else SeamSettings.w)
        z = join_seams(model, z, u, settings, layout.noise(model, sampling.seed), batch, kept)
    decoded = decode_large(model, z, step, batch)
    return save((decoded * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy(), out)


def _each(model: ZoomLDM, u: Tensor) -> Tensor:
    """Conditions (n, 65, C') of single patches of the finest scale; u: (C, rows, cols)."""
    return model.condition(u.flatten(1).T[:, :, None, None], 0)


def _given_embeddings(model: ZoomLDM, path: Path | None, layout: Layout) -> Tensor:
    """One embedding per patch of 20x below the layout. Raises ImageError."""
    if path is None:
        raise ImageError("mode gt: expected --embeddings GRID.npy, one embedding per patch of 20x")
    u, wanted = read_grid(path, _channels(model)), (layout.rows * 2**layout.s, layout.cols * 2**layout.s)
    if u.shape[1:] != wanted:
        raise ImageError(
            f"{path}: expected {wanted[0]} x {wanted[1]} embeddings, one per patch of 20x, found {tuple(u.shape[1:])}"
        )
    return u


def _grids(path: Path) -> Sequence[Path]:
    """The .npy files of a folder, or the one that was given. Raises ImageError."""
    found = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not found:
        raise ImageError(f"{path}: expected a folder of .npy grids of embeddings, found none")
    return found


def _picture(model: ZoomLDM, path: Path) -> Tensor:
    """(1, 3, H, W) in [-1, 1], cut in its middle to whole training images. Raises ImageError."""
    side = model.config.image_px
    pixels = read_rgb(path, min_side=side)
    high, wide = (length // side * side for length in pixels.shape[:2])
    top, left = (pixels.shape[0] - high) // 2, (pixels.shape[1] - wide) // 2
    cut = np.ascontiguousarray(pixels[top : top + high, left : left + wide].transpose(2, 0, 1))
    return torch.from_numpy(cut).to(model.device, model.dtype)[None] / 127.5 - 1


def _channels(model: ZoomLDM) -> int:
    return model.config.summarizer.input_channels


def _bytes(tensor: Tensor | None) -> str:
    """Digest of a tensor's numbers."""
    return "" if tensor is None else hashlib.sha256(tensor.cpu().float().contiguous().numpy().tobytes()).hexdigest()


def _state(path: Path) -> tuple[str, int]:
    return path.name, path.stat().st_mtime_ns if path.is_file() else 0


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())

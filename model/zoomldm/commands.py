"""Commands of ZoomLDM: `models`, `sample`, `large`, `invert`, `superres`, `embed`, `measure`. They import when run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from everslide.model.cli_errors import cli_errors
from everslide.model.command_types import OVERWRITE, Number, UserPath, check_free
from everslide.model.zoomldm.training_commands import zoomldm

if TYPE_CHECKING:
    from everslide.model.zoomldm.compute import Compute, Precision
    from everslide.model.zoomldm.resize import OperatorName
    from everslide.model.zoomldm.studio import Algorithm, Mode

_FILE = UserPath(dir_okay=False)
_FOLDER = UserPath(file_okay=False)
_PATH = UserPath()
_CHECKPOINT = click.option("--weights", type=_PATH, required=True, help="Checkpoint: a folder, or its weights.")
_SEED = click.option("--seed", default=1, show_default=True, help="Seed of all noise.")
_STEPS = click.option("--steps", type=click.IntRange(1, 1000), help="Steps instead of the method's own number.")
_OPERATOR = click.option(
    "--operator", type=click.Choice(["box", "bicubic", "resizer"]), default="bicubic", show_default=True, help="A."
)
_ALGORITHMS = click.Choice(["s1", "s1-printed", "s2", "s2-printed", "notebook"])
_SCALE = "Magnification of tissue (20, 10, 5, ...), or metres per pixel of the ground (1m, 2m, ...)"
F = TypeVar("F", bound=Callable[..., Any])


def _algorithm(default: str) -> Callable[[F], F]:
    return click.option(
        "--algorithm",
        type=_ALGORITHMS,
        default=default,
        show_default=True,
        help="s1: gradient through the decoder; s2: finite difference through the encoder; both with directions of "
        "bounded length, 50 steps, K = 1. s1-printed, s2-printed: as in the paper, not stable. notebook: s2 as in the "
        "authors' notebook, 20 steps, K = 10.",
    )


def _computing(command: F) -> F:
    """--device, --batch, --precision."""
    command = click.option(
        "--precision", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True,
        help="Of the networks alone; samplers stay in float32.",
    )(command)  # fmt: skip
    command = click.option(
        "--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at once; fewer where memory ends."
    )(command)
    return click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")(command)


def _compute(device: str, batch: int, precision: Precision) -> Compute:
    from everslide.model.zoomldm.compute import Compute, choose_device

    return Compute(choose_device(device), batch, precision)


@click.group()
def models() -> None:
    """Published checkpoints: list, fetch, show."""


@models.command("list")
def list_() -> None:
    """List what Everslide can paint with, and where it is published."""
    from everslide.model.zoomldm.hub import PUBLISHED

    click.echo("mini          ships with Everslide; `everslide serve`")
    for name, entry in PUBLISHED.items():
        click.echo(f"{name:13s} {entry.repository}, {', '.join(entry.patterns)}: {entry.text}")
    click.echo("`everslide models pull NAME --out FOLDER` fetches one.")


@models.command()
@click.argument("name")
@click.option("--out", type=_FOLDER, required=True, help="Folder that the files are put into.")
def pull(name: str, out: Path) -> None:
    """Fetch the published files of NAME from the hub."""
    from everslide.model.zoomldm.hub import pull as run

    with cli_errors():
        folder = run(name, out)
    click.echo(f"{folder}: fetched; look at it with `everslide models show {folder}`")


@models.command()
@click.argument("path", type=_PATH)
def show(path: Path) -> None:
    """Show sizes and digest of a checkpoint at PATH, converting it where that was not done yet."""
    from everslide.model.zoomldm.studio import describe

    with cli_errors():
        click.echo(describe(path))


@click.command()
@_CHECKPOINT
@click.option("--mag", help=_SCALE + "; the finest by default.")
@click.option("--count", type=click.IntRange(1), default=4, show_default=True, help="Images.")
@click.option("--cdm", type=_FILE, help="Checkpoint of the CDM: conditions are sampled from it.")
@click.option("--embeddings", type=_PATH, help="A .npy grid of embeddings of one image, or a folder of such.")
@click.option("--method", type=click.Choice(["ddim", "dpm++", "plms"]), default="plms", show_default=True)
@click.option("--steps", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--scale", type=Number(0), default=2.0, show_default=True, help="Guidance as usual: 1 is none.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of the images.")
@_computing
@_SEED
def sample(
    weights: Path, mag: str | None, count: int, cdm: Path | None, embeddings: Path | None,
    method: Literal["ddim", "dpm++", "plms"], steps: int, scale: float, out: Path, seed: int, device: str, batch: int,
    precision: Precision,
) -> None:  # fmt: skip
    """Paint single images of one magnification, as large as the training images."""
    from everslide.model.zoomldm.scales import parse_scale
    from everslide.model.zoomldm.studio import sample_images

    with cli_errors():
        compute = _compute(device, batch, precision)
        sample_images(weights, parse_scale(mag), count, cdm, embeddings, method, steps, scale - 1, out, seed, compute)
    click.echo(f"{out}: {count} images, SYNTHETIC - not for diagnosis")


@click.command()
@_CHECKPOINT
@click.option("--embeddings", type=_FILE, help="A .npy grid of embeddings, one per patch of 20x; else none.")
@click.option(
    "--side", type=click.IntRange(2, 128), help="Patches a side; by default 16, or as many as there are scales for."
)
@click.option("--seams/--no-seams", default=True, show_default=True, help="The seam pass.")
@click.option("--out", type=_FILE, required=True, help="The image, .png.")
@OVERWRITE
@_algorithm("s2")
@_STEPS
@_OPERATOR
@_computing
@_SEED
def large(
    weights: Path, embeddings: Path | None, side: int | None, seams: bool, out: Path, overwrite: bool,
    algorithm: Algorithm, steps: int | None, operator: OperatorName, seed: int, device: str, batch: int,
    precision: Precision,
) -> None:  # fmt: skip
    """Paint one large image of 20x by joint multi-scale sampling (Algorithm S2) below one context image.

    With the published checkpoints, 16 patches a side are 4096 x 4096 px below a context of 1.25x.
    """
    from everslide.model.zoomldm.studio import JointSampling, make_settings, paint_large

    with cli_errors():
        check_free(out, overwrite)
        compute = _compute(device, batch, precision)
        sampling = JointSampling(make_settings(algorithm, steps), operator, seams, seed, compute)
        click.echo(paint_large(weights, embeddings, side, sampling, out))


@click.command()
@click.argument("image", type=_FILE)
@_CHECKPOINT
@click.option("--mag", required=True, help=_SCALE + ".")
@click.option("--steps", type=click.IntRange(1, 10_000), default=200, show_default=True)
@click.option("--variations", type=click.IntRange(0), default=0, show_default=True, help="Images sampled from it.")
@click.option("--out", type=_FILE, required=True, help="The embeddings, .npy; variations go beside it.")
@_computing
@_SEED
def invert(
    image: Path, weights: Path, mag: str, steps: int, variations: int, out: Path, seed: int, device: str, batch: int,
    precision: Precision,
) -> None:  # fmt: skip
    """Find the embeddings of IMAGE through the frozen denoiser (supplement, S3.3).

    They condition variations of it here, and `everslide large --embeddings`, `superres --embeddings`, and the slides of
    `everslide serve --with reference=`.
    """
    from everslide.model.zoomldm.scales import parse_scale
    from everslide.model.zoomldm.studio import invert_image

    with cli_errors():
        compute = _compute(device, batch, precision)
        click.echo(invert_image(weights, image, parse_scale(mag), steps, variations, out, seed, compute))


@click.command()
@click.argument("image", type=_FILE)
@click.option("--model", "name", type=click.Choice(["mini", "zoomldm"]), default="mini", show_default=True)
@click.option("--weights", type=_PATH, help="Weights of mini, or a checkpoint; those shipped for mini by default.")
@click.option("--from", "start", required=True, help=_SCALE + ", of IMAGE.")
@click.option("--to", "stop", help="The same of what is wanted; the finest by default.")
@click.option("--mode", type=click.Choice(["uncond", "gt", "infer"]), default="uncond", show_default=True,
              help="zoomldm: without embeddings, with those of --embeddings, or with inferred ones.")  # fmt: skip
@click.option("--embeddings", type=_FILE, help="A .npy grid of embeddings, one per patch of 20x, for --mode gt.")
@click.option("--invert-steps", type=click.IntRange(1), default=200, show_default=True, help="Steps of --mode infer.")
@click.option("--seams/--no-seams", default=True, show_default=True, help="zoomldm: the seam pass.")
@click.option("--out", type=_FILE, required=True, help="The image, .png.")
@OVERWRITE
@_algorithm("s1")
@_STEPS
@_OPERATOR
@_computing
@_SEED
def superres(
    image: Path, name: str, weights: Path | None, start: str, stop: str | None, mode: Mode, embeddings: Path | None,
    invert_steps: int, seams: bool, out: Path, overwrite: bool, algorithm: Algorithm, steps: int | None,
    operator: OperatorName, seed: int, device: str, batch: int, precision: Precision,
) -> None:  # fmt: skip
    """Enlarge IMAGE from one magnification to another: mini octave by octave, zoomldm by Algorithm S1 (S4.1)."""
    from everslide.model.errors import ImageError
    from everslide.model.zoomldm.scales import parse_scale
    from everslide.model.zoomldm.studio import JointSampling, enlarge_with_mini, enlarge_with_zoomldm, make_settings

    with cli_errors():
        check_free(out, overwrite)
        scale_from, scale_to = parse_scale(start), parse_scale(stop)
        if scale_from.s <= scale_to.s:
            raise ImageError(f"--from {start} --to {stop or 'the finest'}: expected a finer scale to go to")
        if name == "mini" and (scale_from.ground or scale_to.ground):
            raise ImageError(f"--from {start}: mini paints tissue; expected a magnification, such as 5")
        if name == "mini":
            click.echo(enlarge_with_mini(weights, image, scale_from.s, scale_to.s, out, seed))
        elif weights is None:
            raise ImageError("--model zoomldm: expected --weights FOLDER with weights.ckpt and config.yaml")
        else:
            compute = _compute(device, batch, precision)
            sampling = JointSampling(make_settings(algorithm, steps), operator, seams, seed, compute)
            click.echo(
                enlarge_with_zoomldm(
                    weights, image, scale_from, scale_to, mode, embeddings, invert_steps, sampling, out
                )
            )


@click.command()
@click.argument("slide", type=_FILE)
@click.option("--encoder", required=True, help="NAME:FILE with NAME uni, hipt, dinov2 or dinov2-reg; or mini.")
@click.option("--region", help="X,Y,W,H in pixels of 20x; all by default.")
@click.option("--side", type=click.IntRange(1, 128), help="Cut into grids of so many patches a side; else one grid.")
@click.option("--tissue", type=Number(0, 1), default=0.5, show_default=True, help="Least share, with --side.")
@click.option("--patch", type=click.IntRange(32, 1024), default=256, show_default=True, help="Side of a patch, px.")
@click.option("--out", type=_PATH, required=True, help="The grid, .npy; with --side a folder of grids.")
@_computing
def embed(
    slide: Path, encoder: str, region: str | None, side: int | None, tissue: float, patch: int, out: Path, device: str,
    batch: int, precision: Precision,
) -> None:  # fmt: skip
    """Write grids of embeddings of a SLIDE's 20x patches, as `sample`, `large` and `superres --mode gt` read them.

    A whole-slide file is read at 0.5 um per pixel; a plain picture (.png, .jpg) as it is.
    """
    from everslide.model.errors import ImageError
    from everslide.model.geometry import Rect
    from everslide.model.zoomldm.embedding import EmbedOptions, embed_slide
    from everslide.model.zoomldm.extractors import make_extractor

    with cli_errors():
        compute = _compute(device, batch, precision)
        try:
            rect = None if region is None else Rect(*(int(number) for number in region.split(",")))
        except (ValueError, TypeError) as error:
            raise ImageError(f"--region {region}: expected X,Y,W,H in pixels of 20x") from error
        options = EmbedOptions(rect, side, tissue, patch)
        written = embed_slide(slide, make_extractor(encoder, compute), options, compute, out)
        click.echo(f"{out}: {len(written)} grids of embeddings")


@click.command()
@click.argument("painted", type=_FOLDER)
@click.argument("real", type=_FOLDER)
@click.option(
    "--extractor",
    default="texture",
    show_default=True,
    help="texture, mini, or NAME:PATH: uni, hipt, dinov2, clip, conch (weights), inception, script (TorchScript).",
)
@click.option("--crop", type=click.IntRange(16), help="Also compare crops of this side: crop FID.")
@click.option("--lpips", help="LPIPS: BACKBONE.pth:LINEAR.pth as published, or a TorchScript file.")
@click.option("--memorised", is_flag=True, help="Also look for copies of REAL images.")
@click.option("--sheet", type=_FILE, help="Also write the nearest pairs as a picture, .png.")
@click.option("--resume", type=_FOLDER, help="Folder in which finished embeddings are kept until the end.")
@_computing
def measure(
    painted: Path, real: Path, extractor: str, crop: int | None, lpips: str | None, memorised: bool,
    sheet: Path | None, resume: Path | None, device: str, batch: int, precision: Precision,
) -> None:  # fmt: skip
    """The paper's measures of a folder of PAINTED images against one of REAL images, as JSON.

    FID is the Frechet distance with `inception`, CLIP FID with `clip`. Images of the same name and size are also
    compared one to one: PSNR, SSIM, similarity (cosine of their embeddings), LPIPS.
    """
    from dataclasses import asdict

    from everslide.model.zoomldm.extractors import make_distance, make_extractor
    from everslide.model.zoomldm.measuring import MeasureOptions
    from everslide.model.zoomldm.measuring import measure as run

    with cli_errors():
        compute = _compute(device, batch, precision)
        network = make_extractor(extractor, compute)
        options = MeasureOptions(crop, memorised, sheet, resume)
        distance = make_distance(lpips, compute) if lpips else None
        figures = run(painted, real, network, options, compute, distance)
    click.echo(json.dumps({"extractor": extractor, **asdict(figures)}, indent=1))


COMMANDS: tuple[click.Command, ...] = (models, sample, large, invert, superres, embed, measure, zoomldm)

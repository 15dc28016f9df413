"""Commands of ZoomLDM: `everslide models`, `sample`, `large`, `invert`, `superres`, `measure`. They import when run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from everslide.model.speaking import speaking

if TYPE_CHECKING:
    from everslide.model.zoomldm.resize import OperatorName
    from everslide.model.zoomldm.studio import Algorithm, Mode

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_PATH = click.Path(path_type=Path)
_CHECKPOINT = click.option("--weights", type=_PATH, required=True, help="Checkpoint: a folder, or its weights.")
_SEED = click.option("--seed", default=1, show_default=True, help="Seed of all noise.")
_STEPS = click.option("--steps", type=click.IntRange(1, 1000), help="Steps instead of the method's own number.")
_OPERATOR = click.option(
    "--operator", type=click.Choice(["box", "bicubic", "resizer"]), default="bicubic", show_default=True, help="A."
)
_METHOD = click.option(
    "--algorithm",
    type=click.Choice(["paper", "notebook"]),
    default="paper",
    show_default=True,
    help="The algorithm as printed (50 steps, K = 1), or as in the authors' notebook (20 steps, K = 10).",
)


@click.group()
def models() -> None:
    """Published checkpoints: list, fetch, show."""


@models.command("list")
def list_() -> None:
    """List what Everslide can paint with, and where it is published."""
    from everslide.model.zoomldm.hub import PUBLISHED

    click.echo("mini          ships with Everslide; `everslide serve`")
    for name, entry in PUBLISHED.items():
        click.echo(f"{name:13s} {entry.repository}, {entry.pattern}: {entry.text}")
    click.echo("`everslide models pull NAME --out FOLDER` fetches one.")


@models.command()
@click.argument("name")
@click.option("--out", type=_FOLDER, required=True, help="Folder that the files are put into.")
def pull(name: str, out: Path) -> None:
    """Fetch the published files of NAME from the hub."""
    from everslide.model.zoomldm.hub import pull as run

    with speaking():
        folder = run(name, out)
    click.echo(f"{folder}: fetched; look at it with `everslide models show {folder}`")


@models.command()
@click.argument("path", type=_PATH)
def show(path: Path) -> None:
    """Show sizes and digest of a checkpoint at PATH, converting it where that was not done yet."""
    from everslide.model.zoomldm.studio import describe

    with speaking():
        click.echo(describe(path))


@click.command()
@_CHECKPOINT
@click.option("--mag", type=float, default=20.0, show_default=True, help="Magnification: 20, 10, 5, ...")
@click.option("--count", type=click.IntRange(1), default=4, show_default=True, help="Images.")
@click.option("--cdm", type=_FILE, help="Checkpoint of the CDM: conditions are sampled from it.")
@click.option("--embeddings", type=_PATH, help="A .npy grid of embeddings of one image, or a folder of such.")
@click.option("--method", type=click.Choice(["ddim", "dpm++", "plms"]), default="plms", show_default=True)
@click.option("--steps", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--scale", default=2.0, show_default=True, help="Guidance in the usual convention: 1 is none.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of the images.")
@_SEED
def sample(
    weights: Path, mag: float, count: int, cdm: Path | None, embeddings: Path | None,
    method: Literal["ddim", "dpm++", "plms"], steps: int, scale: float, out: Path, seed: int,
) -> None:  # fmt: skip
    """Paint single images of one magnification, as large as the training images."""
    from everslide.model.zoomldm.studio import sample_images, scale_of_magnification

    with speaking():
        s = scale_of_magnification(mag)
        sample_images(weights, s, count, cdm, embeddings, method, steps, scale - 1, out, seed)
    click.echo(f"{out}: {count} images, SYNTHETIC - not for diagnosis")


@click.command()
@_CHECKPOINT
@click.option("--embeddings", type=_FILE, help="A .npy grid of embeddings, one per patch of 20x; else none.")
@click.option("--side", type=click.IntRange(2, 64), default=16, show_default=True, help="Patches a side.")
@click.option("--seams/--no-seams", default=True, show_default=True, help="The seam pass.")
@click.option("--out", type=_FILE, required=True, help="The image, .png.")
@_METHOD
@_STEPS
@_OPERATOR
@_SEED
def large(
    weights: Path, embeddings: Path | None, side: int, seams: bool, out: Path, algorithm: Algorithm, steps: int | None,
    operator: OperatorName, seed: int,
) -> None:  # fmt: skip
    """Paint one large image of 20x by joint multi-scale sampling (Algorithm S2) below one context image.

    With the published checkpoints, 16 patches a side are 4096 x 4096 px below a context of 1.25x.
    """
    from everslide.model.zoomldm.studio import Manner, make_settings, paint_large

    with speaking():
        manner = Manner(make_settings(algorithm, steps), operator, seams, seed)
        click.echo(paint_large(weights, embeddings, side, manner, out))


@click.command()
@click.argument("image", type=_FILE)
@_CHECKPOINT
@click.option("--mag", type=float, required=True, help="Magnification of IMAGE: 20, 10, 5, ...")
@click.option("--steps", type=click.IntRange(1, 10_000), default=200, show_default=True)
@click.option("--variations", type=click.IntRange(0), default=0, show_default=True, help="Images sampled from it.")
@click.option("--out", type=_FILE, required=True, help="The embeddings, .npy; variations go beside it.")
@_SEED
def invert(image: Path, weights: Path, mag: float, steps: int, variations: int, out: Path, seed: int) -> None:
    """Find the embeddings of IMAGE through the frozen denoiser (supplement, S3.3).

    They condition variations of it here, and `everslide large --embeddings`, `superres --embeddings`, and the slides of
    `everslide serve --with reference=`.
    """
    from everslide.model.zoomldm.studio import invert_image, scale_of_magnification

    with speaking():
        click.echo(invert_image(weights, image, scale_of_magnification(mag), steps, variations, out, seed))


@click.command()
@click.argument("image", type=_FILE)
@click.option("--model", "name", type=click.Choice(["mini", "zoomldm"]), default="mini", show_default=True)
@click.option("--weights", type=_PATH, help="Weights of mini, or a checkpoint; those shipped for mini by default.")
@click.option("--from", "start", type=float, required=True, help="Magnification of IMAGE.")
@click.option("--to", "stop", type=float, default=20.0, show_default=True, help="Magnification wanted.")
@click.option("--mode", type=click.Choice(["uncond", "gt", "infer"]), default="uncond", show_default=True,
              help="zoomldm: without embeddings, with those of --embeddings, or with inferred ones.")  # fmt: skip
@click.option("--embeddings", type=_FILE, help="A .npy grid of embeddings, one per patch of 20x, for --mode gt.")
@click.option("--invert-steps", type=click.IntRange(1), default=200, show_default=True, help="Steps of --mode infer.")
@click.option("--seams/--no-seams", default=True, show_default=True, help="zoomldm: the seam pass.")
@click.option("--out", type=_FILE, required=True, help="The image, .png.")
@_METHOD
@_STEPS
@_OPERATOR
@_SEED
def superres(
    image: Path, name: str, weights: Path | None, start: float, stop: float, mode: Mode, embeddings: Path | None,
    invert_steps: int, seams: bool, out: Path, algorithm: Algorithm, steps: int | None, operator: OperatorName,
    seed: int,
) -> None:  # fmt: skip
    """Enlarge IMAGE from one magnification to another: mini octave by octave, zoomldm by Algorithm S1 (S4.1)."""
    from everslide.model.errors import ImageError
    from everslide.model.zoomldm.studio import (
        Manner,
        enlarge_with_mini,
        enlarge_with_zoomldm,
        make_settings,
        scale_of_magnification,
    )

    with speaking():
        s_from, s_to = scale_of_magnification(start), scale_of_magnification(stop)
        if s_from <= s_to:
            raise ImageError(f"--from {start:g} --to {stop:g}: expected a finer magnification to go to")
        if name == "mini":
            click.echo(enlarge_with_mini(weights, image, s_from, s_to, out, seed))
        elif weights is None:
            raise ImageError("--model zoomldm: expected --weights FOLDER with weights.ckpt and config.yaml")
        else:
            manner = Manner(make_settings(algorithm, steps), operator, seams, seed)
            done = enlarge_with_zoomldm(weights, image, s_from, s_to, mode, embeddings, invert_steps, manner, out)
            click.echo(done)


@click.command()
@click.argument("painted", type=_FOLDER)
@click.argument("real", type=_FOLDER)
@click.option(
    "--extractor",
    default="texture",
    show_default=True,
    help="texture, mini, or NAME:PATH: uni, hipt, dinov2 (weights), inception, clip, script (TorchScript).",
)
@click.option("--crop", type=click.IntRange(16), help="Also compare crops of this side: crop FID.")
@click.option("--lpips", type=_FILE, help="LPIPS as TorchScript of two images in [-1, 1].")
def measure(painted: Path, real: Path, extractor: str, crop: int | None, lpips: Path | None) -> None:
    """The paper's measures of a folder of PAINTED images against one of REAL images, as JSON.

    FID is the Frechet distance with `inception`, CLIP FID with `clip`. Images of the same name and size are also
    compared one to one: PSNR, SSIM, similarity (cosine of their embeddings), LPIPS.
    """
    from dataclasses import asdict

    from everslide.model.zoomldm.measuring import make_extractor
    from everslide.model.zoomldm.measuring import measure as run

    with speaking():
        figures = run(painted, real, make_extractor(extractor), crop, lpips)
    click.echo(json.dumps({"extractor": extractor, **asdict(figures)}, indent=1))


COMMANDS: tuple[click.Command, ...] = (models, sample, large, invert, superres, measure)

"""Commands of the model: `everslide prepare`, `train`, `evaluate`, `sheet`. Heavy imports happen inside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

import click

from everslide.model.speaking import speaking

Objective = Literal["encoder", "velocity", "cdm", "chain", "distil", "adversarial"]
OBJECTIVES = get_args(Objective)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("images", type=_FOLDER)
@click.option("--out", type=_FOLDER, required=True, help="Folder for the prepared pyramids.")
@click.option("--hold-out", multiple=True, metavar="PATTERN", help="Keep files of this name for measuring; repeatable.")
@click.option("--seed", default=0, show_default=True, help="Seed of the composed low-magnification scenes.")
def prepare(images: Path, out: Path, hold_out: tuple[str, ...], seed: int) -> None:
    """Cut box pyramids for training out of real IMAGES.

    IMAGES is a folder of whole-slide files, and of .jpg and .png images listed with their resolution in its
    manifest.json: {"field.jpg": {"um_per_px": 0.5}}.
    """
    from everslide.model.prepare import prepare as run

    with speaking():
        prepared = run(images, out, hold_out, seed)
    held_out = sum(image.split == "held-out" for image in prepared)
    click.echo(f"{len(prepared)} images in {out}, {held_out} of them held out")


@click.command()
@click.argument("prepared", type=_FOLDER)
@click.option("--run", "folder", type=_FOLDER, required=True, help="Folder of the run; continued where it has begun.")
@click.option("--minutes", type=click.FloatRange(min=0.01), required=True, help="Training time over all sittings.")
@click.option("--batch", default=8, show_default=True, help="Crops a step.")
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
@click.option("--objective", type=click.Choice(OBJECTIVES), default="velocity", show_default=True)
@click.option("--start", type=_FILE, help="Weights to start a new run from; random ones by default.")
@click.option("--encoder", type=_FILE, help="The encoder of tissue; the shipped one by default.")
@click.option("--compile/--no-compile", default=True, show_default=True, help="Fuse operations with torch.compile.")
def train(
    prepared: Path,
    folder: Path,
    minutes: float,
    batch: int,
    threads: int,
    objective: Objective,
    start: Path | None,
    encoder: Path | None,
    compile: bool,
) -> None:
    """Train `mini` on a PREPARED folder, on a GPU where there is one.

    In this order: `encoder` learns without labels what 20x patches show (RUN/encoder.safetensors; --encoder gives it
    to what follows). `velocity` trains the denoiser, from nothing or from --start. `cdm` adds to the weights of --start
    the model that samples conditions. `chain` trains those weights on what they paint themselves. `distil` teaches them
    to paint in half as many steps. `adversarial` trains those that paint in one step on against a critic. The averaged
    weights are written to RUN/mini.safetensors every few minutes, the curve to RUN/curve.jsonl.
    """
    from everslide.model import training

    if objective in ("cdm", "chain", "distil", "adversarial") and start is None:
        raise click.UsageError(f"--objective {objective}: expected --start WEIGHTS, trained for `velocity` before")
    with speaking():
        given = training.Given(prepared, folder, minutes, threads, batch, compile, start, encoder)
        written = getattr(training, objective)(given)
    click.echo(f"weights: {written}")


@click.command()
@click.argument("prepared", type=_FOLDER)
@click.option("--weights", type=_FILE, help="Weights of `mini`; the shipped ones by default.")
@click.option("--out", type=_FILE, help="Write the report (Markdown) here; the figures go beside it as .json.")
@click.option("--seed", default=7, show_default=True, help="Seed of the slide of the root test.")
@click.option("--places", default=3, show_default=True, help="Places of the root test.")
@click.option(
    "--encoder", type=_FILE, help="Encoder whose features distances are measured in; the shipped one by default."
)
@click.option(
    "--fields", type=click.IntRange(1), default=2, show_default=True, help="Fields painted of every 20x image."
)
@click.option(
    "--field-px", type=click.IntRange(256), default=1024, show_default=True, help="Side of a field, at most this."
)
@click.option(
    "--neighbours", type=click.IntRange(1), default=96, show_default=True, help="Squares looked for in training."
)
def evaluate(
    prepared: Path,
    weights: Path | None,
    out: Path | None,
    seed: int,
    places: int,
    encoder: Path | None,
    fields: int,
    field_px: int,
    neighbours: int,
) -> None:
    """Measure painted against real tissue on the held-out images of a PREPARED folder.

    Larger and more fields give narrower intervals, and take longer in proportion.
    """
    from everslide.model.conditions.encoder import load_encoder
    from everslide.model.evaluate import Plan
    from everslide.model.evaluation import evaluate as run
    from everslide.model.mini import load_mini
    from everslide.model.report import markdown

    plan = Plan(seed=seed, places=places, fields=fields, field_px=field_px, neighbours=neighbours)
    with speaking():
        figures = run(prepared, load_mini(weights), load_encoder(encoder), plan)
    text = markdown(figures)
    if out:
        out.write_text(text)
        out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    click.echo(text)


@click.command()
@click.argument("prepared", type=_FOLDER)
@click.option("--weights", type=_FILE, help="Weights of `mini`; the shipped ones by default.")
@click.option("--out", type=_FILE, required=True, help="The picture, .jpg or .png.")
@click.option("--seed", default=7, show_default=True, help="Seed of the painted slide.")
def sheet(prepared: Path, weights: Path | None, out: Path, seed: int) -> None:
    """Draw painted and real fields of every magnification side by side, from held-out images of a PREPARED folder."""
    from everslide.model.mini import load_mini
    from everslide.model.report import draw_sheet

    with speaking():
        draw_sheet(prepared, load_mini(weights), seed).save(out, quality=90)
    click.echo(f"{out}: SYNTHETIC - not for diagnosis")


@click.command()
@click.argument("prepared", type=_FOLDER)
@click.option("--weights", type=_FILE, required=True, help="Weights of `mini`; the fitted model goes into this file.")
@click.option("--crops", default=200, show_default=True, help="Training crops per scale.")
@click.option(
    "--finest",
    type=click.IntRange(0, 7),
    default=0,
    show_default=True,
    help="Finest scale it is held at: 0 is 20x, 4 is 1.25x.",
)
def calibrate(prepared: Path, weights: Path, crops: int, finest: int) -> None:
    """Fit how strong detail is, given its parent, on the training images of a PREPARED folder.

    What was trained against a critic knows it by itself where there were many training images: --finest 4.
    """
    from everslide.model.calibrate import calibrate as run

    with speaking():
        run(prepared, weights, crops, finest)
    click.echo(f"{weights}: contrast fitted")


@click.command()
@click.argument("name")
@click.option("--seed", default=1, show_default=True, help="Seed of what is painted.")
@click.option("--model", default="mini", show_default=True, help="Model that paints it.")
@click.option("--steps", type=int, help="Steps from noise to detail: mini offers 2, 4 and 8.")
@click.option("--guidance", type=float, default=1.0, show_default=True, help="Classifier-free: mini offers 1 to 4.")
@click.option("--size", type=(int, int), metavar="WIDTH HEIGHT", help="In 20x pixels; 131072 98304 by default.")
@click.option("--unbounded", is_flag=True, help="A slide without an end.")
@click.option("--parent", type=_FILE, help="A real picture, RGB: zooming in paints beyond its pixels.")
@click.option("--mpp", type=float, help="um per pixel of --parent.")
@click.option("--like", type=_FILE, help="A picture of stained tissue: the slide gets its tissue and stain.")
@click.option("--region", "regions", multiple=True, metavar="X,Y,W,H=PICTURE", help="Like a picture here, in um.")
@click.option("--like-mpp", default=0.5, show_default=True, help="um per pixel of --like and of --region.")
@click.option("--out", type=_FILE, default=Path("slides.toml"), show_default=True, help="File of slides to add it to.")
def new(
    name: str,
    seed: int,
    model: str,
    steps: int | None,
    guidance: float,
    size: tuple[int, int] | None,
    unbounded: bool,
    parent: Path | None,
    mpp: float | None,
    like: Path | None,
    regions: tuple[str, ...],
    like_mpp: float,
    out: Path,
) -> None:
    """Make a slide NAME: from a seed, below a real picture, or in the tissue and stain of reference pictures.

    Of reference pictures only what they look like is kept, never their pixels.
    """
    from everslide.model.manner import Manner
    from everslide.model.new_slide import Wish, add_slide

    with speaking():
        manner = Manner(steps, guidance)
        wish = Wish(name, seed, model, size, unbounded, parent, mpp, like, regions, like_mpp, manner)
        extent = add_slide(wish, out)
    serving = "" if model == "mini" else f" --model {model}" + " --weights FOLDER" * model.startswith("zoomldm-")
    click.echo(f"{out}: slide {name}, {extent}; see it with `everslide serve{serving} --slides {out}`")


COMMANDS = (prepare, train, calibrate, evaluate, sheet, new)

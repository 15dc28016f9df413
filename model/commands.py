"""Commands of the model: `everslide prepare`, `train`, `evaluate`, `sheet`. Heavy imports happen inside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from everslide.model.speaking import speaking

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
@click.option("--objective", type=click.Choice(["velocity", "chain"]), default="velocity", show_default=True)
@click.option("--start", type=_FILE, help="Weights to start a new run from; random ones by default.")
@click.option("--compile/--no-compile", default=True, show_default=True, help="Fuse operations with torch.compile.")
def train(
    prepared: Path,
    folder: Path,
    minutes: float,
    batch: int,
    threads: int,
    objective: Literal["velocity", "chain"],
    start: Path | None,
    compile: bool,
) -> None:
    """Train `mini` on a PREPARED folder, on a GPU where there is one.

    A new model is trained for `velocity`, then, from those weights, on the `chain` of what it paints itself. The
    averaged weights are written to RUN/mini.safetensors every few minutes, the curve to RUN/curve.jsonl.
    """
    from everslide.model.chain import ChainPlan, ChainTrainer
    from everslide.model.network import NetworkConfig
    from everslide.model.train import Trainer, TrainingPlan
    from everslide.model.weights import load_weights

    with speaking():
        given = load_weights(start) if start else None
        if objective == "chain":
            if given is None:
                raise click.UsageError("--objective chain: expected --start WEIGHTS, trained for `velocity` before")
            ChainTrainer(prepared, folder, ChainPlan(minutes, compile=compile), given, threads).run()
        else:
            plan = TrainingPlan(minutes=minutes, batch=batch, compile=compile)
            Trainer(prepared, folder, plan, given.config if given else NetworkConfig(), threads, given).run()
    click.echo(f"weights: {folder / 'mini.safetensors'}")


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
def calibrate(prepared: Path, weights: Path, crops: int) -> None:
    """Fit how strong detail is, given its parent, on the training images of a PREPARED folder."""
    from everslide.model.calibrate import calibrate as run

    with speaking():
        run(prepared, weights, crops)
    click.echo(f"{weights}: contrast fitted")


COMMANDS = (prepare, train, calibrate, evaluate, sheet)

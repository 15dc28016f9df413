"""Commands of the model: `everslide prepare`, `train`, `evaluate`, `sheet`. Heavy imports happen inside them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from everslide.model.cli_errors import cli_errors
from everslide.model.command_types import Number, UserPath, given_once
from everslide.model.errors import shown
from everslide.model.names import MODELS

_LISTED = "\0"
"""Stands for --organ without a value: no text on a command line holds it."""
_FOLDER = UserPath(file_okay=False)
_FILE = UserPath(dir_okay=False)


@click.command()
@click.argument("images", type=_FOLDER)
@click.option("--out", type=_FOLDER, required=True, help="Folder for the prepared pyramids.")
@click.option("--hold-out", multiple=True, metavar="PATTERN", help="Keep files of this name for reports; repeatable.")
@click.option("--validate", multiple=True, metavar="PATTERN", help="Keep files of this name to choose weights on.")
@click.option("--licence", default="", help="Licence of the images for which the manifest names none.")
@click.option("--seed", default=0, show_default=True, help="Seed of the composed low-magnification scenes.")
def prepare(
    images: Path, out: Path, hold_out: tuple[str, ...], validate: tuple[str, ...], licence: str, seed: int
) -> None:
    """Cut box pyramids for training out of real IMAGES.

    IMAGES is a folder of whole-slide files, and of .jpg and .png images listed with their resolution and licence in its
    manifest.json: {"field.jpg": {"um_per_px": 0.5, "licence": "CC BY 4.0", "organ": "colon"}}.
    """
    from everslide.model.training.prepare import prepare as run

    with cli_errors():
        prepared = run(images, out, hold_out, validate, seed, licence)
    counts = {split: sum(image.split == split for image in prepared) for split in ("validation", "held-out")}
    click.echo(f"{len(prepared)} images in {out}, {counts['validation']} for validation, {counts['held-out']} held out")


@click.command()
@click.argument("prepared", type=_FOLDER)
@click.option("--out", type=_FILE, required=True, help="The file, JSON: model/weights/sections.json.")
def sections(prepared: Path, out: Path) -> None:
    """Measure what the training sections of a PREPARED folder look like from afar: colours, and shapes of pieces."""
    from everslide.model.training.sections import measure_sections

    with cli_errors():
        measured = measure_sections(prepared)
    out.write_text(json.dumps(measured) + "\n", "utf-8")
    click.echo(f"{out}: {len(measured['sections'])} sections")


@click.command()
@click.argument("prepared", type=_FOLDER)
@click.option("--out", type=_FOLDER, required=True, help="Folder for the images and their manifest.")
@click.option("--megabytes", type=Number(min=1), default=60, show_default=True, help="At most so many.")
def pack(prepared: Path, out: Path, megabytes: float) -> None:
    """Pack a PREPARED folder into a few megabytes of images, to be prepared and trained on elsewhere.

    There: everslide prepare OUT --out PREPARED --hold-out 'held-out__*' --validate 'validation__*'
    """
    from everslide.model.training.pack import pack as run

    with cli_errors():
        size = run(prepared, out, megabytes)
    click.echo(f"{out}: {size / 1e6:.1f} MB")


@click.command()
@click.argument("prepared", type=_FOLDER)
@click.option("--run", "folder", type=_FOLDER, required=True, help="Folder of the run; continued where it has begun.")
@click.option("--minutes", type=Number(min=0.01), required=True, help="Training time over all sittings.")
@click.option("--start", type=_FILE, help="Weights to start a new run from; random ones by default.")
@click.option("--rate", type=Number(min=0, min_open=True), default=3e-4, show_default=True, help="Of Adam.")
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Chains a step and process.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="That average their gradients.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads of each process.")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Readers of each process.")
@click.option("--sitting", type=Number(min=0.01), help="Minutes after which to stop for now.")
@click.option("--save-every", type=Number(min=1), default=300, show_default=True, help="Seconds.")
@click.option("--encoder", is_flag=True, help="Train the encoder of 20x tissue instead of the painter.")
@click.option("--sections", is_flag=True, help="Train the network of whole sections instead of the painter.")
def train(
    prepared: Path,
    folder: Path,
    minutes: float,
    start: Path | None,
    rate: float,
    batch: int,
    processes: int,
    threads: int,
    workers: int,
    sitting: float | None,
    save_every: float,
    encoder: bool,
    sections: bool,
) -> None:
    """Train `mini` on a PREPARED folder, in several processes where --processes says so, each with a GPU of its own
    where there are GPUs.

    Chains of octaves are painted below real parents and held against the real tissue there, by the energy score of
    features and by a critic that is trained beside. The averaged weights are written to RUN/mini.safetensors every few
    minutes, with a sheet of what they paint at validation places (RUN/sheet-STEP.jpg); the scores go to
    RUN/curve.jsonl. The same command continues a run, on another machine from RUN/mini.safetensors and
    RUN/resume-*.safetensors, each below 16 MB.
    It needs the packages of the extra `train`: pip install 'everslide[train]'.
    """
    with cli_errors():
        if encoder:
            from everslide.model.training.patch_encoder_training import EncoderPlan, train_encoder

            written = train_encoder(prepared, folder, EncoderPlan(minutes), threads)
        elif sections:
            from everslide.model.training.section_training import SectionPlan, train_sections

            sections_plan = SectionPlan(minutes, save_every_s=save_every)
            written = train_sections(prepared, folder, sections_plan, threads, start)
        else:
            from everslide.model.training.plan import Plan
            from everslide.model.training.trainer import train as run

            plan = Plan(minutes, batch, rate, workers=workers, save_every_s=save_every, sitting=sitting)
            written = run(prepared, folder, plan, start=start, processes=processes, threads=threads)
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
    from everslide.model.evaluation.fields import Plan
    from everslide.model.evaluation.report import markdown
    from everslide.model.evaluation.runner import evaluate as run
    from everslide.model.mini.model import load_mini
    from everslide.model.mini.patch_encoder import load_encoder

    plan = Plan(seed=seed, places=places, fields=fields, field_px=field_px, neighbours=neighbours)
    with cli_errors():
        figures = run(prepared, load_mini(weights), load_encoder(encoder), plan)
    text = markdown(figures)
    if out:
        out.write_text(text)
        out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    click.echo(text)


@click.command("evaluate-organs")
@click.argument("prepared", type=_FOLDER)
@click.option("--weights", type=_FILE, help="Weights of `mini`; the shipped ones by default.")
@click.option("--out", type=_FOLDER, help="Folder for organs.md, organs.json and the fields, painted and real.")
@click.option("--organ", "organs", multiple=True, help="Paint this one; repeatable. All by default.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Sections painted of each organ.")
@click.option(
    "--encoder", type=_FILE, help="Encoder whose features distances are measured in; the shipped one by default."
)
def evaluate_organs(
    prepared: Path, weights: Path | None, out: Path | None, organs: tuple[str, ...], seeds: int, encoder: Path | None
) -> None:
    """Measure painted sections of each organ against the whole sections of a PREPARED folder.

    At 128 to 16 um per pixel: distances in an encoder's features; whether organs are told from thumbnails as often as
    on real ones; how much painted sections resemble a training section.
    """
    from everslide.model.evaluation.organ_report import organ_markdown
    from everslide.model.evaluation.organ_runner import evaluate_organs as run
    from everslide.model.mini.model import load_mini
    from everslide.model.mini.patch_encoder import load_encoder

    with cli_errors():
        figures = run(prepared, load_mini(weights), load_encoder(encoder), organs, seeds, out)
        text = organ_markdown(figures)
        if out:
            out.mkdir(parents=True, exist_ok=True)
            (out / "organs.md").write_text(text, "utf-8")
            (out / "organs.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    click.echo(text)


@click.command()
@click.argument("prepared", type=_FOLDER)
@click.option("--weights", type=_FILE, help="Weights of `mini`; the shipped ones by default.")
@click.option("--out", type=_FILE, required=True, help="The picture, .jpg or .png.")
@click.option("--seed", default=7, show_default=True, help="Seed of the painted slide.")
def sheet(prepared: Path, weights: Path | None, out: Path, seed: int) -> None:
    """Draw painted and real fields of every magnification side by side, from held-out images of a PREPARED folder."""
    from everslide.model.evaluation.report import draw_sheet
    from everslide.model.mini.model import load_mini

    with cli_errors():
        draw_sheet(prepared, load_mini(weights), seed).save(out, quality=90)
    click.echo(f"{out}: SYNTHETIC - not for diagnosis")


@click.command()
@click.argument("name", required=False)
@click.option(
    "--organ",
    is_flag=False,
    flag_value=_LISTED,
    multiple=True,
    callback=given_once,
    metavar="[ORGAN]",
    help="What it is a slide of; drawn from the seed by default. Without a value: lists the organs.",
)
@click.option("--organs", "listing", is_flag=True, help="List the organs, and how many training cases are behind each.")
@click.option("--weights", type=_FILE, help="Weights of `mini` that it is for; the shipped ones by default.")
@click.option("--seed", default=1, show_default=True, help="Seed of what is painted.")
@click.option("--model", type=click.Choice(MODELS), default="mini", show_default=True, help="Model that paints it.")
@click.option("--steps", type=int, help="Steps from noise to detail: mini offers 1, 2, 4 and 8.")
@click.option("--guidance", type=Number(0), default=1.0, show_default=True, help="Classifier-free: mini offers 1 to 4.")
@click.option("--size", type=(int, int), metavar="WIDTH HEIGHT", help="In 20x pixels; 131072 98304 by default.")
@click.option("--unbounded", is_flag=True, help="A slide without an end.")
@click.option("--parent", type=_FILE, help="A real picture, RGB: zooming in paints beyond its pixels.")
@click.option("--mpp", type=Number(0, min_open=True), help="um per pixel of --parent.")
@click.option("--like", type=_FILE, help="A picture of stained tissue: the slide gets its tissue and stain.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="X,Y,W,H=PICTURE|organ:ORGAN",
    help="Like a picture or an organ here, in um.",
)
@click.option(
    "--like-mpp",
    type=Number(0, min_open=True),
    default=0.5,
    show_default=True,
    help="um per pixel of --like and of --region.",
)
@click.option("--out", type=_FILE, default=Path("slides.toml"), show_default=True, help="File of slides to add it to.")
def new(
    name: str | None,
    organ: str | None,
    listing: bool,
    weights: Path | None,
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
    """Make a slide NAME: of a seed and an organ, below a real picture, or in the tissue and stain of others.

    An organ is a likeness of the cases that the model was trained on; `everslide new --organs` lists how many.
    Of reference pictures an embedding and five colours are kept, never their pixels.
    """
    from everslide.model.new_slide import NewSlide, add_slide, organ_cases
    from everslide.model.sampling_config import SamplingConfig

    if listing or organ == _LISTED:
        if name is not None:
            raise click.UsageError(f"--organs lists and makes nothing: leave out {shown(name)}, or name one organ")
        with cli_errors():
            text = _organs(organ_cases(model, weights), model)
        click.echo(text)
        return
    if name is None:
        raise click.UsageError("Missing argument 'NAME'.")
    with cli_errors():
        sampling = SamplingConfig(steps, guidance)
        asked = NewSlide(
            name, seed, model, size, unbounded, parent, mpp, like, regions, like_mpp, sampling, organ or "", weights
        )
        extent = add_slide(asked, out)
    serving = (
        ""
        if model == "mini"
        else f" --model {model}" + " --weights FOLDER" * model.startswith(("zoomldm-", "pixcell-"))
    )
    serving += f" --weights {weights}" if weights else ""
    click.echo(f"{out}: slide {name}, {extent}; see it with `everslide serve{serving} --slides {out}`")


def _organs(cases: dict[str, int], model: str) -> str:
    """A line for each organ."""
    from everslide.model.organs import likeness, measured_sections

    if not cases:
        return f"model {model}: its weights know no organs"
    widest, lines = max(map(len, cases)), []
    for organ, count in sorted(cases.items()):
        sections = measured_sections(organ)
        borrowed = "" if sections else ": outline and colours are borrowed from other organs"
        lines.append(f"{organ:{widest}}  {likeness(count, sections)}{borrowed}")
    return "\n".join(lines)


COMMANDS = (prepare, sections, pack, train, evaluate, evaluate_organs, sheet, new)

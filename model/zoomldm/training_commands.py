"""Commands below `everslide zoomldm`: training data, training, and what a trained denoiser's features are worth."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from everslide.model.cli_errors import cli_errors
from everslide.model.command_types import Number, UserPath

if TYPE_CHECKING:
    from everslide.model.zoomldm.compute import Precision
    from everslide.model.zoomldm.mil import Bag
    from everslide.model.zoomldm.zoomldm import ZoomLDM

_FILE = UserPath(dir_okay=False)
_FOLDER = UserPath(file_okay=False)
_PATH = UserPath()
_WEIGHTS = click.option("--weights", type=_PATH, required=True, help="Checkpoint: a folder, or its weights.")
_DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
_BATCH = click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Images at once.")
_PRECISION = click.option(
    "--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True,
    help="Of the networks alone.",
)  # fmt: skip
_STEPS = click.option("--steps", type=click.IntRange(1), required=True, help="Steps in all.")
_SEED = click.option("--seed", default=1, show_default=True)


@click.group()
def zoomldm() -> None:
    """Train ZoomLDM, and test what its features tell of a slide."""


@zoomldm.command()
@click.argument("slides", type=_FILE, nargs=-1, required=True)
@_WEIGHTS
@click.option("--encoder", required=True, help="NAME:FILE with NAME uni, hipt, dinov2 or dinov2-reg; or mini.")
@click.option("--tissue", type=Number(0, 1), default=0.5, show_default=True, help="Least share of tissue.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of the training data.")
@_DEVICE
@_BATCH
def prepare(
    slides: tuple[Path, ...], weights: Path, encoder: str, tissue: float, out: Path, device: str, batch: int
) -> None:
    """Write latents and embeddings of all magnifications of SLIDES, by the autoencoder of a checkpoint; resumable."""
    from everslide.model.zoomldm.compute import Compute, choose_device
    from everslide.model.zoomldm.extractors import make_extractor
    from everslide.model.zoomldm.studio import load
    from everslide.model.zoomldm.training_set import prepare_slides

    with cli_errors():
        compute = Compute(choose_device(device), batch)
        counts = prepare_slides(load(weights, compute), slides, make_extractor(encoder, compute), compute, out, tissue)
        click.echo(f"{out}: " + ", ".join(f"{count} of scale {s}" for s, count in counts.items()))


@zoomldm.command()
@click.argument("prepared", type=_FOLDER)
@click.option("--config", type=_FILE, required=True, help="The authors' config.yaml, or one of other sizes.")
@click.option("--autoencoder", type=_PATH, required=True, help="Checkpoint whose autoencoder the data were made with.")
@click.option("--start", type=_FILE, help="Latent diffusion checkpoint to begin with; else from nothing.")
@_STEPS
@_BATCH
@click.option("--rate", type=Number(0, min_open=True), default=1e-4, show_default=True, help="Learning rate.")
@click.option("--warmup", default=1000, show_default=True, help="Steps to the full rate.")
@click.option("--ema", type=Number(0, 1), default=0.9999, show_default=True, help="Decay of the average.")
@click.option("--save", default=1000, show_default=True, help="Steps between checkpoints.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of the run; another call goes on there.")
@_DEVICE
@_PRECISION
@_SEED
def train(
    prepared: Path, config: Path, autoencoder: Path, start: Path | None, steps: int, batch: int, rate: float,
    warmup: int, ema: float, save: int, out: Path, device: str, precision: Precision, seed: int,
) -> None:  # fmt: skip
    """Train denoiser and Summarizer on PREPARED. For several GPUs, start it by torchrun."""
    from tqdm import tqdm

    from everslide.model.training.processes import leave_processes
    from everslide.model.zoomldm.training import init_denoiser, load_start
    from everslide.model.zoomldm.training import train as run
    from everslide.model.zoomldm.training_run import Losses, TrainSettings, join_processes, shown_on
    from everslide.model.zoomldm.training_set import read_training_set

    with cli_errors():
        data = read_training_set(prepared)
        model = _fresh(config, autoencoder, join_processes(device), precision, seed)
        init_denoiser(model.unet)
        if start is not None:
            load_start(model, start)
        _keep_config(config, out)
        settings = TrainSettings(steps, batch, rate, warmup=warmup, ema=ema, save=save, seed=seed)
        losses = Losses(out / "losses.csv", settings)
        with tqdm(total=steps, desc="training", unit="step") as bar:
            run(model, data, settings, out, shown_on(bar, losses))
        leave_processes()
        click.echo(f"{out}: loads as --weights {out}, here and with the authors' code")


@zoomldm.command("train-cdm")
@click.argument("prepared", type=_FOLDER)
@_WEIGHTS
@click.option("--config", type=_FILE, help="A YAML with a section cdm; by default the authors' DiT-B.")
@_STEPS
@_BATCH
@click.option("--rate", type=Number(0, min_open=True), default=1e-4, show_default=True, help="Learning rate.")
@click.option("--save", default=1000, show_default=True, help="Steps between checkpoints.")
@click.option("--out", type=_FILE, required=True, help="The checkpoint, .pt.")
@_DEVICE
@_SEED
def train_cdm(
    prepared: Path, weights: Path, config: Path | None, steps: int, batch: int, rate: float, save: int, out: Path,
    device: str, seed: int,
) -> None:  # fmt: skip
    """Train a conditioning diffusion model on the Summarizer outputs of PREPARED; another call goes on from --out."""
    from tqdm import tqdm

    from everslide.model.training.processes import leave_processes
    from everslide.model.zoomldm.cdm_sampling import check_match
    from everslide.model.zoomldm.cdm_training import init_cdm
    from everslide.model.zoomldm.cdm_training import train_cdm as run
    from everslide.model.zoomldm.compute import Compute, choose_device
    from everslide.model.zoomldm.config import CDMConfig, read_cdm_config
    from everslide.model.zoomldm.studio import load
    from everslide.model.zoomldm.training_run import Losses, TrainSettings, join_processes, shown_on
    from everslide.model.zoomldm.training_set import read_training_set

    with cli_errors():
        model = load(weights, Compute(choose_device(join_processes(device))))
        network = init_cdm((read_cdm_config(config) if config else None) or CDMConfig())
        check_match(network, model.config)
        settings = TrainSettings(steps, batch, rate, ema=0.9999, save=save, seed=seed)
        losses = Losses(out.with_suffix(".losses.csv"), settings)
        with tqdm(total=steps, desc="training", unit="step") as bar:
            run(model, read_training_set(prepared), network, settings, out, shown_on(bar, losses))
        leave_processes()
        click.echo(f"{out}: loads as --cdm {out}")


@zoomldm.command()
@click.argument("slides", type=_FILE, nargs=-1, required=True)
@_WEIGHTS
@click.option("--scale", "s", type=click.IntRange(0, 7), default=0, show_default=True, help="Octaves above 20x.")
@click.option("--time", type=click.IntRange(1, 1000), default=100, show_default=True, help="Time of the noise.")
@click.option("--layer", default="mid", show_default=True, help="mid, down0 ..., up0 ...")
@click.option("--tissue", type=Number(0, 1), default=0.5, show_default=True, help="Least share of tissue.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of a .npy (patches, channels) per slide.")
@_DEVICE
@_BATCH
@_PRECISION
def features(
    slides: tuple[Path, ...], weights: Path, s: int, time: int, layer: str, tissue: float, out: Path, device: str,
    batch: int, precision: Precision,
) -> None:  # fmt: skip
    """Write diffusion features of the patches of SLIDES: activations of one layer of the frozen denoiser.

    Slides whose file is in the folder already are skipped.
    """
    import numpy as np

    from everslide.model.zoomldm.compute import Compute, choose_device
    from everslide.model.zoomldm.features import slide_features
    from everslide.model.zoomldm.studio import load

    with cli_errors():
        compute = Compute(choose_device(device), batch, precision)
        model = load(weights, compute)
        out.mkdir(parents=True, exist_ok=True)
        for path in slides:
            target = out / f"{path.stem}.npy"
            if not target.is_file():
                np.save(target, slide_features(model, path, s, time, layer, compute, tissue).numpy())
        click.echo(f"{out}: features of {len(slides)} slides, layer {layer} at time {time}")


@zoomldm.command()
@click.argument("features", type=_FOLDER)
@click.argument("labels", type=_FILE)
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True)
@_STEPS
@_DEVICE
@_SEED
def mil(features: Path, labels: Path, folds: int, steps: int, device: str, seed: int) -> None:
    """Predict LABELS (a .csv of slide, case, label 0 or 1) from FEATURES by attention-based multiple-instance learning.

    Prints the AUC of held-out slides and its 95 % interval over cases, as JSON.
    """
    from dataclasses import asdict

    from everslide.model.zoomldm.compute import choose_device
    from everslide.model.zoomldm.mil import MILSettings, cross_validated

    with cli_errors():
        bags = _bags(features, labels)
        found = cross_validated(bags, MILSettings(folds=folds, steps=steps, seed=seed), choose_device(device))
    click.echo(json.dumps(asdict(found), indent=1))


def _bags(features: Path, labels: Path) -> list[Bag]:
    import numpy as np
    import torch

    from everslide.model.errors import DataError
    from everslide.model.zoomldm.mil import Bag

    try:
        with labels.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        named = [(row["slide"], row["case"], int(row["label"])) for row in rows]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{labels}: expected columns slide, case, label (0 or 1), found: {error!r}") from error
    if not named or {label for _, _, label in named} - {0, 1}:
        raise DataError(f"{labels}: expected labels 0 and 1")
    out: list[Bag] = []
    for slide, case, label in named:
        try:
            array = np.load(features / f"{slide}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{features / slide}.npy: expected features of the slide, found: {error}") from error
        if array.ndim != 2 or not len(array) or (out and array.shape[1] != out[0].features.shape[1]):
            raise DataError(
                f"{features / slide}.npy: expected (patches, channels) as of the others, found {array.shape}"
            )
        out.append(Bag(torch.from_numpy(array.astype(np.float32)), label, case))
    return out


def _keep_config(config: Path, run: Path) -> None:
    """Copy the configuration beside a run's checkpoint. Raises WeightsError where that has another one already."""
    import shutil

    from everslide.model.errors import WeightsError
    from everslide.model.zoomldm.config import read_config
    from everslide.model.zoomldm.zoomldm import CONFIG_NAME, WEIGHTS_NAME

    kept = run / CONFIG_NAME
    if (run / WEIGHTS_NAME).exists() and kept.exists():
        if read_config(kept) != read_config(config):
            raise WeightsError(f"{run}: a run of another configuration; go on with {kept}, or give another --out")
    elif not kept.exists() or not kept.samefile(config):
        run.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(config, kept)


def _fresh(config: Path, autoencoder: Path, device: str, precision: Precision, seed: int) -> ZoomLDM:
    """A model of the configuration's sizes with random weights and a given autoencoder."""
    import torch

    from everslide.model.errors import WeightsError
    from everslide.model.zoomldm.checkpoint import random_networks
    from everslide.model.zoomldm.compute import Compute, choose_device
    from everslide.model.zoomldm.config import read_config
    from everslide.model.zoomldm.zoomldm import ZoomLDM, load_zoomldm

    sizes = read_config(config)
    given = load_zoomldm(autoencoder)
    if given.config.autoencoder != sizes.autoencoder:
        raise WeightsError(f"{config}: expected the autoencoder of {autoencoder}, found {sizes.autoencoder}")
    networks = {**random_networks(sizes, seed), "autoencoder": given.autoencoder}
    compute = Compute(choose_device(device), 1, precision)
    return ZoomLDM(sizes, networks, "in training", torch.float32, compute.device, compute.autocast)

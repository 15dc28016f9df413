"""The command `everslide`: `serve`, and the commands of `everslide.model.commands`."""

from __future__ import annotations

import gc
import logging
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everslide.model.command_types import OVERWRITE, Number, UserPath, given_once
from everslide.model.errors import EverslideError
from everslide.model.names import MODELS
from everslide.server.errors import SettingsError, StorageError
from everslide.server.painters import ModelFiles
from everslide.server.set_aside import SetAside
from everslide.server.settings import Settings, default_cache, default_data, with_settings
from everslide.viewer import STATIC_DIR

if TYPE_CHECKING:
    from everslide.server.assembly import Assembly
    from everslide.server.documents import Documents
    from everslide.server.serving import Server
    from everslide.server.slides import Entry

log = logging.getLogger(__name__)


class Commands(click.Group):
    """A group that adds the commands of the model, which it imports when one of them is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_model_commands()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _model_commands().get(cmd_name)


def _model_commands() -> dict[str, click.Command]:
    """Commands by name. Their modules must be quick to import: they import torch inside their commands."""
    modules = [import_module(name) for name in ("everslide.model.commands", "everslide.model.zoomldm.commands")]
    return {command.name: command for module in modules for command in module.COMMANDS}


_MODEL_OPTIONS = (
    click.option(
        "--model",
        type=click.Choice(MODELS),
        default="mini",
        show_default=True,
        envvar="EVERSLIDE_MODEL",
        help="Model that paints; speckle needs no weights.",
    ),
    click.option(
        "--weights",
        type=UserPath(exists=True),
        envvar="EVERSLIDE_WEIGHTS",
        help="Weights of the model: a file, or the folder of a checkpoint.  [default: those that came with mini]",
    ),
    click.option(
        "--with",
        "options",
        multiple=True,
        envvar="EVERSLIDE_WITH",
        metavar="KEY=VALUE",
        help="An option of mini: runtime; of zoomldm-* and pixcell-*: preset, condition, cdm, encoder, reference, vae; "
        "repeatable.",
    ),
)


def with_model(command: Callable[..., None]) -> Callable[..., None]:
    """A decorator of click commands: adds the flags of a model, and passes them as `model` and `files`."""

    @wraps(command)
    def called(weights: Path | None, options: tuple[str, ...], **values: Any) -> None:
        if not all("=" in option for option in options):
            raise click.ClickException(f"--with: expected KEY=VALUE, found {', '.join(options)}")
        pairs = [(key, value) for key, _, value in (option.partition("=") for option in options)]
        if twice := sorted({key for key, _ in pairs if [other for other, _ in pairs].count(key) > 1}):
            raise click.ClickException(f"--with {twice[0]}: expected once, found twice")
        command(files=ModelFiles(weights, dict(pairs)), **values)

    flagged: Callable[..., None] = called
    for option in reversed(_MODEL_OPTIONS):
        flagged = option(flagged)
    return flagged


_SLIDE_OPTIONS = (
    click.option(
        "--slide",
        "specs",
        multiple=True,
        metavar="NAME:SEED[:WIDTHxHEIGHT|:unbounded][:organ=ORGAN]",
        envvar="EVERSLIDE_SLIDE",
        help="A slide more; repeatable, separated by spaces in the environment. In ORGAN, _ stands for a space.",
    ),
    click.option(
        "--slides",
        "file",
        type=UserPath(dir_okay=False),
        envvar="EVERSLIDE_SLIDES",
        help="A TOML file of slides more, tables [[slide]].",
    ),
)


def with_slides(command: Callable[..., None]) -> Callable[..., None]:
    """A decorator of click commands: adds the flags that name slides, and passes them as `specs` and `file`."""
    for option in reversed(_SLIDE_OPTIONS):
        command = option(command)
    return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="everslide", prog_name="everslide")
def main() -> None:
    """Everslide: an endless synthetic slide, painted while you look at it. Not for diagnosis."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@main.command()
@with_settings
@click.option("--no-cache", is_flag=True, envvar="EVERSLIDE_NO_CACHE", help="Keep painted tiles in memory only.")
@with_model
@with_slides
@click.option("--open-browser", is_flag=True, envvar="EVERSLIDE_OPEN_BROWSER", help="Open the page in the browser.")
def serve(
    settings: Settings,
    no_cache: bool,
    model: str,
    files: ModelFiles,
    specs: tuple[str, ...],
    file: Path | None,
    open_browser: bool,
) -> None:
    """Serve slides, and paint their tiles when somebody looks at them."""
    from everslide.cache.store import StoreError
    from everslide.server.assembly import assemble
    from everslide.server.slides import Catalogue, demo_entries, parse_spec, read_slides

    with _kept_for_good():
        try:
            documents = _documents(settings)
            settings = replace(settings, cache=None) if no_cache else _with_cache(settings)
            listed, wrong = read_slides(file, model) if file else ([], [])
            catalogue = Catalogue((*demo_entries(model), *(parse_spec(spec, model) for spec in specs)))
            assembly = assemble(settings, catalogue, {model: files}, {entry.slide.model for entry in listed})
        except (EverslideError, StoreError) as error:
            raise click.ClickException(str(error)) from error
        _add_listed(assembly, file, listed, wrong)
        _add_organs(assembly, model, documents)
    _serve(assembly, settings, documents, open_browser)


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """Whatever is imported and loaded within stays: to look through it for garbage takes a fifth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _add_listed(assembly: Assembly, file: Path | None, listed: list[Entry], wrong: list[str]) -> None:
    """Serve the slides of a file. Those that cannot be served are logged, each in a line, and left out."""
    for entry in listed:
        try:
            assembly.service.add(entry)
        except EverslideError as error:
            wrong.append(f"{file}: slide {entry.slide.name!r}: {error}")
    for line in wrong:
        log.warning("%s", line)
        assert file is not None
        aside = SetAside(file.name, line.removeprefix(f"{file}: "), file.absolute())
        assembly.service.catalogue.set_aside.append(aside)


def _add_organs(assembly: Assembly, model: str, documents: Documents) -> None:
    """Serve the demo slides of organs that the weights know, if no other slide has their name."""
    from everslide.server.made import taken_names
    from everslide.server.slides import organ_entries

    service = assembly.service
    try:
        taken = taken_names(service, documents)
    except StorageError:
        return  # logged where the slides that were made are restored
    for entry in organ_entries(model):
        known = dict(service.models[model].capabilities.organs)
        if entry.slide.organ in known and entry.slide.name not in taken:
            service.add(entry)


def _documents(settings: Settings) -> Documents:
    """Where annotations, tours and new slides are stored. Without a usable home folder nothing is, with a message.

    Raises SettingsError where the folder that was named cannot be used.
    """
    from everslide.server.documents import Documents
    from everslide.server.folders import NoDocuments, check_folder, default_folder

    if settings.data is not None:
        return Documents(check_folder(settings.data, "data"))
    try:
        return Documents(default_folder(default_data, "data"))
    except SettingsError as error:
        click.echo(f"Annotations, tours and new slides cannot be kept. {error}", err=True)
        return NoDocuments(str(error))


def _with_cache(settings: Settings) -> Settings:
    """The settings with a cache folder; unchanged, with a message, where the user has no usable home folder.

    Raises SettingsError where the folder that was named cannot be used.
    """
    from everslide.server.folders import check_folder, default_folder

    if settings.cache is not None:
        return replace(settings, cache=check_folder(settings.cache, "cache"))
    if settings.redis is not None:
        return settings
    try:
        return replace(settings, cache=default_folder(default_cache, "cache"))
    except SettingsError as error:
        click.echo(f"Painted tiles are kept in memory only. {error}", err=True)
        return settings


def _serve(assembly: Assembly, settings: Settings, documents: Documents, open_browser: bool) -> None:
    """Serve until a signal comes."""
    with _kept_for_good():
        from everslide.server.assembly import paint_while_idle
        from everslide.server.serving import wait_for_signal

        server = _listening(assembly, settings, documents)
    server.start()
    if settings.idle_painting and not settings.scheduler:  # a cluster's workers serve others too
        paint_while_idle(assembly)
    click.echo(f"Everslide is at {server.address}")
    if open_browser:
        webbrowser.open(server.address)
    wait_for_signal()
    server.stop(assembly.close)


def _listening(assembly: Assembly, settings: Settings, documents: Documents) -> Server:
    """A server that listens, and answers once it is started. Raises ClickException where it cannot."""
    from everslide.server.app import create_app
    from everslide.server.serving import Server

    threads = settings.threads + settings.event_streams
    try:
        return Server(
            create_app(assembly.service, STATIC_DIR, settings, documents), settings.host, settings.port, threads
        )
    except EverslideError as error:
        assembly.close()
        raise click.ClickException(str(error)) from error
    except (OSError, ValueError) as error:  # a name that is none is a ValueError, sometimes
        assembly.close()
        where, reason = f"{settings.host}:{settings.port}", getattr(error, "strerror", None) or error
        raise click.ClickException(f"cannot listen on {where}: {reason}; try --host 127.0.0.1 --port 0") from error


@main.command()
@click.argument("scheduler", envvar="EVERSLIDE_SCHEDULER")
@with_model
@click.option(
    "--windows",
    type=click.IntRange(0, 256),
    default=0,
    show_default=True,
    envvar="EVERSLIDE_WINDOWS",
    help="Windows asked for at the same time; 0 takes as many as are painted at the same time.",
)
@click.option("--name", envvar="EVERSLIDE_WORKER_NAME", help="Name of the worker, any one by default.")
def worker(scheduler: str, model: str, files: ModelFiles, windows: int, name: str | None) -> None:
    """Paint windows for the Dask SCHEDULER, such as tcp://127.0.0.1:8786, until stopped."""
    from everslide.server.cluster import run_worker

    try:
        run_worker(scheduler, model, files, windows, name)
    except EverslideError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@with_settings
@click.argument("slide")
@click.option("--out", type=UserPath(dir_okay=False), required=True, help="*.ome.tiff, .tif, .png, .jpeg, .dzi")
@click.option("--region", metavar="X,Y,WIDTH,HEIGHT", help="In 20x pixels; the whole slide by default.")
@click.option("--magnification", type=Number(0), default=20.0, show_default=True, help="Of the finest pixels.")
@click.option("--lossless", is_flag=True, help="For OME-TIFF: deflate instead of JPEG.")
@click.option("--dry-run", is_flag=True, help="Only print how much there is to paint, and how long it takes.")
@OVERWRITE
@click.option("--steps", type=int, help="Steps from noise to detail, where the model offers a choice.")
@click.option("--guidance", type=Number(0), help="Classifier-free, where the model offers that.")
@click.option(
    "--organ",
    multiple=True,
    callback=given_once,
    metavar="ORGAN",
    help="What it is a slide of, where the model knows organs.",
)
@with_model
@with_slides
def export(
    settings: Settings,
    slide: str,
    out: Path,
    region: str | None,
    magnification: float,
    lossless: bool,
    dry_run: bool,
    overwrite: bool,
    steps: int | None,
    guidance: float | None,
    organ: str | None,
    model: str,
    files: ModelFiles,
    specs: tuple[str, ...],
    file: Path | None,
) -> None:
    """Paint a region of SLIDE into a file.

    SLIDE is one that `everslide serve` with the same settings offers: demo, endless, demo-colon and so on, one of
    --slide or --slides, or one that was made in the viewer (--data). Or it is a new one:
    NAME:SEED[:WIDTHxHEIGHT|:unbounded][:organ=ORGAN].

    Steps, guidance and organ are the slide's own by default. Stopped and started again, it goes on where it was.
    """
    from everslide.cache.store import StoreError
    from everslide.server.exporting import run_export
    from everslide.server.wanted_slide import SlideSources, painted_otherwise, wanted_slide

    try:
        settings = _with_cache(settings)
        found = wanted_slide(slide, model, SlideSources(specs, file, lambda: _documents(settings)))
        entry = painted_otherwise(found, steps, guidance, organ)
        by_model = {model: files}
        run_export(settings, entry, by_model, out, region, magnification, lossless, click.echo, dry_run, overwrite)
    except (EverslideError, StoreError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if dry_run:
        return
    click.echo(f"{out}: {out.stat().st_size} bytes, SYNTHETIC - not for diagnosis")

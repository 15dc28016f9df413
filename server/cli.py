"""The command `everslide`: `serve`, and the commands of `everslide.model.commands`."""

from __future__ import annotations

import logging
import re
import webbrowser
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from everslide.model.errors import EverslideError
from everslide.server.painters import MODELS
from everslide.server.settings import Settings, default_cache
from everslide.viewer import STATIC_DIR

if TYPE_CHECKING:
    from everslide.server.tiles import TileService

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_DEFAULTS = Settings(cache=None)


class Commands(click.Group):
    """A group that adds the commands of the model, which it imports when one of them is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_model_commands()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _model_commands().get(cmd_name)


def _model_commands() -> dict[str, click.Command]:
    """Commands by name. `everslide.model.commands` must be quick to import: it imports torch inside its commands."""
    try:
        module = import_module("everslide.model.commands")
    except ModuleNotFoundError as error:
        if error.name != "everslide.model.commands":
            raise
        return {}
    return {command.name: command for command in module.COMMANDS}


class ByteSize(click.ParamType[int]):
    """ "8GiB", "500 MB", "1000000" -> bytes."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r}: expected a size such as 8GiB or 500MB", param, ctx)
        base = 1024 if match[3] else 1000
        return int(float(match[1]) * base ** " KMGT".index(match[2].upper() or " "))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="everslide", prog_name="everslide")
def main() -> None:
    """Everslide: an endless synthetic slide, painted while you look at it. Not for diagnosis."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@main.command()
@click.option(
    "--host", default=_DEFAULTS.host, show_default=True, envvar="EVERSLIDE_HOST", help="Address to listen on."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_DEFAULTS.port,
    show_default=True,
    envvar="EVERSLIDE_PORT",
    help="Port to listen on; 0 takes any free one.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="EVERSLIDE_CACHE",
    help="Folder of painted tiles.  [default: the user's cache folder]",
)
@click.option("--no-cache", is_flag=True, help="Keep painted tiles in memory only.")
@click.option(
    "--cache-size",
    type=ByteSize(),
    default=_DEFAULTS.cache_size,
    show_default="8GiB",
    envvar="EVERSLIDE_CACHE_SIZE",
    help="Bound of the folder.",
)
@click.option(
    "--threads",
    type=click.IntRange(2, 512),
    default=_DEFAULTS.threads,
    show_default=True,
    envvar="EVERSLIDE_THREADS",
    help="Requests answered at the same time.",
)
@click.option(
    "--model",
    type=click.Choice(MODELS),
    default="mini",
    show_default=True,
    envvar="EVERSLIDE_MODEL",
    help="Model that paints; speckle needs no weights.",
)
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="EVERSLIDE_WEIGHTS",
    help="Weights of the model mini.  [default: those that came with it]",
)
@click.option(
    "--slide", "specs", multiple=True, metavar="NAME:SEED[:WIDTHxHEIGHT|:unbounded]", help="A slide more; repeatable."
)
@click.option(
    "--slides",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="EVERSLIDE_SLIDES",
    help="A TOML file of slides more, tables [[slide]].",
)
@click.option("--open-browser", is_flag=True, help="Open the page in the browser.")
def serve(
    host: str,
    port: int,
    cache: Path | None,
    no_cache: bool,
    cache_size: int,
    threads: int,
    model: str,
    weights: Path | None,
    specs: tuple[str, ...],
    file: Path | None,
    open_browser: bool,
) -> None:
    """Serve slides, and paint their tiles when somebody looks at them."""
    from everslide.cache.files import StoreError
    from everslide.server.painters import load_painters
    from everslide.server.slides import Catalogue, demo_entries, parse_spec, read_slides
    from everslide.server.tiles import TileService, make_stores

    folder = None if no_cache else cache or default_cache()
    settings = Settings(cache=folder, host=host, port=port, cache_size=cache_size, threads=threads)
    try:
        own = [parse_spec(spec, model) for spec in specs] + (read_slides(file, model) if file else [])
        catalogue = Catalogue((*demo_entries(model), *own))
        stores = make_stores(settings)
        names = sorted({entry.slide.model for entry in catalogue})
        models = {name: load_painters(name, weights) for name in names}
    except (EverslideError, StoreError) as error:
        raise click.ClickException(str(error)) from error
    _serve(TileService(catalogue, models, stores, settings.max_waiting), settings, open_browser)


def _serve(service: TileService, settings: Settings, open_browser: bool) -> None:
    """Serve until a signal comes."""
    from everslide.server.app import create_app
    from everslide.server.serving import Server, wait_for_signal

    try:
        server = Server(create_app(service, STATIC_DIR), settings.host, settings.port, settings.threads)
    except OSError as error:
        service.close()
        where = f"{settings.host}:{settings.port}"
        raise click.ClickException(f"cannot listen on {where}: {error.strerror or error}; try --port 0") from error
    server.start()
    click.echo(f"Everslide is at {server.address}")
    if open_browser:
        webbrowser.open(server.address)
    wait_for_signal()
    server.stop(service.close)

"""The settings of a server: read once from flags and the environment, then passed as values."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any

import click

from everslide.model.command_types import Number, UserPath, with_home
from everslide.server.hosts import parse_hosts
from everslide.server.origins import parse_frames, parse_origins
from everslide.server.proxies import parse_networks

GIB = 2**30
MIB = 2**20
RESERVED_THREADS = 6
"""Threads that never wait for the painter, so that previews and cached tiles are always served at once."""
_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[!-~]{1,500}")
_TOKEN = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


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


class Checked(click.ParamType[str]):
    """A text that `parse` accepts. parse: raises ValueError, whose message says what was expected."""

    name = "text"

    def __init__(self, parse: Callable[[str], object]) -> None:
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


def check_token(token: str) -> None:
    """Raises ValueError for a token that cannot be sent in an HTTP header."""
    if not _TOKEN.fullmatch(token):
        raise ValueError(
            "expected 1 to 256 ASCII characters (letters, digits, signs), such as those that `openssl rand -hex 24` "
            "prints: others do not travel in a header"
        )


def check_url(url: str) -> None:
    """Raises ValueError for an address without a scheme."""
    if not _URL.fullmatch(url):
        raise ValueError(f"{url!r}: expected an address such as redis://127.0.0.1:6379/0 or tcp://127.0.0.1:8786")


def _setting(default: Any, kind: Any, help: str, shown: str | None = None) -> Any:
    """A field that is a flag too. kind: click's type of it. shown: the default in words."""
    return field(default=default, metadata={"kind": kind, "help": help, "shown": shown})


@dataclass(frozen=True)
class Settings:
    """Settings of `everslide serve`. Each is a flag, and an environment variable such as EVERSLIDE_CACHE_SIZE."""

    cache: Path | None = field(
        metadata={
            "kind": UserPath(file_okay=False),
            "help": "Folder of painted tiles; the user's cache folder by default, none with --redis or --no-cache.",
            "shown": None,
        }
    )
    data: Path | None = field(
        default=None,
        metadata={
            "kind": UserPath(file_okay=False),
            "help": "Folder of annotations, tours and slides made in the viewer; the user's data folder by default.",
            "shown": None,
        },
    )
    host: str = _setting("127.0.0.1", str, "Address to listen on: only this machine by default.")
    port: int = _setting(8000, click.IntRange(0, 65535), "Port to listen on; 0 takes any free one.")
    cache_size: int = _setting(8 * GIB, ByteSize(), "Bound of the folder, about 60,000 tiles.", "8GiB")
    memory_size: int = _setting(
        384 * MIB, ByteSize(), "Encoded tiles kept in memory, about 8,000 as JPEG and 1,500 lossless.", "384MiB"
    )
    raw_size: int = _setting(96 * MIB, ByteSize(), "Undecoded tiles kept in memory for the painter, 512.", "96MiB")
    threads: int = _setting(
        24, click.IntRange(2, 512), f"Requests answered at the same time; all but {RESERVED_THREADS} may wait."
    )
    event_streams: int = _setting(64, click.IntRange(0, 512), "Streams of events open at the same time.")
    paint_threads: int = _setting(
        0, click.IntRange(0, 64), "Tiles painted at the same time; 0 takes what suits the engine.", "0"
    )
    idle_painting: bool = _setting(
        True,
        click.BOOL,
        "Paint overviews, ahead of who moves and around what was looked at while nobody waits, on one core at most.",
        "on",
    )
    redis: str | None = _setting(
        None, Checked(check_url), "Redis server that several processes share, such as redis://127.0.0.1:6379/0."
    )
    lease_seconds: float = _setting(10.0, Number(0.1, 600), "How long the work of a process that died is left alone.")
    scheduler: str | None = _setting(
        None,
        Checked(check_url),
        "Dask scheduler whose workers paint, such as tcp://127.0.0.1:8786; this process by default.",
    )
    token: str | None = _setting(
        None, Checked(check_token), "Token for everything that changes or costs; none is asked for by default."
    )
    cors_origins: str = _setting(
        "",
        Checked(parse_origins),
        "Origins whose pages may use the server, comma-separated; '*' lets any page read, none write.",
    )
    frame_ancestors: str = _setting(
        "", Checked(parse_frames), "Origins whose pages may show the viewer in a frame, comma-separated; '*' is any."
    )
    hosts: str = _setting(
        "",
        Checked(parse_hosts),
        "Public names that the server is reached by, comma-separated, such as slides.example.org; '*' is any.",
    )
    trusted_proxies: str = _setting(
        "",
        Checked(parse_networks),
        "Addresses or networks of proxies whose X-Forwarded-For, -Proto, -Host and -Prefix count, comma-separated.",
    )
    rate: float = _setting(
        100.0, Number(0), "Requests a second that one client may let paint or compute; 0 is any number."
    )
    max_pixels: int = _setting(64_000_000, click.IntRange(65536), "Pixels of a region read or exported by one request.")

    @property
    def max_waiting(self) -> int:
        """Requests that may wait for the painter: threads but those that never wait for it."""
        return max(1, self.threads - RESERVED_THREADS)


def environment_of(name: str) -> str:
    """Name of a setting -> name of its environment variable."""
    return f"EVERSLIDE_{name.upper()}"


def flag_of(name: str) -> str:
    """Name of a setting -> its flag."""
    return f"--{name.replace('_', '-')}"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A decorator of click commands: adds a flag for every setting, and passes them as one `settings`."""
    names = [each.name for each in fields(Settings)]

    @wraps(command)
    def called(**values: Any) -> None:
        command(settings=Settings(**{name: values.pop(name) for name in names}), **values)

    flagged: Callable[..., None] = called
    for each in reversed(fields(Settings)):
        flagged = _flag(each)(flagged)
    return flagged


class _Required(click.Option):
    """An option whose variable, where it is set, must have a value: a protection that is asked for and not there would
    go unseen."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        if isinstance(self.envvar, str) and os.environ.get(self.envvar) == "":
            raise click.BadParameter(
                f"{self.envvar} is set, and empty: give it a token, or unset it for a server without one", ctx, self
            )
        return super().resolve_envvar_value(ctx)


def _flag(setting: Field[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    default = None if setting.name == "cache" else setting.default
    return click.option(
        flag_of(setting.name),
        cls=_Required if setting.name == "token" else None,
        type=setting.metadata["kind"],
        default=default,
        show_default=setting.metadata["shown"] or default is not None,
        envvar=environment_of(setting.name),
        help=setting.metadata["help"],
    )


def default_cache() -> Path:
    """The user's cache folder: $XDG_CACHE_HOME/everslide, else ~/.cache/everslide."""
    return (_xdg("XDG_CACHE_HOME") or Path.home() / ".cache") / "everslide"


def default_data() -> Path:
    """The user's data folder: $XDG_DATA_HOME/everslide, else ~/.local/share/everslide."""
    return (_xdg("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "everslide"


def _xdg(name: str) -> Path | None:
    """A folder of the XDG base directory specification, by which relative ones are ignored: they would be others
    wherever the server is started."""
    folder = with_home(os.environ.get(name, ""))
    return folder if folder.is_absolute() else None

"""Click options that commands share: finite numbers, paths in which `~` is the user's home, results not overwritten."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click

from everslide.model.errors import EverslideError, shown

OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace a file that is there.")


def given_once(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> str | None:
    """A callback of options with `multiple`: one text, or None. Of two, click alone would take the last."""
    if len(values) > 1:
        found = ", ".join(map(shown, values[:4]))
        raise click.BadParameter(f"expected once, found {len(values)} times: {found}", ctx, param)
    if values == ("",):
        raise click.BadParameter("expected a name, found an empty text", ctx, param)
    return values[0] if values else None


def check_free(out: Path, overwrite: bool) -> None:
    """Call before anything is painted. Raises EverslideError where something has that name: a result, or the picture
    that the command reads."""
    if not overwrite and os.path.lexists(out):
        raise EverslideError(f"{out} is there already: name another file with --out, or add --overwrite to replace it")


class Number(click.FloatRange):
    """A finite number of at least `min`. click's own FloatRange accepts "inf", and "nan" whatever the range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r}: expected a finite number", param, ctx)
        return found


class UserPath(click.Path):
    """A path. `~` and `~name` are expanded to home folders, since no shell expands them in a file of variables."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(path_type=Path, **kwargs)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":  # as of "$FOLDER" where that is not set: it would be the folder at hand
            self.fail("expected a path, found an empty text", param, ctx)
        try:
            return super().convert(with_home(value), param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def with_home(path: str | Path) -> Path:
    """ "~/slides" -> the folder in the user's home; other paths unchanged.

    Raises ValueError where no such home is known, and for text that no file system accepts (NUL, lone surrogates).
    """
    text = os.fspath(path)
    try:
        if b"\0" in os.fsencode(text):
            raise ValueError(f"{text!r}: expected a path, found a NUL character")
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!r}: expected a path, found half of a character") from error
    if not text.startswith("~"):
        return Path(text)
    found = Path(os.path.expanduser(text))  # noqa: PTH111  # pathlib's own raises where it knows no such home
    if str(found).startswith("~") and not found.exists():
        raise ValueError(f"{text!r}: no such home folder is known; write ./{text} for a name that begins with ~")
    return found

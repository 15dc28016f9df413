"""How commands speak to a person: logs on the terminal, errors of the project as messages without a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from everslide.model.errors import EverslideError


@contextmanager
def cli_errors() -> Iterator[None]:
    """Turns EverslideError into click's own error."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        yield
    except EverslideError as error:
        raise click.ClickException(str(error)) from error

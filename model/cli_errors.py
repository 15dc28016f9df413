"""Errors and logs of the commands: logs go to the terminal, errors of the project are shown without a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from everslide.model.errors import EverslideError


@contextmanager
def cli_errors() -> Iterator[None]:
    """A context for the body of a command: logs from level INFO on; EverslideError becomes click's ClickException."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        yield
    except EverslideError as error:
        raise click.ClickException(str(error)) from error

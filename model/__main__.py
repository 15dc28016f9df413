"""`python -m everslide.model train ...`: the commands of the model where no server is installed."""

from __future__ import annotations

import click

from everslide.model.commands import COMMANDS

if __name__ == "__main__":
    click.Group("everslide.model", {str(command.name): command for command in COMMANDS})()

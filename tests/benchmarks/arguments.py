"""Arguments of the benchmarks, and what ends with them."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable


def at_least(least: float, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """The type of an argument that is a number from `least` on."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not value >= least:
            raise argparse.ArgumentTypeError(f"expected {least} or more, found {text!r}")
        return value

    return parse


def numbers(text: str) -> list[int]:
    """The type of an argument such as 1,2,4."""
    return [int(at_least(1)(each)) for each in text.split(",")]


def end_what_was_started() -> None:
    """Let SIGTERM end this process as an error does: with the servers and workers that it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

"""Servers in processes of their own, as a user starts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

COMMAND = [sys.executable, "-m", "everslide.server"]


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server with the model that needs no weights, and its address."""
    process = start(*arguments)
    try:
        yield process, address_of(process)
    finally:
        stop(process)


def start(*arguments: str, python: str = sys.executable) -> subprocess.Popen[str]:
    """A server that is still starting: start several, then ask for their addresses. python: whose Everslide it is.

    Nothing is painted ahead, so that what is painted can be counted, unless EVERSLIDE_IDLE_PAINTING says so.
    """
    environment = {"EVERSLIDE_IDLE_PAINTING": "off", **os.environ}
    command = [python, *COMMAND[1:], "serve", "--port", "0", "--model", "speckle", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def address_of(process: subprocess.Popen[str]) -> str:
    """Waits until it serves."""
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.fullmatch(r"Everslide is at (http://127\.0\.0\.1:\d+)/\n", line)
    assert match is not None, line
    return match[1]


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(30)
    if process.stdout is not None:
        process.stdout.close()


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        data: bytes = answer.read()
        return data


def metric(address: str, name: str) -> float:
    """Sum of a metric over its labels."""
    lines = fetch(f"{address}/metrics").decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{re.escape(name)}(\{{|\s)", line))

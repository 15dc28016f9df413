"""Which package may import which, read from the sources themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "model": {"everslide.cache", "everslide.server", "everslide.viewer", "flask", "waitress", "werkzeug"},
    "cache": {
        "everslide.model",
        "everslide.server",
        "everslide.viewer",
        "flask",
        "waitress",
        "werkzeug",
        "torch",
        "numpy",
        "PIL",
    },
    "viewer": {"everslide.model", "everslide.server", "everslide.cache", "flask", "waitress", "werkzeug", "torch"},
    "server": {"torch"},
}
PROBES = {
    "model": {"model/geometry.py", "model/slide.py"},
    "cache": {"cache/store.py", "cache/files.py", "cache/memory.py"},
    "viewer": {"viewer/__init__.py"},
    "server": {"server/app.py", "server/tiles.py", "server/cli.py"},
}


def modules(package: str) -> dict[str, ast.Module]:
    """Every module of a package by its path in the tree."""
    files = sorted((ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8"), str(path)) for path in files}


def imports(module: ast.Module) -> set[str]:
    """All that a module imports, wherever in it: "a.b" for `import a.b`, "a.b.c" for `from a.b import c`."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module} in line {node.lineno}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_downward(package: str) -> None:
    seen = modules(package)
    assert seen.keys() >= PROBES[package]
    for path, module in seen.items():
        for name in imports(module):
            for forbidden in FORBIDDEN[package]:
                assert not f"{name}.".startswith(f"{forbidden}."), f"{path} imports {name}"


def test_only_the_server_knows_http() -> None:
    flask = {path for package in FORBIDDEN for path, m in modules(package).items() if "flask.Flask" in imports(m)}
    assert flask == {"server/app.py"}


def test_every_python_file_belongs_to_a_package_or_to_the_tests() -> None:
    """So that nothing escapes the checks above."""
    ignored = {"build", "dist", "node_modules", "artefacts", "runs", "data"}
    files = {path.relative_to(ROOT) for path in ROOT.rglob("*.py")}
    tops = {path.parts[0] for path in files if path.parts[0] not in ignored and not path.parts[0].startswith(".")}
    assert tops == {"__init__.py", "tests", *FORBIDDEN}


def test_the_walk_finds_imports() -> None:
    found = imports(ast.parse("import a.b\ndef f():\n    from c import d\nif x:\n    from e.f import g as h"))
    assert found == {"a.b", "c.d", "e.f.g"}
    with pytest.raises(AssertionError, match="relative import"):
        imports(ast.parse("from . import a"))


def test_packages_are_those_of_the_project_file() -> None:
    listed = (ROOT / "pyproject.toml").read_text("utf-8")
    for package in FORBIDDEN:
        assert f'"everslide.{package}"' in listed
        assert not [path for path in (ROOT / package).rglob("__init__.py") if path.parent != ROOT / package], (
            f"{package} has a package inside: list it in pyproject.toml, and here"
        )

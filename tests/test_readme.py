"""The README's way into the code: the files that it names exist, and hold what it says they do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
FILES = sorted(set(re.findall(r"`((?:model|server|cache|viewer|docs|tests)/[\w./-]+\.\w+)`", README)))
NAMES = sorted(set(re.findall(r"`(\w+)`(?: and `\w+`)? in\s+`([\w/]+\.py)`", README)))
SUBJECTS = ("windows are blended", "agrees exactly", "the network", "the loss", "a slide's identity")


@pytest.mark.parametrize("path", FILES)
def test_files_that_are_named_exist(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize(("name", "path"), NAMES)
def test_names_are_defined_where_the_readme_says(name: str, path: str) -> None:
    assert re.search(rf"^ *(?:def|class) {name}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_newcomer_finds_the_file_of_each_subject(subject: str) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith("| ") and subject in line.split("|")[1]]
    assert re.search(r"`model/[\w/]+\.py`", row)

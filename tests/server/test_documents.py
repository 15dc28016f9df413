from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from everslide.model.slide import Slide
from everslide.server.documents import Documents, document_name
from everslide.server.errors import StorageError


@pytest.fixture(params=["files", "memory"])
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> Documents:
    return Documents(tmp_path / "data" if request.param == "files" else None)


def test_what_was_kept_is_there(documents: Documents) -> None:
    assert documents.get("tours", "demo-7") == {}
    documents.change("tours", "demo-7", lambda kept: kept.update(a={"title": "Grüße"}))
    documents.change("tours", "demo-7", lambda kept: kept.update(b=2))
    assert documents.get("tours", "demo-7") == {"a": {"title": "Grüße"}, "b": 2}
    assert documents.get("tours", "demo-8") == {}
    assert documents.get("annotations", "demo-7") == {}


def test_an_edit_that_fails_changes_nothing(documents: Documents) -> None:
    documents.change("tours", "demo-7", lambda kept: kept.update(a=1))

    def fail(kept: dict[str, Any]) -> None:
        kept["a"] = 2
        raise KeyError("no")

    with pytest.raises(KeyError):
        documents.change("tours", "demo-7", fail)
    assert documents.get("tours", "demo-7") == {"a": 1}


def test_files_survive_the_process(tmp_path: Path) -> None:
    Documents(tmp_path).change("tours", "demo-7", lambda kept: kept.update(a=1))
    assert Documents(tmp_path).get("tours", "demo-7") == {"a": 1}
    assert [path.name for path in (tmp_path / "tours").iterdir()] == ["demo-7.json"]


def test_a_damaged_file_is_told_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "tours" / "demo-7.json"
    path.parent.mkdir()
    path.write_text("{half")
    with pytest.raises(StorageError, match="demo-7"):
        Documents(tmp_path).change("tours", "demo-7", lambda kept: kept.update(a=1))
    assert path.read_text() == "{half"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "tours").write_text("a file where a folder belongs")
    with pytest.raises(StorageError):
        Documents(tmp_path).change("tours", "demo-7", lambda kept: kept.update(a=1))


def test_another_seed_under_the_same_name_is_another_slide() -> None:
    assert document_name(Slide("demo", 7)) != document_name(Slide("demo", 8))

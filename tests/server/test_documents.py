from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from everslide.model.slide import Slide
from everslide.server.documents import Documents, document_name
from everslide.server.errors import MalformedError, StorageError


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


def only_numbers(key: str, entry: Any) -> Any:
    if not isinstance(entry, int):
        raise MalformedError("a number", repr(entry), "correct it")
    return entry


def test_odd_entries_are_set_aside_reported_and_kept_on_the_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = Documents(tmp_path)
    documents.change("tours", "demo-7", lambda kept: kept.update(a=1, b="two", c=3))
    found = documents.read("tours", "demo-7", only_numbers)
    assert found.sound == {"a": 1, "c": 3}
    assert found.odd == {"b": "expected a number; found 'two'; correct it"}
    assert "demo-7.json: b is set aside: expected a number" in caplog.text
    documents.change("tours", "demo-7", lambda kept: kept.update(c=4), only_numbers)
    assert Documents(tmp_path).get("tours", "demo-7") == {"b": "two", "a": 1, "c": 4}
    documents.change("tours", "demo-7", lambda kept: kept.update(b=2), only_numbers)
    assert Documents(tmp_path).read("tours", "demo-7", only_numbers).odd == {}


def test_a_damaged_file_costs_what_is_damaged_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "tours" / "demo-7.json"
    path.parent.mkdir()
    path.write_text(text := '{\n "a": 1,\n "b": [2,\n "c": 3\n}\n')
    documents = Documents(tmp_path)
    assert documents.read("tours", "demo-7").odd == {
        "line 4 column 5": "line 4 column 5 of 'b': Expecting ',' delimiter"
    }
    assert path.read_text() == text, "reading changes nothing"
    documents.change("tours", "demo-7", lambda kept: kept.update(d=4))
    assert Documents(tmp_path).get("tours", "demo-7") == {"a": 1, "c": 3, "d": 4}
    assert (tmp_path / "tours" / "demo-7.set-aside-1.json").read_text() == text


def test_what_is_set_aside_is_told_with_the_file_that_keeps_it(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    documents.change("tours", "demo-7", lambda kept: kept.update(a=1, b="two"))
    documents.change("tours", "demo-71", lambda kept: kept.update(a=1))
    path = tmp_path / "tours" / "demo-7.json"
    (odd,) = documents.set_aside("tours", "demo-7", only_numbers)
    assert (odd.id, odd.file) == ("b", path) and "a number" in odd.why
    path.write_text('{\n "a": 1,\n "b": [2,\n "c": 3\n}\n')
    assert [one.file for one in documents.set_aside("tours", "demo-7")] == [path]
    documents.change("tours", "demo-7", lambda kept: kept.update(d=4))
    (aside,) = documents.set_aside("tours", "demo-7")
    assert (aside.id, aside.file) == ("demo-7.set-aside-1.json", path.with_name("demo-7.set-aside-1.json"))
    assert documents.set_aside("tours", "demo-71") == []


def test_a_file_torn_anywhere_costs_the_entry_that_it_ends_in(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    whole = {key: {"title": "Drüse", "stops": [{"text": 'a, {b} "c'}]} for key in "abc"}
    documents.change("tours", "demo-7", lambda kept: kept.update(whole))
    path = tmp_path / "tours" / "demo-7.json"
    data = path.read_bytes()
    ends = [end for end, byte in enumerate(data, start=1) if byte == ord("\n")]  # of "{" and of each entry
    for cut in range(len(data) - 2):
        path.write_bytes(data[:cut])
        found = Documents(tmp_path).read("tours", "demo-7")
        sound = sum(cut >= end - 1 for end in ends[1:4])
        assert list(found.sound.items())[:sound] == list(whole.items())[:sound], data[:cut]
        assert all(whole[key] == entry for key, entry in found.sound.items())
        assert found.odd or cut == 0, data[:cut]
    path.write_bytes(data[: ends[2] + 20])
    Documents(tmp_path).change("tours", "demo-7", lambda kept: kept.update(d=1))
    assert Documents(tmp_path).get("tours", "demo-7") == {"a": whole["a"], "b": whole["b"], "d": 1}
    assert (tmp_path / "tours" / "demo-7.set-aside-1.json").read_bytes() == data[: ends[2] + 20]


@pytest.mark.parametrize("damage", [b"\0" * 30, b"\xff" * 30, b"{" * 30, b'"' * 31, b"\n}\n]" * 6])
def test_a_file_overwritten_in_the_middle_costs_the_entry_there(tmp_path: Path, damage: bytes) -> None:
    whole = {key: {"title": "Drüse", "text": "x" * 60} for key in "abc"}
    Documents(tmp_path).change("tours", "demo-7", lambda kept: kept.update(whole))
    path = tmp_path / "tours" / "demo-7.json"
    data = path.read_bytes()
    at = data.index(b"xxx", data.index(b'"b"'))
    path.write_bytes(data[:at] + damage + data[at + len(damage) :])
    found = Documents(tmp_path).read("tours", "demo-7")
    assert (found.sound["a"], found.sound["c"]) == (whole["a"], whole["c"])
    assert found.odd or found.sound["b"] != whole["b"]


@pytest.mark.parametrize(
    ("text", "kept", "odd"),
    [
        ('{\n "a": {"x": 1},\n "a": {"x": 2}\n}', {"a": {"x": 2}}, ["line 3 column 2"]),
        ('{"a": 1}\n"b": 2}', {"a": 1}, ["line 2 column 1"]),
        ('{"a": 1}\n{"b": 2}', {"a": 1}, ["line 2 column 1"]),
        ("null", {}, ["line 1 column 1"]),
        ('{"a": {"x": 1, "x": 2}}', {"a": {"x": 2}}, []),
    ],
)
def test_what_a_hand_left_twice_or_behind_the_end_is_reported_and_not_lost(
    tmp_path: Path, text: str, kept: dict[str, Any], odd: list[str]
) -> None:
    path = tmp_path / "tours" / "demo-7.json"
    path.parent.mkdir()
    path.write_text(text)
    documents = Documents(tmp_path)
    found = documents.read("tours", "demo-7")
    assert (found.sound, list(found.odd)) == (kept, odd)
    documents.change("tours", "demo-7", lambda kept: kept.update(d=4))
    aside = tmp_path / "tours" / "demo-7.set-aside-1.json"
    assert (aside.read_text() if aside.exists() else "") == (text if odd else "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xef\xbb\xbf",
        b"[1]",
        b"7",
        b"{half",
        b"\x00\xff",
        b"[" * 100_000,
        b"9" * 5000,
        b"{]",
        b"{]]]\n]",
        b"{,,,:",
    ],
)
def test_whatever_is_in_a_file_it_can_be_worked_with(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tours" / "demo-7.json"
    path.parent.mkdir()
    path.write_bytes(data)
    documents = Documents(tmp_path)
    assert documents.get("tours", "demo-7") == {}
    documents.change("tours", "demo-7", lambda kept: kept.update(a=1))
    assert documents.get("tours", "demo-7") == {"a": 1}


def test_a_file_that_somebody_else_changes_is_read_anew(documents: Documents, tmp_path: Path) -> None:
    documents.change("tours", "demo-7", lambda kept: kept.update(a=1))
    assert documents.get("tours", "demo-7") == {"a": 1}
    if (tmp_path / "data").exists():
        Documents(tmp_path / "data").change("tours", "demo-7", lambda kept: kept.update(a=2))
        assert documents.get("tours", "demo-7") == {"a": 2}


def test_text_that_utf_8_cannot_write_is_kept(documents: Documents) -> None:
    documents.change("tours", "demo-7", lambda kept: kept.update(a="\ud800", b="Drüse"))
    assert documents.get("tours", "demo-7") == {"a": "\ud800", "b": "Drüse"}


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "tours").write_text("a file where a folder belongs")
    with pytest.raises(StorageError):
        Documents(tmp_path).change("tours", "demo-7", lambda kept: kept.update(a=1))


def test_another_seed_under_the_same_name_is_another_slide() -> None:
    assert document_name(Slide("demo", 7)) != document_name(Slide("demo", 8))

"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from everslide.model.whole_file import written_whole


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    """Each writes a file of its own; who ends last is what is read."""
    path = tmp_path / "weights.safetensors"
    with written_whole(path) as first:
        first.write_text("of the first")
        with written_whole(path) as second:
            second.write_text("of the second")
            assert not path.exists()
        assert path.read_text() == "of the second"
    assert path.read_text() == "of the first" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_in_time(tmp_path: Path) -> None:
    path = tmp_path / "weights [1].safetensors"
    fresh, old, other = (
        tmp_path / f"{name}.part" for name in (f"{path.name}.aaaaaaaa", f"{path.name}.bbbbbbbb", "mine")
    )
    for left in (fresh, old, other):
        left.touch()
    for left in (old, other):
        os.utime(left, (0, 0))
    with written_whole(path) as partial:
        partial.touch()
    assert set(tmp_path.iterdir()) == {path, fresh, other}


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_what_was_there_before_stays_where_writing_fails(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_text("of before")
    with pytest.raises(type(error)), written_whole(path) as partial:
        partial.write_text("half of")
        raise error
    assert path.read_text() == "of before" and list(tmp_path.iterdir()) == [path]

"""Where an export is written, and what of others is there already: checked before anything is painted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

from everslide.server.encode import Format
from everslide.server.errors import MalformedError
from everslide.server.journal import holds_another

Kind = Format | Literal["tiff", "dzi"]
NOTE = "everslide.txt"
"""In a folder of tiles: what they are tiles of."""


def part_of(out: Path) -> Path:
    """What was painted for a file that is not whole yet."""
    return out.with_name(f"{out.name}.part")


def fresh_of(out: Path) -> Path:
    """A file while it is written: it gets its name when it is whole."""
    return out.with_name(f"{out.name}.new")


def folder_of(out: Path) -> Path:
    """The tiles of a .dzi."""
    return out.with_name(f"{out.stem}_files")


def check_free(out: Path) -> None:
    """Raises MalformedError where something has that name: a whole export, or a file of somebody's."""
    if os.path.lexists(out):
        raise _taken(f"{out}, which is there already")


def check_unfinished(out: Path, kind: Kind, plan: dict[str, object]) -> None:
    """Raises MalformedError where beside `out` there is what was painted for an export of another plan."""
    if kind == "tiff" and holds_another(part_of(out), plan):
        raise _taken(f"{part_of(out)}, a stopped export of something else")
    if kind == "dzi" and holds_other_tiles(folder_of(out), str(plan["what"])):
        raise _taken(f"{folder_of(out)}, which holds another export")


def check_place(out: Path, kind: Kind) -> None:
    """Raises MalformedError where no file can be written: what was painted for it would be lost. The folder of a .dzi
    is made."""
    folder = out.absolute().parent
    there = next(each for each in (folder, *folder.parents) if kind != "dzi" or each.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        found = "not writable" if there.is_dir() else "no folder"
        raise MalformedError(f"a folder to write {out.name} to", f"{there}: {found}", "name another with --out")
    if kind == "dzi":
        _check_own(folder_of(out))
        return
    for beside in (part_of(out), fresh_of(out)) if kind == "tiff" else (fresh_of(out),):
        try:
            is_new = not beside.exists()
            beside.open("ab").close()
        except OSError as error:  # the name is too long, or a folder has it
            raise MalformedError("a file that can be written", str(error), "name another with --out") from error
        if is_new:
            beside.unlink()


def holds_other_tiles(folder: Path, plan: str) -> bool:
    note = folder / NOTE
    return note.exists() and note.read_text("utf-8", "replace") != plan


def delete_tiles(folder: Path) -> None:
    """Deletes the levels of a folder of tiles, and nothing else that somebody may have put there."""
    for level in folder.iterdir():
        if level.name.isdecimal() and level.is_dir() and not level.is_symlink():
            shutil.rmtree(level)


def _check_own(folder: Path) -> None:
    """Raises MalformedError where the folder of the tiles has files that no export wrote."""
    try:
        strange = folder.exists() and not (folder / NOTE).exists() and any(folder.iterdir())
    except OSError as error:  # a file has its name, or the name is too long
        raise MalformedError("a folder for the tiles", str(error), "name another with --out") from error
    if strange:
        raise MalformedError("a folder of an export", f"{folder} with other files", "name another with --out")


def _taken(found: str) -> MalformedError:
    return MalformedError("a name that is free", found, "name another with --out, or add --overwrite to replace it")

"""Checks of the folders that a server writes to, made when it starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from everslide.server.documents import Check, Document, Documents, unchecked
from everslide.server.errors import SettingsError, StorageError


def check_folder(folder: Path, kind: str) -> Path:
    """Returns `folder`. Raises SettingsError where it cannot be created or written to; it is not created yet.

    kind: "cache" or "data", the name of its flag.
    """
    try:
        there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        reason = "no folder" if not there.is_dir() else None if os.access(there, os.W_OK | os.X_OK) else "not writable"
    except (OSError, ValueError) as error:
        there, reason = folder, getattr(error, "strerror", None) or str(error)
    if reason:
        where = f"{there}: {reason}"
        raise SettingsError(f"{kind} folder {folder} cannot be used ({where}); name another one with --{kind} DIR")
    return folder


def default_folder(find: Callable[[], Path], kind: str) -> Path:
    """The default folder that `find` returns. Raises SettingsError where there is no home, or it is not writable."""
    try:
        folder = find()
    except (RuntimeError, ValueError) as error:  # pathlib's word for a user without a home, and that of `with_home`
        raise SettingsError(f"no home folder is known for this user; name a {kind} folder with --{kind} DIR") from error
    return check_folder(folder, kind)


class NoDocuments(Documents):
    """Stores nothing: `change` always fails. reason: why there is no folder."""

    def __init__(self, reason: str) -> None:
        super().__init__(None)
        self._reason = reason

    def change(self, kind: str, name: str, edit: Callable[[Document], None], check: Check = unchecked) -> Document:
        """Raises StorageError, always."""
        raise StorageError("a folder for what people make", self._reason, "start the server with --data DIR")

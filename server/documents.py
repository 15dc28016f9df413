"""What people make and must not be lost: annotations, tours, slides of their own. JSON in files, never in a cache."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everslide.model.slide import Slide
from everslide.server.errors import StorageError

Document = dict[str, Any]


def document_name(slide: Slide) -> str:
    """The name of what belongs to a slide: another seed under the same name is another slide."""
    return f"{slide.name}-{slide.seed}"


class Documents:
    """JSON objects by kind and name, in files `<folder>/<kind>/<name>.json`; a folder of None keeps them in memory.

    Kinds and names are the server's own words: letters, digits, '-' and '_'. A file appears under its name whole or not
    at all. Safe to use from several threads of one process; `change` is the way to edit without losing the edit of
    another.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[tuple[str, str], str] = {}
        self._lock = threading.RLock()

    def get(self, kind: str, name: str) -> Document:
        """The document, or an empty one. Raises StorageError where its file cannot be read."""
        with self._lock:
            text = self._read(kind, name)
            document: Document = json.loads(text) if text else {}
            return document

    def change(self, kind: str, name: str, edit: Callable[[Document], None]) -> Document:
        """Let `edit` change the document in place, and keep it. Where `edit` raises, nothing is kept."""
        with self._lock:
            document = self.get(kind, name)
            edit(document)
            self._write(kind, name, json.dumps(document, ensure_ascii=False, indent=1))
            return document

    def _read(self, kind: str, name: str) -> str:
        if self._folder is None:
            return self._memory.get((kind, name), "")
        path = self._path(kind, name)
        try:
            text = path.read_text("utf-8") if path.exists() else ""
            json.loads(text or "{}")
        except (OSError, ValueError) as error:
            raise StorageError(
                f"a readable file {path.name} of {kind}", str(error)[:200], "mend or remove it"
            ) from error
        return text

    def _write(self, kind: str, name: str, text: str) -> None:
        if self._folder is None:
            self._memory[kind, name] = text
            return
        path = self._path(kind, name)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StorageError(
                "room for a file of the user's", str(error)[:200], "free the disk, then try again"
            ) from error

    def _path(self, kind: str, name: str) -> Path:
        assert self._folder is not None
        return self._folder / kind / f"{name}.json"

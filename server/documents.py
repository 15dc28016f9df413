"""Storage of users' work: annotations, tours, slides that they made. JSON files, never in a cache."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from everslide.model.errors import EverslideError
from everslide.model.slide import Slide
from everslide.server.errors import StorageError
from everslide.server.hand_edited import read_entries
from everslide.server.set_aside import SetAside

log = logging.getLogger(__name__)

Document = dict[str, Any]
Check = Callable[[str, Any], Any]
"""(key, entry as it is stored) -> the entry, checked. Raises EverslideError where it is not valid."""
_REMEMBERED = 6
"""Number of documents kept in memory; a file is read again only when it has changed."""


def document_name(slide: Slide) -> str:
    """The name of a slide's documents. It has the seed: another seed under the same name is another slide."""
    return f"{slide.name}-{slide.seed}"


def unchecked(_key: str, entry: Any) -> Any:
    """Takes any entry as it is."""
    return entry


@dataclass(frozen=True)
class Kept:
    """A document as it was read. sound: the valid entries. odd: key -> reason, for each other entry; where the text
    itself is damaged, place in the file -> reason."""

    sound: Document
    odd: dict[str, str]


@dataclass(frozen=True)
class _Read:
    """stamp: changes with the file. unsound: entries that are kept as they are. torn: the text itself is wrong. lines:
    entries as they are written, so that a change of one does not write all others anew."""

    stamp: object
    check: Check
    kept: Kept
    unsound: Document
    torn: bool
    lines: dict[str, tuple[Any, bytes]] = field(default_factory=dict)


class Documents:
    """JSON objects by kind and name, in files `<folder>/<kind>/<name>.json`; a folder of None keeps them in memory.

    Kinds and names are chosen by the server: letters, digits, '-' and '_'. A file is written atomically, one entry a
    line. A damaged file is read as far as possible: entries that cannot be read, or that the caller's `check` refuses,
    are logged and not served, but stay in the file. Safe to use from several threads of one process; `change` is the
    way to edit without losing the edit of another thread.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[tuple[str, str], bytes] = {}
        self._read: OrderedDict[tuple[str, str], _Read] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, kind: str, name: str, check: Check = unchecked) -> Document:
        """The valid entries of a document; empty where there is no such document. The entries must not be changed.

        Raises StorageError where its file cannot be opened.
        """
        return self.read(kind, name, check).sound

    def read(self, kind: str, name: str, check: Check = unchecked) -> Kept:
        """As `get`, with the reasons why entries are missing."""
        with self._lock:
            kept = self._load(kind, name, check).kept
            return Kept(dict(kept.sound), dict(kept.odd))

    def set_aside(self, kind: str, name: str, check: Check = unchecked) -> list[SetAside]:
        """What of a document cannot be relied upon, and files that were kept as they were before it was written anew.
        Raises StorageError."""
        file = self.file(kind, name)
        odd = [SetAside(key, why, file) for key, why in self.read(kind, name, check).odd.items()]
        if self._folder is not None:
            why = f"{file.name} could not be read whole, and was kept under this name before it was written anew"
            odd += [SetAside(aside.name, why, aside) for aside in sorted(file.parent.glob(f"{name}.set-aside-*.json"))]
        return odd

    def texts(self, kind: str, name: str, check: Check = unchecked) -> dict[str, bytes]:
        """The valid entries as JSON in UTF-8, one line each. Kept in memory until an entry changes."""
        with self._lock:
            read = self._load(kind, name, check)
            read.lines.update(_lines(read.kept.sound, read.lines))
            return {key: read.lines[key][1] for key in read.kept.sound}

    def change(self, kind: str, name: str, edit: Callable[[Document], None], check: Check = unchecked) -> Document:
        """Let `edit` change the valid entries in place, then write them; where `edit` raises, nothing is written.

        A file whose text is damaged is first renamed, so that nothing of it is lost. Raises StorageError.
        """
        with self._lock:
            before = self._load(kind, name, check)
            document = dict(before.kept.sound)
            edit(document)
            if before.torn:
                self._set_aside(kind, name)
            unsound = {key: entry for key, entry in before.unsound.items() if key not in document}
            lines = _lines(unsound | document, before.lines)
            written = (b" " + json_line(key) + b": " + line for key, (_, line) in lines.items())
            self._write(kind, name, b"{\n" + b",\n".join(written) + b"\n}\n")
            self._read.pop((kind, name), None)
            if not unsound:
                kept = Kept(dict(document), {})
                self._remember(kind, name, _Read(self._stamp(kind, name), check, kept, {}, torn=False, lines=lines))
            return document

    def file(self, kind: str, name: str) -> Path:
        """Where a document is stored, for messages; in memory it would be below that name."""
        return (self._folder or Path()) / kind / f"{name}.json"

    def _load(self, kind: str, name: str, check: Check) -> _Read:
        stamp = self._stamp(kind, name)
        known = self._read.get((kind, name))
        if known is None or known.stamp != stamp or known.check is not check:
            known = self._checked(kind, name, check, stamp)
            self._remember(kind, name, known)
        return known

    def _remember(self, kind: str, name: str, read: _Read) -> None:
        self._read[kind, name] = read
        self._read.move_to_end((kind, name))
        while len(self._read) > _REMEMBERED:
            self._read.popitem(last=False)

    def _checked(self, kind: str, name: str, check: Check, stamp: object) -> _Read:
        entries, slips = read_entries(self._bytes(kind, name))
        sound: Document = {}
        odd = {slip.place: str(slip) for slip in slips}
        unsound: Document = {}
        for key, entry in entries.items():
            try:
                sound[key] = check(key, entry)
            except EverslideError as error:
                unsound[key], odd[key] = entry, str(error)
        for key, why in odd.items():
            log.warning("%s: %s is set aside: %s", self.file(kind, name), key, why.removeprefix(f"{key}: "))
        return _Read(stamp, check, Kept(sound, odd), unsound, torn=bool(slips))

    def _stamp(self, kind: str, name: str) -> object:
        if self._folder is None:
            return id(self._memory.get((kind, name), b""))
        try:
            found = self.file(kind, name).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _bytes(self, kind: str, name: str) -> bytes:
        if self._folder is None:
            return self._memory.get((kind, name), b"")
        path = self.file(kind, name)
        try:
            return path.read_bytes() if path.exists() else b""
        except OSError as error:
            found = error.strerror or type(error).__name__
            raise StorageError(
                f"a readable file {kind}/{path.name} in the server's data folder", found, "mend or remove it there"
            ) from error

    def _set_aside(self, kind: str, name: str) -> None:
        """Keep the file as it is under a name that is free."""
        if self._folder is None:
            return
        path = self.file(kind, name)
        aside = next(
            free for n in range(1, 10**6) if not (free := path.with_name(f"{name}.set-aside-{n}.json")).exists()
        )
        try:
            path.rename(aside)
        except OSError as error:
            raise _no_room(error) from error
        log.warning("%s: cannot be read whole, is now %s", path, aside.name)

    def _write(self, kind: str, name: str, text: bytes) -> None:
        if self._folder is None:
            self._memory[kind, name] = text
            return
        path = self.file(kind, name)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise _no_room(error) from error


def _no_room(error: OSError) -> StorageError:
    return StorageError("room for a file of the user's", str(error)[:200], "free the disk, then try again")


def _lines(document: Document, known: dict[str, tuple[Any, bytes]]) -> dict[str, tuple[Any, bytes]]:
    """One entry a line: a person who edits one does not harm the others."""
    lines = {}
    for key, entry in document.items():
        before, line = known.get(key, (None, b""))
        lines[key] = (entry, line if before is entry and line else json_line(entry))
    return lines


def json_line(value: Any) -> bytes:
    """JSON in UTF-8, as entries are stored."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write and UTF-8 cannot
        return json.dumps(value).encode()

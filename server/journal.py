"""An append-only file of encoded tiles, which makes long exports resumable."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

_RECORD = struct.Struct("<4sHQII")
"""Mark, octave, index of the tile, length, CRC-32 of the bytes that follow."""
_MARK = b"TILE"


class Journal:
    """Encoded tiles by (octave, index), in the file `path`. Use it as a context. Raises OSError.

    plan: description of the export, for JSON; a file of another plan is overwritten. A truncated or damaged record is
    dropped, with all that follows it.
    """

    def __init__(self, path: Path, plan: dict[str, object]) -> None:
        self._places: dict[tuple[int, int], tuple[int, int]] = {}
        head = _head(plan)
        self._file = path.open("r+b" if path.exists() else "w+b")
        if self._file.readline() == head:
            end = self._read()
        else:
            self._file.seek(0)
            self._file.write(head)
            end = len(head)
        self._file.truncate(end)
        self._file.seek(end)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, place: tuple[int, int]) -> bool:
        return place in self._places

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, octave: int, index: int, data: bytes) -> None:
        """Append the encoded tile `index` of an octave."""
        self._file.seek(0, 2)
        self._file.write(_RECORD.pack(_MARK, octave, index, len(data), zlib.crc32(data)))
        self._places[octave, index] = self._file.tell(), len(data)
        self._file.write(data)
        self._file.flush()

    def get(self, octave: int, index: int) -> bytes:
        offset, length = self._places[octave, index]
        self._file.seek(offset)
        return self._file.read(length)

    def _read(self) -> int:
        """Find the whole records; -> where they end."""
        while True:
            start = self._file.tell()
            head = self._file.read(_RECORD.size)
            if len(head) < _RECORD.size:
                return start
            mark, octave, index, length, checksum = _RECORD.unpack(head)
            data = self._file.read(length)
            if mark != _MARK or len(data) < length or zlib.crc32(data) != checksum:
                return start
            self._places[octave, index] = start + _RECORD.size, length


def holds_another(path: Path, plan: dict[str, object]) -> bool:
    """Whether there is a file of another plan, or one that is no journal. Raises OSError."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline() not in (b"", _head(plan))


def _head(plan: dict[str, object]) -> bytes:
    return json.dumps(plan, sort_keys=True).encode() + b"\n"

"""Files that were packed: by gzip, or as the only one in a zip, as QuPath writes `.geojson.gz` and `.geojson.zip`."""

from __future__ import annotations

import io
import zipfile
import zlib

from everslide.server.errors import MalformedError, TooLargeError

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_GZIP_BITS = 31
"""zlib's word for gzip's own header."""


def unpacked(data: bytes, most: int) -> bytes:
    """The file itself; one that was cut off as far as it goes. Raises MalformedError, and TooLargeError, before more
    than `most` bytes are unpacked."""
    if data.startswith(_GZIP):
        return _gunzipped(data, most)
    return _unzipped(data, most) if data.startswith(_ZIP) else data


def _gunzipped(data: bytes, most: int) -> bytes:
    out = b""
    while data.startswith(_GZIP):  # several behind each other are one file
        stream = zlib.decompressobj(_GZIP_BITS)
        try:
            out += stream.decompress(data, most + 1 - len(out))
        except zlib.error as error:
            raise MalformedError(
                "a gzip file that is whole", str(error)[:80], "pack it again, or send it unpacked"
            ) from error
        _check_size(out, most)
        data = stream.unused_data
    return out


def _unzipped(data: bytes, most: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]
            if any(one.filename.startswith("xl/") for one in names):
                raise MalformedError("a GeoJSON file", "a table of Excel", "export the annotations as GeoJSON")
            if len(names) != 1:
                raise MalformedError("a zip of one file", f"{len(names)} in it", "send the one that is meant")
            with archive.open(names[0]) as file:
                out = file.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise MalformedError("a zip file that can be read", str(error)[:80], "send the file unpacked") from error
    _check_size(out, most)
    return out


def _check_size(out: bytes, most: int) -> None:
    if len(out) > most:
        raise TooLargeError(f"a file of at most {most} bytes when it is unpacked", "more", "send less at a time")

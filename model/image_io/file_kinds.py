"""Which kind of file something is that is no picture we read: so that people know what to save it as."""

from __future__ import annotations

_BEGINNINGS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 file"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (b"\xff\x0a", "a JPEG XL file"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL file"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"PK\3\4", "a zip file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SIMPLE  =", "a FITS file"),
    (b"ZISRAWFILE", "a CZI of Zeiss"),
    (b"\xda\xce\xbe\x0a", "an ND2 of Nikon"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
)
_BRANDS = {b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIC", b"msf1": "a HEIC", b"avif": "an AVIF"}
"""Of files in ISO's box format, bytes 8 to 12."""
HEAD_BYTES = 132


def name_of(head: bytes) -> str | None:
    """head: the first HEAD_BYTES of a file, fewer where it ends before. "a HEIC"; None of what is not in the table."""
    if not head.strip(b"\0"):
        return "an empty file" if not head else "a file of zeros"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a film")
    if head[128:132] == b"DICM":
        return "a DICOM file"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<svg", b"<?xml")):
        return "an SVG or XML file"
    if start.startswith((b"<!doctype", b"<html")):
        return "a web page"
    return next((name for begin, name in _BEGINNINGS if head.startswith(begin)), None)

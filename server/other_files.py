"""Recognition of files that hold annotations in another format than GeoJSON: what they are, and what to do."""

from __future__ import annotations

import re
from typing import Any

from everslide.model.image_io.file_kinds import HEAD_BYTES, name_of
from everslide.server.errors import MalformedError

_EXPORT = "export the annotations as GeoJSON"
_BINARY = (
    (
        b"SQLite format 3\0",
        "an SQLite database, as TIAToolbox's annotation stores and GeoPackages are",
        "write it as GeoJSON: the store's to_geojson in TIAToolbox, or ogr2ogr",
    ),
    (b"\x93NUMPY", "an array of NumPy", _EXPORT),
    (b"PAR1", "a Parquet file", "write it as GeoJSON: to_file(..., driver='GeoJSON') in GeoPandas"),
    (b"Iout", "a region of ImageJ", "open it in QuPath or Fiji, and export it as GeoJSON"),
    *((begin, "a picture", _EXPORT) for begin in (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"RIFF")),
    *(
        (begin, "an archive other than zip and gzip", "send the GeoJSON file in it")
        for begin in (b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
    ),
    (b"\0\0\x27\x0a", "a shapefile", "write it as GeoJSON: ogr2ogr, QGIS or GeoPandas do"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]|x[\x01\x9c\xda]")
"""Of Python's pickle, or packed by zlib, as joblib does."""
_WKT = re.compile(r"\s*(?:SRID=\d+;)?(?:MULTI)?(?:POINT|LINESTRING|POLYGON)\s*[ZM]*\s*\(", re.IGNORECASE)
_ROW = re.compile(r"[^\n{}\[\]]*[,;\t][^\n{}\[\]]*(?:\r?\n|$)")
_DIALECTS = (
    (("images", "annotations"), "a COCO file"),
    (("shapes", "imagePath"), "a file of labelme"),
    (("nuc",), "a file of HoVer-Net"),
    (("arcs", "objects"), "TopoJSON"),
)
"""Fields of JSON that is no GeoJSON, and what it is then."""


def check_binary(data: bytes) -> None:
    """Raises MalformedError for a file that is known to be something else than text."""
    for begin, what, remedy in _BINARY:
        if data.startswith(begin):
            raise MalformedError("a GeoJSON file", what, remedy)
    if _PICKLE.match(data):
        what = "a pickle of Python, as TIAToolbox's .dat files are"
        raise MalformedError("a GeoJSON file", what, "write it as GeoJSON: store_from_dat and to_geojson in TIAToolbox")


def kind_of_text(text: str) -> str | None:
    """What a text is that is no JSON; None where it might have been."""
    head = text[:2000].lstrip()
    if _WKT.match(head):
        return "a geometry as WKT"
    if _ROW.match(head):
        return "a table, such as CSV"
    return name_of(head[:HEAD_BYTES].encode("latin-1", "replace"))


def kind_of_json(content: Any) -> str | None:
    """What JSON is that is no GeoJSON, in words."""
    if not isinstance(content, dict):
        return None
    return next((what for fields, what in _DIALECTS if all(name in content for name in fields)), None)

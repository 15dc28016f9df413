"""GeoJSON as people's programs write it: what can be read is read, what cannot be is reported, what is unknown is
kept."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
import sqlite3
import uuid
import zipfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everslide.server.annotation_table import label_of
from everslide.server.errors import MalformedError, TooLargeError
from everslide.server.geojson import checked_feature, fresh_ids, read_features, read_file, with_ids
from everslide.server.geojson_geometry import MAX_LEFT_OUT
from everslide.server.geojson_text import parsed

BOX = [[300, 600], [550, 600], [550, 850], [300, 850], [300, 600]]


def read(content: object) -> list[dict[str, Any]]:
    """What is kept of a file, all of which can be read."""
    reading = read_features(parsed(json.dumps(content)))
    assert reading.left_out == []
    return with_ids(reading.features, {}, fresh_ids(None))


def box(**more: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [BOX]}, "properties": {}} | more


QUPATH_02 = box(
    id="PathCellObject",
    nucleusGeometry={"type": "Polygon", "coordinates": [BOX]},
    properties={
        "classification": {"name": "Tumor: Positive", "colorRGB": -3670016},
        "isLocked": False,
        "measurements": [{"name": "Nucleus: Area", "value": 3.5}],
    },
)
QUPATH_05 = {
    "type": "Feature",
    "id": "d0000000-0000-4000-8000-000000000002",
    "geometry": {"type": "Polygon", "coordinates": [BOX], "isEllipse": True, "plane": {"c": -1, "z": 3, "t": 0}},
    "nucleusGeometry": {"type": "Polygon", "coordinates": [BOX], "plane": {"c": -1, "z": 3, "t": 0}},
    "properties": {
        "objectType": "cell",
        "classification": {"names": ["Tumor", "Positive"], "color": [200, 0, 0]},
        "name": "cell 1",
        "isLocked": True,
        "measurements": {"Cell: Area": 100.0},
        "metadata": {"ANNOTATION_DESCRIPTION": "odd"},
    },
}
GEOPANDAS = {
    "type": "FeatureCollection",
    "name": "cells",
    "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}},
    "features": [box(id="0", properties={"name": None, "area": 12.5}, bbox=[300, 600, 550, 850])],
}
TIATOOLBOX = box(properties={"type": 1, "prob": 0.97, "box": [300, 600, 550, 850]})


@pytest.mark.parametrize("feature", [QUPATH_05, box(id="a", properties={"name": None, "fid": 7})])
def test_what_a_feature_has_comes_back(feature: dict[str, Any]) -> None:
    assert read([feature]) == [feature]


def test_qupath_02_writes_the_type_of_an_object_as_its_id() -> None:
    first, second = read({"type": "FeatureCollection", "features": [QUPATH_02, QUPATH_02]})
    assert first["id"] != second["id"] and "PathCellObject" not in (first["id"], second["id"])
    assert first["properties"] == {"objectType": "cell"} | QUPATH_02["properties"]
    assert first["nucleusGeometry"] == QUPATH_02["nucleusGeometry"]
    assert label_of(first) == "Tumor: Positive"


@pytest.mark.parametrize(
    "content", [GEOPANDAS, [TIATOOLBOX], TIATOOLBOX, TIATOOLBOX["geometry"], {"features": [TIATOOLBOX]}]
)
def test_collections_lists_single_features_and_bare_geometries(content: object) -> None:
    (feature,) = read(content)
    assert feature["geometry"] == {"type": "Polygon", "coordinates": [BOX]}


def test_collections_within_collections() -> None:
    inner = {"type": "FeatureCollection", "features": [box(), box()]}
    assert len(read({"type": "FeatureCollection", "features": [inner, box()]})) == 3
    empty = {"type": "FeatureCollection", "features": []}
    assert len(read([empty, box(), empty])) == 1, "nothing was in it, so nothing is left out"
    assert len(read([inner, [box()], box()])) == 4


@pytest.mark.parametrize("content", [7, None, "text", {}, {"features": 7}, {"type": "Topology", "objects": {}}])
def test_what_is_no_geojson_is_refused(content: object) -> None:
    with pytest.raises(MalformedError, match="a GeoJSON FeatureCollection"):
        read_features(content)


@pytest.mark.parametrize(
    ("classification", "label"),
    [
        ({"name": "Tumor", "color": [200, 0, 0]}, "Tumor"),
        ({"names": ["Tumor", "Positive"], "name": "other"}, "Tumor: Positive"),
        ("Stroma", "Stroma"),
        (["Tumor", "Positive"], "Tumor: Positive"),
        ({"name": None}, "called"),
        ({"name": 7}, "7"),
        (None, "called"),
        ([None, {}], "called"),
        (True, "called"),
        ("\u202eTu\0mor\n 1\u2069", "Tu mor 1"),
        ("\u200b \0", "called"),
    ],
)
def test_classes_as_names_text_or_object(classification: object, label: str) -> None:
    (feature,) = read([box(properties={"classification": classification, "name": "called"})])
    assert label_of(feature) == label
    assert feature["properties"]["classification"] == classification


def test_open_rings_are_closed() -> None:
    kinds = {"Polygon": [BOX[:-1], BOX[:3]], "MultiPolygon": [[BOX[:-1]], [BOX]]}
    for kind, coordinates in kinds.items():
        (feature,) = read({"type": kind, "coordinates": coordinates})
        rings = feature["geometry"]["coordinates"]
        rings = rings if kind == "Polygon" else [ring for polygon in rings for ring in polygon]
        assert all(ring[0] == ring[-1] for ring in rings)


def test_collections_of_geometries_are_taken_apart() -> None:
    polygon, point = {"type": "Polygon", "coordinates": [BOX]}, {"type": "Point", "coordinates": [1, 2]}
    lines = {"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]]]}
    inner = {"type": "GeometryCollection", "geometries": [point, polygon]}
    whole = {"type": "GeometryCollection", "geometries": [polygon, point, lines, inner]}
    features = read([box(id="d0000000-0000-4000-8000-000000000001", geometry=whole, properties={"name": "a"})])
    assert [one["geometry"]["type"] for one in features] == ["MultiPolygon", "MultiPoint", "LineString"]
    assert [one["properties"] for one in features] == [{"name": "a"}] * 3
    assert len({one["id"] for one in features}) == 3 and features[0]["id"].startswith("d0000000")


def test_positions_of_more_than_two_numbers() -> None:
    (feature,) = read({"type": "LineString", "coordinates": [[1, 2, 3], [4, 5, None], [6, 7, 8, 9]]})
    assert feature["geometry"]["coordinates"] == [[1, 2, 3], [4, 5], [6, 7, 8, 9]]


@pytest.mark.parametrize(
    ("geometry", "why"),
    [
        (None, "found none"),
        ({"type": "Circle", "coordinates": [1, 2]}, "found 'Circle'"),
        ({"type": "Point"}, "found None"),
        ({"type": "Point", "coordinates": []}, "positions [x, y]"),
        ({"type": "Point", "coordinates": ["1", "two"]}, "positions [x, y]"),
        ({"type": "Point", "coordinates": ["NaN", "1e999"]}, "positions [x, y]"),
        ('{"type": "Point"', "JSON"),
        ({"type": "Point", "coordinates": [True, 2]}, "positions [x, y]"),
        ({"type": "Point", "coordinates": [1e300, 2]}, "below 2^53"),
        ({"type": "Point", "coordinates": [float("nan"), 2]}, "found ['NaN', 2]"),
        ({"type": "LineString", "coordinates": [[1, 2]]}, "a line of 2 positions"),
        ({"type": "Polygon", "coordinates": []}, "found []"),
        ({"type": "MultiPolygon", "coordinates": [BOX, BOX]}, "positions [x, y]"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}, "3 corners"),
        ({"type": "GeometryCollection", "geometries": []}, "a collection of none"),
    ],
)
def test_what_cannot_be_read_is_left_out_and_reported(geometry: object, why: str) -> None:
    reading = read_features(parsed(json.dumps([box(), box(geometry=geometry), box()])))
    assert len(reading.features) == 2
    (left_out,) = reading.left_out
    assert left_out.place == "feature 2" and why in left_out.why


@pytest.mark.parametrize(
    "value", [7, None, [], "Feature", {"type": "Circle", "geometry": box()["geometry"], "properties": {}}]
)
def test_what_is_no_feature_is_left_out_and_reported(value: object) -> None:
    reading = read_features([box(), value])
    assert len(reading.features) == 1 and [one.place for one in reading.left_out] == ["feature 2"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"type": "polygon", "coordinates": [BOX]}, {"type": "Polygon", "coordinates": [BOX]}),
        ({"type": "Polygon", "coordinates": BOX}, {"type": "Polygon", "coordinates": [BOX]}),
        ({"type": "Polygon", "coordinates": [[BOX]]}, {"type": "Polygon", "coordinates": [BOX]}),
        ({"type": "MultiPolygon", "coordinates": [BOX]}, {"type": "MultiPolygon", "coordinates": [[BOX]]}),
        ({"type": "Point", "coordinates": [[1, 2]]}, {"type": "Point", "coordinates": [1, 2]}),
        ({"type": "Point", "coordinates": ["1", " -2.5e1 "]}, {"type": "Point", "coordinates": [1, -25.0]}),
        ({"type": "LinearRing", "coordinates": BOX[:-1]}, {"type": "LineString", "coordinates": BOX}),
        ('{"type": "Point", "coordinates": [1, 2]}', {"type": "Point", "coordinates": [1, 2]}),
    ],
)
def test_slips_of_scripts_are_read_as_they_are_meant(written: object, meant: object) -> None:
    (feature,) = read({"type": "featurecollection", "features": [box(geometry=written) | {"type": "feature"}]})
    assert (feature["type"], feature["geometry"]) == ("Feature", meant)


def test_a_collection_of_nothing_is_empty() -> None:
    assert read({"type": "FeatureCollection", "features": None}) == []
    for other in ({"Features": [box()]}, {"features": {"a": box()}}, {}):
        with pytest.raises(MalformedError, match="without a list of features"):
            read({"type": "FeatureCollection"} | other)


@pytest.mark.parametrize("properties", ["text", 7, [1]])
def test_properties_that_cannot_be_read_do_not_cost_their_feature(properties: object) -> None:
    reading = read_features([box(properties=properties), box(properties=[])])
    assert [one["properties"] for one in reading.features] == [{}, {}]
    assert [one.place for one in reading.left_out] == ["feature 1, properties"]


def test_a_part_that_cannot_be_read_does_not_cost_the_others() -> None:
    hole = box(geometry={"type": "Polygon", "coordinates": [BOX, [[1, 2]]]})
    parts = box(geometry={"type": "MultiPolygon", "coordinates": [[BOX], [], [[[1, None]]]]})
    nucleus = box(nucleusGeometry={"type": "Polygon", "coordinates": [[[1, 2]]]})
    reading = read_features([hole, parts, nucleus])
    assert [one.place for one in reading.left_out] == [
        "feature 1, hole 1",
        "feature 2, part 2",
        "feature 2, part 3",
        "feature 3, nucleus",
    ]
    assert len(reading.features) == 3


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_every_encoding_of_json(encoding: str) -> None:
    text = json.dumps([box(properties={"name": "Drüse 𝄞"})], ensure_ascii=False)
    reading = read_file(text.encode(encoding))
    (feature,) = reading.features
    assert feature["properties"]["name"] == "Drüse 𝄞" and reading.left_out == []


def test_text_of_older_programs_is_read_and_told() -> None:
    text = json.dumps([box(), box(properties={"name": "Drüse €"})], ensure_ascii=False)
    reading = read_file(text.encode("cp1252"))
    assert reading.features[1]["properties"]["name"] == "Drüse €" and len(reading.features) == 2
    (left_out,) = reading.left_out
    assert left_out.place.startswith("line 1 column") and "read as Windows-1252" in left_out.why


def test_damaged_text_costs_the_letters_that_are() -> None:
    text = json.dumps([box(properties={"name": "Drüse"}), box(properties={"name": "xx"})], ensure_ascii=False)
    reading = read_file(text.encode().replace(b"xx", b"x\xff"))
    assert [one["properties"]["name"] for one in reading.features] == ["Drüse", "x\ufffd"]
    assert [one.why for one in reading.left_out] == ["damaged: no UTF-8"]


def test_texts_that_are_not_json_are_refused_with_the_place() -> None:
    with pytest.raises(MalformedError, match="at line 2 column 3"):
        read_file(b'{"a":\n  half')
    for data, found in ((b" \n", "an empty one"), (b"<xml>", "begins with '<xml>'"), (b"[" * 100_000, "recursion")):
        with pytest.raises(MalformedError, match=found):
            read_file(data)


def packed(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._one", b"")
        archive.writestr(name, data)
    return out.getvalue()


def test_packed_files_as_qupath_writes_them() -> None:
    data = json.dumps({"type": "FeatureCollection", "features": [box(id="a"), box(id="b")]}).encode()
    for file in (gzip.compress(data), gzip.compress(data[:50]) + gzip.compress(data[50:]), packed("one.json", data)):
        assert [one["id"] for one in read_file(file).features] == ["a", "b"]
    random = json.dumps([box(id=f"{n}", properties={"name": uuid.uuid4().hex}) for n in range(300)]).encode()
    torn = read_file(gzip.compress(random)[:-2000])
    assert len(torn.features) > 10 and torn.left_out[0].why == "damaged, or cut off here"


def test_packed_files_that_are_not_what_they_should_be_are_refused() -> None:
    two = io.BytesIO()
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a", b"[]")
        archive.writestr("b", b"[]")
    damaged = bytearray(gzip.compress(json.dumps([box()]).encode()))
    damaged[12:20] = b"\xff" * 8
    cases = {b"PK\3\4 no zip": "a zip file", two.getvalue(): "2 in it", bytes(damaged): "a gzip file that is whole"}
    for data, why in cases.items():
        with pytest.raises(MalformedError, match=why):
            read_file(data)
    for data in (gzip.compress(b" " * 10_001), packed("a", b" " * 10_001)):
        with pytest.raises(TooLargeError):
            read_file(data, most=10_000)


def test_numbers_that_json_lacks_are_kept_as_text() -> None:
    text = '{"measurements": {"a": NaN, "b": -Infinity, "c": 1e999}}'
    (feature,) = read_features(parsed(json.dumps([box(properties="P")]).replace('"P"', text))).features
    assert feature["properties"]["measurements"] == {"a": "NaN", "b": "-Infinity", "c": "Infinity"}


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 12345678901234567890, int("9" * 4300)])
def test_whole_numbers_of_any_size_come_back_digit_for_digit(number: int) -> None:
    (feature,) = read([box(properties={"cell": number, "measurements": [number]})])
    assert json.dumps(feature["properties"]) == f'{{"cell": {number}, "measurements": [{number}]}}'


def test_a_whole_number_beyond_all_measure_is_left_out_and_reported() -> None:
    text = json.dumps([box(), box(properties={"cell": "N"}), box()]).replace('"N"', "9" * 5000)
    reading = read_file(text.encode())
    assert len(reading.features) == 2
    assert [(one.place, one.why) for one in reading.left_out] == [
        ("feature 2", "expected whole numbers of at most 4300 digits, found one of 5000")
    ]


ORDERS = [("type", "id", "geometry", "properties"), ("properties", "geometry", "id", "type")]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_torn_file_costs_the_feature_that_it_ends_in(order: tuple[str, ...], indent: int | None) -> None:
    rows = [box(id=str(n), properties={"name": "Drüse", "measurements": [{"name": "a"}]}) for n in range(3)]
    features = [{name: row[name] for name in order} for row in rows]
    data = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False, indent=indent).encode()
    ends = [data.index(f'"id": "{n}"'.encode()) for n in range(3)]
    for cut in range(ends[1], len(data) - 1):
        reading = read_file(data[:cut])
        assert reading.features[0]["id"] == "0" and len(reading.features) >= sum(cut > end for end in ends) - 1
        assert all("cut off here" in one.why for one in reading.left_out)
        assert len(reading.features) + len(reading.left_out) >= sum(cut > end for end in ends)


def test_what_is_overwritten_in_a_file_costs_what_it_is_in() -> None:
    collection = {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 2]}] * 3}
    rows = [box(id="a"), box(id="b", geometry=collection), box(id="c"), box(id="d")]
    lines = [json.dumps(row) for row in rows]
    lines[1] = lines[1].replace('"coordinates": [1, 2]', "\0" * 20, 1)
    lines[2] = lines[2].replace("300", "3e", 1)
    reading = read_file(('{"type": "FeatureCollection", "features": [\n' + ",\n".join(lines) + "\n]}").encode())
    assert [one["id"] for one in reading.features] == ["a", "d"]
    assert {one.place.split(" column")[0] for one in reading.left_out} == {"line 3", "line 4"}
    assert len(read_file("\n".join(lines).encode()).features) == 2, "one feature a line"


def test_a_file_of_countless_damages_is_reported_as_not_read_from_there_on() -> None:
    lines = [json.dumps(box()), *(json.dumps(box())[:-5] for _ in range(500)), json.dumps(box())]
    reading = read_file("\n".join(lines).encode())
    assert len(reading.features) == 1 and len(reading.left_out) == 101
    assert reading.left_out[-1].why == "damaged in too many places, not read from here on"


@pytest.mark.parametrize("data", [b"", b"{", b"[", b"<xml>", b'{"features": [', b"\xff\xfe\x00", b"[" * 100_000])
def test_a_file_without_one_whole_feature_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        read_file(data)


def test_one_feature_a_line_as_qgis_writes_it() -> None:
    line = json.dumps(box())
    assert len(read_features(parsed(f"{line}\n{line}\n")).features) == 2
    assert len(read_features(parsed(f"\x1e{line}\n\x1e{line}\n")).features) == 2


@pytest.mark.parametrize("levels", [60, 100, 900])
def test_deep_nesting_is_refused_not_followed(levels: int) -> None:
    deep: Any = {"a": 1}
    for _ in range(levels):
        deep = {"a": deep}
    collections: Any = {"type": "Point", "coordinates": [1, 2]}
    for _ in range(levels):
        collections = {"type": "GeometryCollection", "geometries": [collections]}
    lists: Any = [box()]
    for _ in range(levels):
        lists = [lists]
    reading = read_features([box(properties=deep), box(geometry=collections), box()])
    assert len(reading.features) == (3 if levels == 60 else 1)
    assert len(read_features(lists).features) == (1 if levels == 60 else 0)


NUMBER = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15, allow_nan=False)
POSITION = st.lists(NUMBER, min_size=2, max_size=4)
LINE = st.lists(POSITION, min_size=2, max_size=6)
RING = st.lists(POSITION, min_size=3, max_size=6).map(lambda ring: [*ring, ring[0]])
POLYGON = st.lists(RING, min_size=1, max_size=3)
COORDINATES = {
    "Point": POSITION,
    "MultiPoint": st.lists(POSITION, min_size=1, max_size=4),
    "LineString": LINE,
    "MultiLineString": st.lists(LINE, min_size=1, max_size=3),
    "Polygon": POLYGON,
    "MultiPolygon": st.lists(POLYGON, min_size=1, max_size=3),
}
PLANE = st.fixed_dictionaries({"c": st.integers(-1, 3), "z": st.integers(0, 9), "t": st.integers(0, 9)})
GEOMETRY = st.one_of(
    [
        st.fixed_dictionaries(
            {"type": st.just(kind), "coordinates": coordinates}, optional={"isEllipse": st.booleans(), "plane": PLANE}
        )
        for kind, coordinates in COORDINATES.items()
    ]
)
COLOUR = st.lists(st.integers(0, 255), min_size=3, max_size=3) | st.integers(-(2**31), 2**31 - 1) | st.text(max_size=9)
CLASS = st.one_of(
    st.none(),
    st.text(),
    st.fixed_dictionaries({}, optional={"name": st.none() | st.text(), "names": st.lists(st.text()), "color": COLOUR}),
)
ANY = st.recursive(
    st.none() | st.booleans() | NUMBER | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "objectType": st.sampled_from(["annotation", "detection", "cell", "tile"]),
        "isLocked": st.booleans(),
        "name": st.none() | st.text(),
        "classification": CLASS,
        "measurements": st.dictionaries(st.text(), NUMBER) | st.lists(ANY),
        "color": COLOUR,
        "other": ANY,
    },
)
FEATURE = st.fixed_dictionaries(
    {"type": st.just("Feature"), "id": st.uuids().map(str), "geometry": GEOMETRY, "properties": PROPERTIES},
    optional={"nucleusGeometry": GEOMETRY, "bbox": st.lists(NUMBER, max_size=4), "foreign": ANY},
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FEATURE, max_size=4, unique_by=lambda feature: str(feature["id"])))
def test_whatever_features_have_comes_back_and_stays_when_it_is_read_again(features: list[dict[str, Any]]) -> None:
    once = read({"type": "FeatureCollection", "features": features})
    assert once == features
    assert read(once) == once
    assert [checked_feature(one, one["id"]) for one in once] == once, "and when it is read from the disk"


MESS = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text()
    | st.sampled_from(["Feature", "Polygon", "Point"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "id", "geometry", "geometries", "coordinates", "properties", "features"]), inner
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MESS, max_size=4))
def test_no_mess_gets_past_the_reader(values: list[Any]) -> None:
    """Each value is read, taken apart or left out; what is read can be stored, and read again."""
    reading = read_features(parsed(json.dumps(values)))
    for feature in with_ids(reading.features, {}, fresh_ids(None)):
        assert checked_feature(json.loads(json.dumps(feature, allow_nan=False)), feature["id"]) == feature


def sqlite_file(folder: Path) -> bytes:
    with closing(sqlite3.connect(folder / "store.db")) as store:
        store.execute("create table annotations (key, geometry)")
        store.commit()
    return (folder / "store.db").read_bytes()


def array_file() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros((3, 2)))
    return out.getvalue()


def excel_file() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"):
            archive.writestr(name, "<a/>")
    return out.getvalue()


CELLS = {"1": {"box": [1, 2, 3, 4], "contour": [[1, 2], [3, 4]]}}
OTHER_FILES: dict[str, tuple[bytes, str]] = {
    "an array": (array_file(), "an array of NumPy"),
    "a pickle": (pickle.dumps(CELLS), "a pickle of Python"),
    "a packed pickle": (zlib.compress(pickle.dumps(CELLS)), "a pickle of Python"),
    "a Parquet file": (b"PAR1" + bytes(40), "a Parquet file"),
    "a region of ImageJ": (b"Iout\0\xe3" + bytes(60), "a region of ImageJ"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(40), "a picture"),
    "a 7z archive": (b"7z\xbc\xaf\x27\x1c" + bytes(40), "an archive"),
    "an xz file": (lzma.compress(b"[]"), "an archive"),
    "a table": (b"x,y,class\n1,2,tumor\n", "a table"),
    "a table with a byte order mark": (b"\xef\xbb\xbfCentroid X\tCentroid Y\r\n1\t2\r\n", "a table"),
    "a table of numbers": (b"1,2\n3,4\n" * 1000, "a table"),
    "a table in UTF-16": ("x;y\n1;2\n".encode("utf-16"), "a table"),
    "WKT": (b"POLYGON ((30 10, 40 40, 20 40, 30 10))", "a geometry as WKT"),
    "XML": (b'<?xml version="1.0"?><Annotations/>', "XML file"),
    "a web page": (b"<!doctype html><html>Sign in</html>", "a web page"),
    "TopoJSON": (json.dumps({"type": "Topology", "objects": {}, "arcs": []}).encode(), "TopoJSON"),
    "COCO": (json.dumps({"images": [], "annotations": [], "categories": []}).encode(), "a COCO file"),
    "labelme": (json.dumps({"shapes": [], "imagePath": "a.png"}).encode(), "a file of labelme"),
    "HoVer-Net": (json.dumps({"mag": 40, "nuc": CELLS}).encode(), "a file of HoVer-Net"),
}


@pytest.mark.parametrize(("data", "what"), OTHER_FILES.values(), ids=OTHER_FILES)
def test_files_of_other_formats_are_called_by_their_name(data: bytes, what: str) -> None:
    for sent in (data, gzip.compress(data)):
        with pytest.raises(MalformedError) as refused:
            read_file(sent)
        assert refused.value.expected == "a GeoJSON file"
        assert what in refused.value.found and "GeoJSON" in refused.value.do


def test_a_table_of_excel_is_called_so() -> None:
    with pytest.raises(MalformedError, match="a table of Excel"):
        read_file(excel_file())


def test_an_annotation_store_of_tiatoolbox_is_called_so_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="TIAToolbox's annotation stores") as refused:
        read_file(sqlite_file(tmp_path))
    assert "to_geojson" in refused.value.do


def test_features_that_php_numbered_are_read() -> None:
    assert len(read({"type": "FeatureCollection", "features": {"0": box(), "2": box()}})) == 2


def test_of_a_file_of_mere_numbers_the_first_are_listed_and_the_others_counted() -> None:
    mask = [[0] * 300] * 100
    reading = read_features([*mask, box()])
    assert len(reading.features) == 1
    assert len(reading.left_out) == MAX_LEFT_OUT + 1
    assert reading.left_out[-1].why == f"{30_000 - MAX_LEFT_OUT} more could not be read"


def test_parts_of_a_geometry_that_is_left_out_are_not_counted_beside_it() -> None:
    (left,) = read_features([box(geometry={"type": "MultiPoint", "coordinates": [["x"]] * 30_000})]).left_out
    assert left.place == "feature 1"

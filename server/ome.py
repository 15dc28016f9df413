"""The parts of OME-TIFF that tifffile does not write in this form: OME-XML, and pyramid levels that every reader finds.

The OME way to name a picture's coarser levels is the tag SubIFDs of its first directory: Bio-Formats (so QuPath) and
tifffile read that. Plain readers of pyramids (openslide, libvips, large_image) follow the chain of directories instead.
Here every level is in the chain, marked as reduced, and SubIFDs points at those same directories.
"""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import tifffile

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
SUB_IFDS = 330
_PLACE = SUB_IFDS + 1
_SCHEMA = f"{NAMESPACE} {NAMESPACE}/ome.xsd"


def ome_xml(
    name: str, description: str, size: tuple[int, int], um_per_px: float, magnification: float, creator: str
) -> bytes:
    """OME-XML 2016-06, in ASCII, without references such as "&#181;", which Bio-Formats does not read. size: (width,
    height). magnification: of the finest pixels."""
    root = ElementTree.Element(
        "OME",
        {
            "xmlns": NAMESPACE,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": _SCHEMA,
            "Creator": creator,
        },
    )
    instrument = ElementTree.SubElement(root, "Instrument", ID="Instrument:0")
    ElementTree.SubElement(
        instrument, "Objective", ID="Objective:0", Model="none: painted", NominalMagnification=f"{magnification:g}"
    )
    image = ElementTree.SubElement(root, "Image", ID="Image:0", Name=name)
    ElementTree.SubElement(image, "Description").text = description
    ElementTree.SubElement(image, "InstrumentRef", ID="Instrument:0")
    ElementTree.SubElement(image, "ObjectiveSettings", ID="Objective:0")
    um = {f"PhysicalSize{axis}": f"{um_per_px:g}" for axis in "XY"}  # the unit is um unless said otherwise
    sizes = {"SizeX": str(size[0]), "SizeY": str(size[1]), "SizeC": "3", "SizeZ": "1", "SizeT": "1"}
    pixels = ElementTree.SubElement(
        image,
        "Pixels",
        {"ID": "Pixels:0", "DimensionOrder": "XYCZT", "Type": "uint8", "Interleaved": "true", **sizes, **um},
    )
    ElementTree.SubElement(pixels, "Channel", ID="Channel:0:0", SamplesPerPixel="3")
    ElementTree.SubElement(pixels, "TiffData", IFD="0", PlaneCount="1")
    return b'<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(root)


def sub_ifds_tag(levels: int, bigtiff: bool) -> tuple[int, int, int, tuple[int, ...], bool]:
    """A place for the offsets of so many directories, filled by `point_at_levels`; an extra tag of tifffile, which
    keeps SubIFDs for itself, so it has the next number until then."""
    return (_PLACE, 16 if bigtiff else 4, levels, tuple(range(1, levels + 1)), True)


def point_at_levels(path: Path) -> None:
    """Let SubIFDs of the first directory point at those that follow it in the chain."""
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.offset for page in tiff.pages][1:]
        tag = tiff.pages.first.tags[_PLACE]
        assert tag.count == len(offsets), (tag.count, offsets)
        values = struct.pack(f"{tiff.byteorder}{len(offsets)}{'Q' if tiff.is_bigtiff else 'I'}", *offsets)
        code = struct.pack(f"{tiff.byteorder}H", SUB_IFDS)
        places = ((tag.offset, code), (tag.valueoffset, values))
    with path.open("r+b") as file:
        for at, data in places:
            file.seek(at)
            file.write(data)

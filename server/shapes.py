"""Shapes of what is asked and answered over HTTP, as the documentation of the interface shows them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


def _shown(words: str, example: str) -> Any:
    """A field with an example for the documentation."""
    return Field(description=words, json_schema_extra={"example": example})


class SlidePath(BaseModel):
    name: str = _shown("A slide's id, as in /api/slides.", "demo")


class TilePath(SlidePath):
    level: str = _shown("Deep Zoom level, min_level to max_level of the slide.", "17")
    tile_name: str = Field(
        description="Column, row and format: 12_7.jpeg, .webp or .png (lossless).",
        json_schema_extra={"example": "300_200.jpeg"},
    )


class TileQuery(BaseModel):
    preview: str = Field("0", description="1: answer at once, if need be with an enlarged ancestor.")
    v: str | None = Field(
        None, description="The slide's fingerprint: the answer may then be kept for ever, and is never a stand-in."
    )


class ViewportPost(BaseModel):
    """What a viewer shows now. Its requests for tiles outside are dropped."""

    viewer: str = Field(
        description="The viewer's own name for itself, as in its header X-Everslide-Viewer.",
        min_length=1,
        max_length=64,
    )
    level: int = Field(description="Deep Zoom level that is drawn.", ge=0, le=64)
    x: float = Field(description="Left edge of the view in 20x pixels.", ge=-(2.0**50), le=2.0**50)
    y: float = Field(description="Upper edge of the view in 20x pixels.", ge=-(2.0**50), le=2.0**50)
    width: float = Field(description="Width of the view in 20x pixels.", gt=0, le=2.0**50)
    height: float = Field(description="Height of the view in 20x pixels.", gt=0, le=2.0**50)


class ViewportAnswer(BaseModel):
    dropped: int = Field(description="Requests that were given up.")


class ExportPost(BaseModel):
    """A region of a level, as one file."""

    level: int = Field(description="Deep Zoom level of the pixels.", ge=0, le=64)
    x: int = Field(description="Left edge in pixels of the level.", ge=0, le=2**50)
    y: int = Field(description="Upper edge in pixels of the level.", ge=0, le=2**50)
    width: int = Field(description="Width in pixels of the level.", gt=0, le=2**31)
    height: int = Field(description="Height in pixels of the level.", gt=0, le=2**31)
    format: Literal["png", "jpeg", "ome.tiff"] = Field("png", description="ome.tiff: pyramidal, JPEG or lossless.")
    lossless: bool = Field(False, description="For ome.tiff: deflate instead of JPEG.")


class IIIFInfoPath(BaseModel):
    name: str = _shown("A slide's id.", "demo")


class IIIFImagePath(IIIFInfoPath):
    region: str = _shown("full, square, x,y,w,h or pct:x,y,w,h", "0,0,1024,1024")
    size: str = _shown("max, w, ,h w,h !w,h or pct:n; ^ before it to enlarge", "512,")
    rotation: str = _shown("0, 90, 180, 270; ! before it to mirror", "0")
    file: str = _shown("default, color, gray or bitonal; .jpg, .png or .webp", "default.jpg")


class SlideAnswer(BaseModel):
    """Facts of a slide."""

    id: str
    title: str
    seed: int = Field(description="Up to 2^64 - 1: read it as a text where numbers are floats.")
    model: str
    width: int = Field(description="20x pixels")
    height: int = Field(description="20x pixels")
    mpp: float = Field(description="um per pixel at max_level")
    magnification: float
    tile_size: int
    overlap: int
    min_level: int = Field(description="The coarsest level that is served.")
    max_level: int
    root_level: int = Field(description="The level of 0.15625x.")
    unbounded: bool
    format: str
    fingerprint: str = Field(description="Changes with the bytes of any tile; belongs into ?v= of a tile's address.")
    version: str
    synthetic: bool
    notice: str
    dzi: str
    tiles: str = Field(description="Template of a tile's address.")
    iiif: str = Field(description="The slide's IIIF Image API 3 base address.")


class SlidesAnswer(BaseModel):
    slides: list[SlideAnswer]


class AddressAnswer(BaseModel):
    level: int
    col: int
    row: int


class ProgressAnswer(BaseModel):
    """The state of painting of one slide, in this process."""

    waiting: int
    painting: AddressAnswer | None
    painted: int
    seconds_per_tile: float | None


class HealthAnswer(BaseModel):
    status: str


class ReadyAnswer(BaseModel):
    """checks: whether each part is there; redis may be missing, the server goes on without it."""

    status: str
    checks: dict[str, bool]


class ErrorBody(BaseModel):
    status: int
    expected: str
    found: str
    do: str


class ErrorAnswer(BaseModel):
    """Every answer that is not a success: what was expected, what was found, and what to do."""

    error: ErrorBody


def content(mimetype: str, words: str) -> dict[str, Any]:
    """A response that is not JSON, for the documentation."""
    binary = mimetype.startswith(("image/", "application/octet"))
    schema = {"type": "string"} | ({"contentMediaType": mimetype} if binary else {})
    return {"description": words, "content": {mimetype: {"schema": schema}}}

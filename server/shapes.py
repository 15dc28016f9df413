"""Shapes of what is asked and answered over HTTP, as the documentation of the interface shows them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGM8MW0LAwMDEwMDAwMDAwAZFgIW/oCSNwAAAABJRU5ErkJggg=="
)
"""A PNG file of 2 x 2 pixels."""


def _shown(words: str, example: Any, default: Any = ..., **limits: Any) -> Any:
    """A field with an example for the documentation; required unless it has a default. limits: of pydantic's Field."""
    return Field(default, description=words, json_schema_extra={"example": example}, **limits)


class Body(BaseModel):
    """A body or a stored record that `everslide.server.fields.checked` reads: a text is no number, NaN is none."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


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


class TissueQuery(BaseModel):
    count: int = Field(8, ge=1, le=20, description="Places at most.")


class ViewportPost(BaseModel):
    """What a viewer shows now. Its requests for tiles outside are dropped."""

    viewer: str = Field(
        description="The viewer's own name for itself, as in its header X-Everslide-Viewer: one line.",
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f]+$",
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


class GeometryBody(BaseModel):
    """A geometry of GeoJSON (RFC 7946), in 20x pixels."""

    type: Literal["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"] = _shown(
        "Its kind.", "Polygon"
    )
    coordinates: list[Any] = _shown(
        "Positions [x, y], nested as the kind says; a polygon ends where it begins.",
        [[[1000, 2000], [1500, 2000], [1500, 2600], [1000, 2000]]],
    )


class AnnotationPut(BaseModel):
    """An annotation: a GeoJSON feature, as QuPath reads and writes it. Its id is the address's last part."""

    type: Literal["Feature"] = _shown("Feature", "Feature")
    geometry: GeometryBody
    properties: dict[str, Any] | None = Field(
        None,
        description="QuPath's objectType, name, classification, measurements and so on; all is kept as it is.",
        json_schema_extra={"example": {"name": "gland", "classification": {"name": "Tumor", "color": [200, 0, 0]}}},
    )


class AnnotationsPost(BaseModel):
    """Annotations to be imported: GeoJSON as QuPath, GeoPandas, QGIS or a script writes it. A list of features, or one
    of them, is taken too."""

    type: str = _shown("FeatureCollection", "FeatureCollection", default="FeatureCollection")
    features: list[Any] = _shown(
        "Features. One whose id is a UUID that is there already replaces that one.",
        [{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1000, 2000]}, "properties": {}}],
    )


class AnnotationsPatch(BaseModel):
    """Annotations to be kept and to be deleted, in one step."""

    put: list[Any] = _shown(
        "Features, each with an id of 1 to 64 letters, digits and '-'; one that is there is replaced.",
        [{"type": "Feature", "id": "a-1", "geometry": {"type": "Point", "coordinates": [1000, 2000]}}],
        default=[],
    )
    delete: list[str] = _shown("Ids.", ["a-2"], default=[])
    was: dict[str, str] = _shown(
        "Versions that were seen before, by id: one that somebody changed meanwhile is refused. Without, none is.",
        {"a-1": "0123456789abcdef"},
        default={},
    )


class StopBody(Body):
    """A place of a tour."""

    title: str = Field(max_length=200, json_schema_extra={"example": "A duct"})
    text: str = Field("", max_length=5000, json_schema_extra={"example": "Look at the lumen."})
    x: float = _shown("Of the view's centre, in 20x pixels.", 76000.5, ge=-(2.0**53), le=2.0**53)
    y: float = _shown("Of the view's centre, in 20x pixels.", 51000, ge=-(2.0**53), le=2.0**53)
    magnification: float = Field(ge=1e-6, le=80, json_schema_extra={"example": 10})
    rotation: float = Field(0.0, ge=-360, le=360, description="Degrees.", json_schema_extra={"example": 90})


class TourPut(Body):
    """A tour of a slide. Its id is the address's last part."""

    title: str = Field(max_length=200, json_schema_extra={"example": "First look"})
    stops: list[StopBody] = Field(description="In their order.", max_length=200)


class PictureBody(Body):
    """A picture as a slide's topmost plane: its slide has its extent."""

    data: str = _shown("A JPEG, PNG, WebP or TIFF file as base64, at least 128 um a side.", _PICTURE)
    um_per_px: float = _shown("um per pixel of the picture, 0.71 to 181.", 128, ge=2**-0.5, le=128 * 2**0.5)


class LikeBody(Body):
    """A picture of stained tissue; what it looks like is kept, not its pixels."""

    data: str = _shown("A JPEG, PNG, WebP or TIFF file as base64, at least 64 um a side.", _PICTURE)
    um_per_px: float = _shown("um per pixel of the picture, 0.1 to 1.3.", 0.5, ge=0.1, le=1.3)


class RegionBody(Body):
    """A part of a slide that is of another organ, in um from the slide's top-left corner."""

    x_um: float = _shown("Left edge.", 1000)
    y_um: float = _shown("Upper edge.", 1000)
    width_um: float = _shown("1 or more; the region lies on the slide.", 64)
    height_um: float = _shown("1 or more; the region lies on the slide.", 64)
    organ: str = _shown("One of the model's in /api/models.", "fat", max_length=80)


class SlidePost(Body):
    """A slide to be made, from a seed or below a picture."""

    title: str = Field(max_length=80, description="Its id is made from it.", json_schema_extra={"example": "My slide"})
    seed: str = _shown("0 to 2^64 - 1 as a text of digits.", "42")
    model: str = _shown("One of /api/models.", "mini", max_length=64)
    unbounded: bool = Field(False, description="A slide without an end; width and height say nothing then.")
    width: int | None = Field(
        None,
        description="20x pixels, 256 to 2^40; must be given unless unbounded or below a picture.",
        json_schema_extra={"example": 4096},
        ge=256,
        le=2**40,
    )
    height: int | None = Field(None, description="As width.", json_schema_extra={"example": 2048}, ge=256, le=2**40)
    picture: PictureBody | None = Field(None, description="A picture to zoom into.")
    like: LikeBody | None = Field(None, description="A picture whose tissue and stain the slide shall have.")
    steps: int | None = Field(None, description="From noise to detail, one of the model's; its own by default.")
    guidance: float = Field(
        1.0, description="Classifier-free guidance, 1 (none) to the model's in /api/models.", ge=1, le=100
    )
    organ: str | None = Field(
        "",
        max_length=80,
        description="One of the model's in /api/models; by default one that is drawn from the seed.",
        json_schema_extra={"example": ""},
    )
    regions: list[RegionBody] = Field(
        [],
        max_length=20,
        description="Parts of other organs; where they overlap the later one counts.",
    )


class SlidePatch(Body):
    """What can be changed of a slide that was made: nothing that is painted, so neither its seed nor its organ."""

    title: str = Field(max_length=80, description="Its id stays.", json_schema_extra={"example": "Lymph node"})


class IIIFInfoPath(BaseModel):
    name: str = _shown("A slide's id.", "demo")


class IIIFImagePath(IIIFInfoPath):
    region: str = _shown("full, square, x,y,w,h or pct:x,y,w,h", "0,0,1024,1024")
    size: str = _shown("max, w, ,h w,h !w,h or pct:n; ^ before it to enlarge", "512,")
    rotation: str = _shown("0, 90, 180, 270; ! before it to mirror", "0")
    file: str = _shown("default, color, gray or bitonal; .jpg, .png or .webp", "default.jpg")


class RegionAnswer(BaseModel):
    """A part of a slide with an organ of its own, or the tissue of a picture; in um from the slide's corner."""

    x_um: float
    y_um: float
    width_um: float
    height_um: float
    organ: str | None = Field(description="null: it is like a picture.")
    organ_cases: int | None = Field(description="Training cases behind the organ.")
    organ_sections: int | None = Field(description="Whole sections measured of it; 0: its colours are borrowed.")


class SlideAnswer(BaseModel):
    """Facts of a slide."""

    id: str
    title: str
    seed: int = Field(description="Up to 2^64 - 1: read it as a text where numbers are floats.")
    made: bool = Field(description="Made while the server ran: may be renamed and deleted.")
    model: str
    steps: int | None = Field(description="From noise to detail; null: the model's own.")
    guidance: float = Field(description="Classifier-free guidance; 1: none.")
    organ: str | None = Field(description="What it is a slide of; null where its model knows none, or a picture says.")
    organ_cases: int | None = Field(description="Training cases behind the organ: it is a likeness of so many.")
    organ_sections: int | None = Field(
        description="Whole sections measured of the organ; 0: outlines and colours are borrowed from other organs."
    )
    organ_drawn: bool | None = Field(description="Whether the organ was drawn from the seed, not chosen.")
    regions: list[RegionAnswer] = Field(description="Where they overlap the later one counts.")
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


class PlaceAnswer(BaseModel):
    """A place inside tissue."""

    x: int = Field(description="20x pixels")
    y: int = Field(description="20x pixels")
    tissue: float = Field(description="Share of tissue around it.")
    organ: str | None = Field(description="What is there, in a region of another organ that one; null: not known.")


class PlacesAnswer(BaseModel):
    places: list[PlaceAnswer]


class SetAsideAnswer(BaseModel):
    """Something that is stored and cannot be read. It stays where it is."""

    id: str = Field(description="Of an entry, of a file, or a place in one.")
    why: str = Field(description="Where the server has a token, told to whoever sends it.")
    file: str = Field(description="With its folder to whoever may change what is stored.")


class SlidesAnswer(BaseModel):
    slides: list[SlideAnswer]
    set_aside: list[SetAsideAnswer] = Field(description="Slides that should be there, and cannot be offered.")


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

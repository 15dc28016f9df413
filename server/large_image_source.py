"""A tile source for large_image: `large_image.open("demo.everslide.yaml")`, `large_image.open("everslide://demo")`.

A yaml file holds the fields of `SlideFile`; an address has them as `everslide://NAME?seed=7&model=mini`. Opening and
metadata paint nothing; tiles are painted by a service of the source's own, each once, whoever asks at the same time.
"""

from __future__ import annotations

import reprlib
import unicodedata
import weakref
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
import yaml
from large_image.cache_util import LruCacheMetaclass, methodcache
from large_image.constants import TILE_FORMAT_NUMPY, SourcePriority
from large_image.exceptions import TileSourceError, TileSourceFileNotFoundError
from large_image.tilesource import FileTileSource
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from everslide import version
from everslide.cache.store import StoreError
from everslide.model.command_types import with_home
from everslide.model.errors import EverslideError
from everslide.model.geometry import BASE_MAGNIFICATION, BASE_MPP, TILE_PX
from everslide.model.sampling_config import SamplingConfig
from everslide.model.slide import Slide
from everslide.server.assembly import Assembly, assemble
from everslide.server.deepzoom import TileAddress
from everslide.server.encode import NOTICE
from everslide.server.folders import check_folder
from everslide.server.painters import ModelFiles
from everslide.server.settings import Settings, check_url
from everslide.server.slides import Catalogue, Entry
from everslide.server.tiles import ServedSlide

_SCHEME = "everslide://"
_SUFFIXES = (".everslide.yaml", ".everslide.yml")
_MAX_FILE = 100_000
_BANDS = ("red", "green", "blue")
_WAITING = 64


def _address(url: str) -> str:
    check_url(url)
    return url


def _path(path: Path) -> Path:
    if any(unicodedata.category(letter) == "Cc" for letter in str(path)):
        raise ValueError(r"control characters; a path with \ stands without quotes or in single ones: C:\slides\cache")
    return with_home(path)


def _no_switch(value: object) -> object:
    """YAML reads "yes" as true, and Python true as 1."""
    if isinstance(value, bool):
        raise ValueError("expected a whole number, found true or false")
    return value


HomePath = Annotated[Path, AfterValidator(_path)]
Address = Annotated[str, AfterValidator(_address)]
Whole = Annotated[int, BeforeValidator(_no_switch)]


class SlideFile(BaseModel):
    """The fields of a `*.everslide.yaml`. cache, weights: paths, relative to the file; `~` is the home folder."""

    model_config = ConfigDict(extra="forbid")

    name: str = "slide"
    seed: Whole
    width_px: Whole = 131072
    height_px: Whole = 98304
    unbounded: bool = False
    model: str = "mini"
    steps: Whole | None = None
    guidance: float = 1.0
    organ: str = ""
    weights: HomePath | None = None
    cache: HomePath | None = Field(None, description="Folder of painted tiles; in memory only by default.")
    redis: Address | None = None
    scheduler: Address | None = None


class EverslideTileSource(FileTileSource, metaclass=LruCacheMetaclass):  # type: ignore[misc,metaclass]  # no types
    """A synthetic slide as large_image sees it: the same pixels as over HTTP."""

    cacheName = "tilesource"  # noqa: N815  # large_image's names
    name = "everslide"
    extensions = {None: SourcePriority.HIGHER}  # noqa: RUF012  # large_image reads it from the class
    nameMatches = {r"(?i)^.*\.everslide\.ya?ml$": SourcePriority.PREFERRED}  # noqa: RUF012, N815
    mimeTypes: dict[str | None, SourcePriority] = {}  # noqa: RUF012, N815

    def __init__(self, path: str | Path, **kwargs: Any) -> None:
        """path: a yaml file or an everslide:// address. Raises TileSourceError."""
        super().__init__(path, **kwargs)
        spec = _read(str(path))
        try:
            sampling = SamplingConfig(spec.steps, spec.guidance)
            size = spec.width_px, spec.height_px
            slide = Slide(spec.name, spec.seed, *size, spec.unbounded, spec.model, sampling, spec.organ)
            cache = None if spec.cache is None else check_folder(spec.cache, "cache")
            settings = Settings(cache=cache, redis=spec.redis, scheduler=spec.scheduler, threads=_WAITING)
            assembly = assemble(settings, Catalogue((Entry(slide, spec.name),)), {spec.model: ModelFiles(spec.weights)})
        except (EverslideError, StoreError, OSError) as error:
            raise TileSourceError(f"{path}: {error}") from error
        self._open(assembly, slide)

    @classmethod
    def canRead(cls, path: str | Path | dict[Any, Any], *args: Any, **kwargs: Any) -> bool:  # noqa: N802
        """Whether the name is that of a slide file or an everslide:// address; the content is checked when it is
        opened.

        After False, large_image asks other sources, and in the end reports only that none fits.
        """
        return _is_ours(str(path)) and (str(path).lower().startswith(_SCHEME) or Path(str(path)).exists())

    def _open(self, assembly: Assembly, slide: Slide) -> None:
        self._service = assembly.service
        self._slide: ServedSlide = assembly.service.slide(slide.name)
        self._close = weakref.finalize(self, assembly.close)
        self.sizeX, self.sizeY = slide.width_px, slide.height_px
        self.tileWidth = self.tileHeight = TILE_PX
        tiles = -(-max(self.sizeX, self.sizeY) // TILE_PX)
        self.levels = (tiles - 1).bit_length() + 1
        # Without these three, large_image paints a tile to find out.
        self._dtype, self._bandCount = np.dtype(np.uint8), 3
        self._bandInfoNoStats = {band: {"interpretation": name} for band, name in enumerate(_BANDS, start=1)}

    def getNativeMagnification(self) -> dict[str, float]:  # noqa: N802  # large_image's name
        """Magnification, and mm per pixel at full resolution."""
        return {"magnification": BASE_MAGNIFICATION, "mm_x": BASE_MPP / 1000, "mm_y": BASE_MPP / 1000}

    def getInternalMetadata(self, **kwargs: Any) -> dict[str, Any]:  # noqa: N802
        """That it is synthetic, and what it was painted with."""
        slide, organ = self._slide.entry.slide, self._slide.organ
        return {
            "synthetic": True,
            "notice": NOTICE,
            "model": slide.model,
            "seed": slide.seed,
            "steps": slide.sampling.steps,
            "guidance": slide.sampling.guidance,
            "organ": organ.name if organ else None,
            "organ_cases": organ.cases if organ else None,
            "organ_sections": organ.sections if organ else None,
            "unbounded": slide.unbounded,
            "fingerprint": self._slide.fingerprint,
            "version": version(),
        }

    @methodcache()  # type: ignore[untyped-decorator]
    def getTile(  # noqa: N802
        self,
        x: int,
        y: int,
        z: int,
        pilImageAllowed: bool = False,  # noqa: N803
        numpyAllowed: bool | str = False,  # noqa: N803
        **kwargs: Any,
    ) -> Any:
        """z: 0 is the level that is a single tile, `levels - 1` full resolution. Raises TileSourceError."""
        self._xyzInRange(x, y, z)
        level = self._slide.zoom.level(self.levels - 1 - z)
        if level < self._slide.zoom.min_level:
            raise TileSourceError(
                f"level {z}: an unbounded slide is never shown whole; the coarsest level is "
                f"{z + self._slide.zoom.min_level - level}"
            )
        try:
            pixels = self._service.pixels(self._slide, TileAddress(level, x, y), lambda: False)
        except EverslideError as error:
            raise TileSourceError(str(error)) from error
        return self._outputTile(pixels, TILE_FORMAT_NUMPY, x, y, z, pilImageAllowed, numpyAllowed, **kwargs)


def _is_ours(path: str) -> bool:
    return path.lower().startswith(_SCHEME) or path.lower().endswith(_SUFFIXES)


def _read(path: str) -> SlideFile:
    """Raises TileSourceError, which names the file and the field."""
    if path.lower().startswith(_SCHEME):
        return _checked(path, _fields_of(path), Path())
    if not _is_ours(path):
        raise TileSourceError(f"{path}: expected a name that ends in {' or '.join(_SUFFIXES)}, or {_SCHEME}NAME?seed=7")
    file = Path(path)
    if not file.is_file():
        raise TileSourceFileNotFoundError(path)
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_FILE + 1)
        if len(text) > _MAX_FILE:
            raise ValueError(f"expected at most {_MAX_FILE} bytes")
        fields = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: impossible dates, long numbers
        raise TileSourceError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(fields, dict):
        raise TileSourceError(f"{path}: expected fields such as 'seed: 7', found {type(fields).__name__}")
    return _checked(path, fields, file.parent)


def _fields_of(address: str) -> dict[str, object]:
    """Raises TileSourceError where it says more than can be meant."""
    try:
        parts = urlsplit(address)
        if parts.path not in ("", "/") or parts.fragment:
            raise ValueError(f"{parts.path}{'#' if parts.fragment else ''}{parts.fragment} behind the name")
        given = parse_qsl(parts.query, keep_blank_values=True)
        if twice := next((name for name, _ in given if [each for each, _ in given].count(name) > 1), None):
            raise ValueError(f"{twice!r} twice")
    except ValueError as error:
        raise TileSourceError(f"{address}: expected {_SCHEME}NAME?seed=7, found: {error}") from error
    return {**dict(given), "name": unquote(parts.netloc)}


def _checked(path: str, fields: dict[str, object], folder: Path) -> SlideFile:
    try:
        spec = SlideFile.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TileSourceError(
            f"{path}: field {where!r}: {first['msg']}, found {reprlib.repr(first['input'])}"[:500]
        ) from error
    return spec.model_copy(
        update={name: folder / value for name in ("cache", "weights") if (value := getattr(spec, name)) is not None}
    )

"""What a slide shall look like: styles taken from pictures or organs, for the whole slide or for regions of it.

A style is one embedding and five colours; the pixels of a picture are never kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everslide.model.errors import ImageError
from everslide.model.geometry import Rect, mpp

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
REFERENCE_CHANNELS = 64
"""Length of the embedding of a style."""
COLOURS = 5
"""Number of colours of a style."""
SAMPLES = 8
"""A window's share of a region is measured on a grid of SAMPLES x SAMPLES points."""
MAX_FILE_BYTES = 16 * 2**20
"""Of a file of a reference: over 10,000 regions."""
LEAST_UM = 1.0
"""Least width and height of a region: less is hardly a pixel of 20x."""
EDGE_UM = 200.0
"""Width of the strip, centred on a region's border, in which it is blended with its surroundings; less in a region that
is less than twice as wide or high: half of that."""
COVER_FORMAT = 2
"""Part of the digest of every reference with regions: raise it when a region would cover other places."""


@dataclass(frozen=True, eq=False)
class Style:
    """What tissue looks like: taken from a picture, from an organ, or from both.

    embedding: (REFERENCE_CHANNELS,) mean embedding of a picture's 20x tissue patches; zeros: no picture.
    colours: (COLOURS, 3) RGB in 0 .. 255, darkest to palest. organ: its name, or "".
    """

    embedding: Floats
    colours: Floats
    organ: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Values for JSON, rounded in such a way that `from_dict` gives the same style again."""
        return {
            "embedding": np.round(self.embedding.astype(float), 4).tolist(),
            "colours": np.round(self.colours.astype(float), 2).tolist(),
            **({"organ": self.organ} if self.organ else {}),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Style:
        """The inverse of `as_dict`. Raises ImageError where values are missing or of the wrong kind."""
        try:
            embedding = np.array(values["embedding"], np.float32)
            colours = np.array(values["colours"], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(
                f"a reference: expected 'embedding' and 'colours', found {error!r}; make it again with `everslide new`"
            ) from error
        if (
            embedding.shape != (REFERENCE_CHANNELS,)
            or colours.shape != (COLOURS, 3)
            or not np.isfinite(embedding).all()
            or not np.all((colours >= 0) & (colours <= 255))
        ):
            raise ImageError(
                f"a reference: expected an embedding ({REFERENCE_CHANNELS},) of finite numbers and colours "
                f"({COLOURS}, 3) of 0 to 255, found {embedding.shape} and {colours.shape}; "
                "make it again with `everslide new`"
            )
        organ = values.get("organ", "")
        if not isinstance(organ, str):
            raise ImageError(f"a reference: expected the name of an organ, found {organ!r}")
        return Style(embedding, colours, organ)


@dataclass(frozen=True, eq=False)
class Region:
    """A rectangle of a slide, in um from its top-left corner, with a style of its own."""

    x_um: float
    y_um: float
    width_um: float
    height_um: float
    style: Style

    def cover(self, x: Doubles, y: Doubles) -> Doubles:
        """Weight of the region at places x, y in um, 0 outside to 1 inside; shape: x and y broadcast together.

        It is 1 over the middle half of the region's width and height at least, however small it is.
        """
        across = np.minimum(x - self.x_um, self.x_um + self.width_um - x)
        along = np.minimum(y - self.y_um, self.y_um + self.height_um - y)
        edge_um = max(min(EDGE_UM, self.width_um / 2, self.height_um / 2), 1e-6)
        return np.clip(np.minimum(across, along) / edge_um + 0.5, 0.0, 1.0)


def lies_on(um: tuple[float, float, float, float], size_um: tuple[float, float]) -> bool:
    """Whether a rectangle (x, y, width, height) of LEAST_UM or more a side lies on a slide of that size."""
    x, y, width, height = um
    return min(width, height) >= LEAST_UM and x >= 0 <= y and x + width <= size_um[0] and y + height <= size_um[1]


@dataclass(frozen=True, eq=False)
class Reference:
    """What a slide shall look like. everywhere: the style outside the regions; None: the windows there are painted
    unconditionally. regions: later ones cover earlier ones."""

    everywhere: Style | None
    regions: tuple[Region, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hexadecimal; equal for equal references."""
        covered = f" cover {COVER_FORMAT}" if self.regions else ""
        return hashlib.sha256(f"{json.dumps(self.as_dict(), sort_keys=True)}{covered}".encode()).hexdigest()

    def embedding(self, rect: Rect, s: int) -> Floats:
        """The embedding (REFERENCE_CHANNELS,) that the window over `rect` of plane s is conditioned on: the mean of the
        styles that it touches, each weighted by its share of the window's area."""
        out = np.zeros(REFERENCE_CHANNELS, np.float32)
        for style, share in self._styles(rect, s):
            out = out + np.float32(share) * (style.embedding - out)
        return np.asarray(out, np.float32)

    def organs(self, rect: Rect, s: int) -> dict[str, float]:
        """Organ -> its share of the area of the window over `rect` of plane s, above 0; at most 1 in all."""
        out: dict[str, float] = {}
        for style, share in self._styles(rect, s):
            out = {organ: (1 - share) * known for organ, known in out.items()}
            if style.organ:
                out[style.organ] = out.get(style.organ, 0.0) + share
        return {organ: share for organ, share in out.items() if share > 0}

    def _styles(self, rect: Rect, s: int) -> Iterator[tuple[Style, float]]:
        """Styles in order, each with the share of the window that it covers, and so takes from those before it."""
        if self.everywhere:
            yield self.everywhere, 1.0
        x = (rect.x + (np.arange(SAMPLES) + 0.5) * rect.width / SAMPLES) * mpp(s)
        y = (rect.y + (np.arange(SAMPLES) + 0.5) * rect.height / SAMPLES) * mpp(s)
        for region in self.regions:
            yield region.style, float(region.cover(x[None, :], y[:, None]).mean())

    def as_dict(self) -> dict[str, Any]:
        """Values for JSON; see `from_dict`."""
        regions = [
            {"um": [float(v) for v in (r.x_um, r.y_um, r.width_um, r.height_um)], **r.style.as_dict()}
            for r in self.regions
        ]
        return {"everywhere": self.everywhere.as_dict() if self.everywhere else None, "regions": regions}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Reference:
        """The inverse of `as_dict`. Raises ImageError where values are missing or of the wrong kind."""
        everywhere, listed = values.get("everywhere"), values.get("regions", [])
        if not isinstance(listed, list):
            raise ImageError(f"a reference: expected a list of regions, found {type(listed).__name__}")
        regions = []
        for one in listed:
            try:
                um = [float(number) for number in one["um"]]
                x_um, y_um, width_um, height_um = um
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise ImageError(f"a region: expected 'um': [x, y, width, height], found {error!r}") from error
            if not (np.isfinite(um).all() and min(width_um, height_um) >= LEAST_UM):
                raise ImageError(
                    f"a region: expected finite numbers, and a width and height of {LEAST_UM:g} um or more, found {um}"
                )
            regions.append(Region(x_um, y_um, width_um, height_um, Style.from_dict(one)))
        return Reference(Style.from_dict(everywhere) if everywhere else None, tuple(regions))


def read_reference(path: Path) -> Reference:
    """Read a file of `write_reference`. Raises ImageError where it cannot be read as one."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)  # of a device there is no end
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"more than {MAX_FILE_BYTES} bytes")
        values = json.loads(data.decode("utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ImageError(f"{path}: expected a reference made by `everslide new --like`, found {error}") from error
    if not isinstance(values, dict):
        raise ImageError(f"{path}: expected a reference made by `everslide new --like`, found {type(values).__name__}")
    return Reference.from_dict(values)


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference as JSON. Raises OSError."""
    path.write_text(json.dumps(reference.as_dict()) + "\n", "utf-8")

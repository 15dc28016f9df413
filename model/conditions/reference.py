"""References: pictures whose tissue and stain a slide shall have, all over or in regions of its own.

A reference keeps a few prototypes of the embeddings of its cells and the colours of its tissue, never its pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everslide.model.conditions.cells import CELL_PX
from everslide.model.errors import ImageError
from everslide.model.geometry import BASE_MPP
from everslide.model.make_up import Edges, MakeUp

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
COLOURS = 5
SHARPNESS = 6.0
"""How much nearer prototypes count than farther ones, per unit of mean squared distance."""
EDGE_UM = 200.0
"""Over about this distance a region gives way to its surroundings."""


@dataclass(frozen=True, eq=False)
class Look:
    """What one picture looks like. prototypes: (n, E) embeddings. colours: (COLOURS, 3), darkest to palest tissue.
    make_up: what it is made of, where that is known."""

    prototypes: Floats
    colours: Floats
    make_up: MakeUp | None = None

    def snapped(self, cells: Floats) -> Floats:
        """Cells (E, k, k), each a mean of the prototypes, mostly of the nearest."""
        flat = cells.reshape(len(cells), -1).T  # (k k, E)
        distance = np.square(flat[:, None] - self.prototypes[None]).mean(-1)
        weight = np.exp(-SHARPNESS * (distance - distance.min(1, keepdims=True)))
        weight /= weight.sum(1, keepdims=True)
        mixed: Floats = (weight @ self.prototypes).T.reshape(cells.shape).astype(np.float32)
        return mixed

    def as_dict(self) -> dict[str, Any]:
        """Plain values, rounded so that they read back as the same look."""
        return {
            "prototypes": np.round(self.prototypes.astype(float), 4).tolist(),
            "colours": np.round(self.colours.astype(float), 2).tolist(),
            "make_up": asdict(self.make_up) if self.make_up else None,
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Look:
        """The inverse of `as_dict`. Raises ImageError where that is damaged."""
        try:
            prototypes = np.array(values["prototypes"], np.float32)
            colours = np.array(values["colours"], np.float32)
            make_up = MakeUp(**values["make_up"]) if values.get("make_up") else None
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(f"a reference: expected 'prototypes' and 'colours', found {error!r}") from error
        if prototypes.ndim != 2 or colours.shape != (COLOURS, 3) or not np.isfinite(prototypes).all():
            raise ImageError(f"a reference: found prototypes {prototypes.shape} and colours {colours.shape}")
        return Look(prototypes, colours, make_up)


@dataclass(frozen=True, eq=False)
class Region:
    """A rectangle of a slide, in um from its top-left corner, with a look of its own."""

    x_um: float
    y_um: float
    width_um: float
    height_um: float
    look: Look

    def cover(self, x: Doubles, y: Doubles) -> Doubles:
        """How much it counts at places in um, 0 outside to 1 inside, of the shape of x and y."""
        across = np.minimum(x - self.x_um, self.x_um + self.width_um - x)
        along = np.minimum(y - self.y_um, self.y_um + self.height_um - y)
        return np.clip(np.minimum(across, along) / EDGE_UM + 0.5, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Reference:
    """What a slide shall look like. everywhere: outside the regions, or None for the model's own choice."""

    everywhere: Look | None
    regions: tuple[Region, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Hexadecimal; equal references have equal ones."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def edges(self, x: Doubles, y: Doubles) -> Edges:
        """How the sketch is told of it at places in um: (H, W) both, or (1, W) and (H, 1)."""
        here = Edges.of(self.everywhere.make_up) if self.everywhere and self.everywhere.make_up else Edges()
        for region in self.regions:
            if region.look.make_up and (cover := region.cover(x, y)).any():
                here = here.towards(Edges.of(region.look.make_up), cover)
        return here

    def steer(self, cells: Floats, left: int, top: int, s: int) -> Floats:
        """Cells (E, k, k) of scale s, the first at column `left` and row `top`, in the words of the looks."""
        out = self.everywhere.snapped(cells) if self.everywhere else cells
        um = CELL_PX * BASE_MPP * 2.0**s
        x: Doubles = (left + np.arange(cells.shape[2], dtype=np.float64) + 0.5) * um
        y: Doubles = (top + np.arange(cells.shape[1], dtype=np.float64) + 0.5) * um
        for region in self.regions:
            cover = region.cover(x[None, :], y[:, None]).astype(np.float32)
            if cover.any():
                out = out + cover * (region.look.snapped(cells) - out)
        return np.asarray(out, np.float32)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        regions = [
            {"um": [float(v) for v in (r.x_um, r.y_um, r.width_um, r.height_um)], **r.look.as_dict()}
            for r in self.regions
        ]
        return {"everywhere": self.everywhere.as_dict() if self.everywhere else None, "regions": regions}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Reference:
        """The inverse of `as_dict`. Raises ImageError where that is damaged."""
        everywhere = values.get("everywhere")
        regions = []
        for one in values.get("regions", ()):
            try:
                x_um, y_um, width_um, height_um = map(float, one["um"])
            except (KeyError, TypeError, ValueError) as error:
                raise ImageError(f"a region: expected 'um': [x, y, width, height], found {error!r}") from error
            regions.append(Region(x_um, y_um, width_um, height_um, Look.from_dict(one)))
        return Reference(Look.from_dict(everywhere) if everywhere else None, tuple(regions))


def read_reference(path: Path) -> Reference:
    """A reference written by `write_reference`. Raises ImageError."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ImageError(f"{path}: expected a reference made by `everslide new --like`, found {error}") from error
    if not isinstance(values, dict):
        raise ImageError(f"{path}: expected a reference made by `everslide new --like`, found {type(values).__name__}")
    return Reference.from_dict(values)


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference as JSON."""
    path.write_text(json.dumps(reference.as_dict()) + "\n", "utf-8")

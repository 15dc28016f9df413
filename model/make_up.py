"""What tissue is made of, as far as a sketch can draw it: how much of it is fat, epithelium, and nuclei between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtri

from everslide.model.errors import ImageError
from everslide.model.geometry import BASE_MPP
from everslide.model.nuclei import hematoxylin, label_nuclei, nuclear_threshold
from everslide.model.stain import optical_density

Doubles = NDArray[np.float64]
Pixels = NDArray[np.uint8]
PALE = 0.06
"""Optical density below which a place is empty: glass, a lumen, or the inside of a fat cell."""
FAT_CELL_UM2 = (400.0, 20_000.0)
"""An empty place of this size is taken for a fat cell; a larger one for glass."""
CROWD_UM, CROWDED = 12.0, 0.4
"""Where so much of a neighbourhood is nuclei, they are taken for those of epithelium."""


@dataclass(frozen=True)
class MakeUp:
    """fat: share of the tissue, 0 to 1. epithelium: share of the rest. nuclei: their share of what is left then."""

    fat: float
    epithelium: float
    nuclei: float

    def __post_init__(self) -> None:
        shares = (self.fat, self.epithelium, self.nuclei)
        if not all(0.0 <= share <= 1.0 for share in shares):
            raise ImageError(f"a make-up: expected shares of fat, epithelium and nuclei in 0 .. 1, found {shares}")


FAT_EDGE, GLAND_EDGE = 0.38, 0.16
"""Fields of about normal values of DEVIATION say where fat and glands lie: above these edges, unless told otherwise."""
DEVIATION = 0.465
IN_GLANDS = 0.3
"""Share of epithelium where glands lie closest."""
NUCLEI = ((0.050, 0.060, 0.075, 0.100, 0.136, 0.183, 0.258, 0.303), (-0.8, -0.4, -0.2, 0.0, 0.2, 0.4, 0.8, 1.2))
"""Share of nuclei among fibres, measured, for what is added to the field that says where there are many."""


@dataclass(frozen=True)
class Edges:
    """Settings of the fields that a sketch draws tissue from: numbers, or arrays (H, W) that change with the place."""

    fat: Doubles | float = FAT_EDGE
    glands: Doubles | float = GLAND_EDGE
    nuclei: Doubles | float = 0.0

    @staticmethod
    def of(make_up: MakeUp) -> Edges:
        """Those with which so much is drawn, on average over many millimetres."""
        glands = min(make_up.epithelium / IN_GLANDS, 0.97)
        fat_edge, gland_edge = (DEVIATION * float(ndtri(1.0 - max(share, 1e-3))) for share in (make_up.fat, glands))
        return Edges(fat_edge, gland_edge, float(np.interp(make_up.nuclei, *NUCLEI)))

    def towards(self, other: Edges, cover: Doubles) -> Edges:
        """These where `cover` is 0, the others where it is 1."""
        return Edges(
            self.fat + cover * (other.fat - self.fat),
            self.glands + cover * (other.glands - self.glands),
            self.nuclei + cover * (other.nuclei - self.nuclei),
        )


def make_up_of(pixels: Pixels) -> MakeUp:
    """The make-up of a 20x picture (H, W, 3) uint8 that shows some tissue."""
    density = ndimage.gaussian_filter(optical_density(pixels).mean(-1), 2.0)
    empty, count = ndimage.label(density < PALE)
    area = np.bincount(empty.ravel(), minlength=count + 1) * BASE_MPP**2
    fatty = (area >= FAT_CELL_UM2[0]) & (area <= FAT_CELL_UM2[1])
    fatty[0] = False
    fat, solid = fatty[empty], empty == 0
    nuclei = label_nuclei(hematoxylin(pixels), nuclear_threshold(pixels)) > 0
    crowd = ndimage.gaussian_filter(nuclei.astype(np.float32), CROWD_UM / BASE_MPP)
    crowded = solid & (crowd >= CROWDED)
    rest = solid & ~crowded
    shares = (
        fat.sum() / max(fat.sum() + solid.sum(), 1),
        crowded.sum() / max(solid.sum(), 1),
        (nuclei & rest).sum() / max(rest.sum(), 1),
    )
    return MakeUp(*(round(float(share), 3) for share in shares))

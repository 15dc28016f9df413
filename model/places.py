"""Squares of real images that training shows: where they lie, how they are turned and restained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from everslide.model.stain import jitter_stain

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Stain = tuple[Floats, Floats]
T = TypeVar("T", bound=np.generic)
CROP_PX = 128
PARENT_PX = CROP_PX // 2


@dataclass(frozen=True)
class Place:
    """A square of CROP_PX of scale s in a real image, turned and restained as it is shown.

    planes: of the image, by scale. y, x: in its plane. stain: gains (3,) and shift (3,), see `jitter_stain`.
    """

    planes: Mapping[int, Pixels]
    s: int
    y: int
    x: int
    quarters: int = 0
    mirrored: bool = False
    stain: Stain | None = None

    def real(self) -> Pixels:
        """What the image shows there, (CROP_PX, CROP_PX, 3) uint8."""
        cut = self.planes[self.s][self.y : self.y + CROP_PX, self.x : self.x + CROP_PX]
        shown = turn_by(np.asarray(cut), self.quarters, self.mirrored)
        return shown if self.stain is None else np.ascontiguousarray(jitter_stain(shown, *self.stain))

    @property
    def has_finer(self) -> bool:
        """Whether the image goes on below."""
        return self.s - 1 in self.planes

    def below(self, y: int, x: int) -> Place:
        """The place of the children of the square of PARENT_PX at row y and column x of what is shown."""
        free = CROP_PX - PARENT_PX
        if self.mirrored:
            x = free - x
        for _ in range(self.quarters):
            y, x = x, free - y
        return replace(self, s=self.s - 1, y=2 * (self.y + y), x=2 * (self.x + x))


def turn_by(array: NDArray[T], quarters: int, mirrored: bool) -> NDArray[T]:
    """An array (H, W, ...) turned by so many quarters, then mirrored or not; contiguous."""
    array = np.rot90(array, quarters)
    return np.ascontiguousarray(array[:, ::-1] if mirrored else array)

"""Scales as people name them: magnifications of tissue (20, 10, ...), metres per pixel of the ground (1m, 2m, ...)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from everslide.model.errors import ImageError
from everslide.model.geometry import BASE_MAGNIFICATION
from everslide.model.zoomldm.config import ZoomLDMConfig

GROUND_M_PER_PX = 1.0
"""Finest resolution of NAIP."""


@dataclass(frozen=True)
class Scale:
    """s: octaves above the finest scale. ground: whether metres per pixel were given; None where nothing was."""

    s: int
    ground: bool | None = None


def parse_scale(text: str | None) -> Scale:
    """ "20" -> 0, "10" -> 1, "1m" -> 0, "2m" -> 1; None is the finest. Raises ImageError for others."""
    if text is None:
        return Scale(0)
    ground = text.strip().endswith("m")
    try:
        value = float(text.strip().removesuffix("m"))
    except ValueError:
        value = -1.0
    ratio = value / GROUND_M_PER_PX if ground else BASE_MAGNIFICATION / value if value > 0 else 0.0
    s = math.log2(ratio) if 0 < ratio < math.inf else -1.0
    if s < -0.01 or abs(s - round(s)) > 0.01:
        raise ImageError(
            f"{text!r}: expected 20, 10, 5, 2.5, 1.25, 0.625, 0.3125 or 0.15625 (magnification of tissue), or 1m, 2m, "
            "4m or 8m (metres per pixel of the ground)"
        )
    return Scale(round(s), ground)


def check_scale(config: ZoomLDMConfig, scale: Scale) -> int:
    """`scale.s`, checked: raises ImageError where the checkpoint does not know it, or counts in the other unit."""
    count, ground = config.summarizer.magnifications, config.domain == "ground"
    if scale.ground is not None and scale.ground != ground:
        units = "metres per pixel of the ground, such as 1m" if ground else "magnifications of tissue, such as 20"
        raise ImageError(f"{scale_name(config, scale.s)}: this checkpoint counts in {units}")
    if scale.s >= count:
        names = ", ".join(scale_name(config, s) for s in range(count))
        raise ImageError(f"{scale_name(config, scale.s)}: this checkpoint knows {count}: {names}")
    return scale.s


def scale_name(config: ZoomLDMConfig, s: int) -> str:
    """ "5x" or "4 m per pixel"."""
    if config.domain == "ground":
        return f"{GROUND_M_PER_PX * 2**s:g} m per pixel"
    return f"{BASE_MAGNIFICATION / 2**s:g}x"

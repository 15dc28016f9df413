"""The sampling of a window as a sequence of pictures: parent, noise, each step, detail, window, finished tile."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from everslide.model.pyramid.wavelet import merge
from everslide.model.pyramid.window_trace import Floats, PaintedWindow
from everslide.model.pyramid.windows import Bands
from everslide.server.encode import JPEG, Pixels, encode

_NOISE_CONTRAST = 40.0
"""Grey levels of one standard deviation of noise."""


def film(window: PaintedWindow, steps: Sequence[Bands], tile: Pixels, mark: str) -> list[dict[str, str]]:
    """The frames in order: title, words, and image as a data URL of a JPEG.

    steps: bands predicted at each step. tile: the finished tile (256, 256, 3). mark: text in every file.
    """
    middle = np.full(window.parent.shape, 128, np.float32)
    walk = [
        (f"Step {number} of {len(steps)}", "what the network expects to see at this step", window.with_detail(bands))
        for number, bands in enumerate(steps, start=1)
    ]
    frames = [
        ("Parent", "what is known: the tile above, enlarged", _enlarged(window.parent)),
        ("Noise", "keyed by place: the same whenever it is painted", _enlarged(_grey(_noise(window)))),
        *walk,
        ("Detail", "what the network adds to the parent", _grey(merge(middle, window.bands) - 128)),
        ("Window", "parent and detail, before the exact step", window.unclosed),
        ("Tile", "windows blended, and closed so that its box mean is the parent", tile),
    ]
    return [{"title": title, "words": words, "image": _address(pixels, mark)} for title, words, pixels in frames]


def _noise(window: PaintedWindow) -> Floats:
    """Three of the nine channels, (PARENT_PX, PARENT_PX, 3), in grey levels."""
    return (window.noise[:3].transpose(1, 2, 0) * np.float32(_NOISE_CONTRAST)).astype(np.float32)


def _grey(levels: Floats) -> Pixels:
    """Grey levels about zero -> uint8 about 128."""
    grey: Pixels = np.clip(np.floor(levels + np.float32(128.5)), 0, 255).astype(np.uint8)
    return grey


def _enlarged(pixels: Pixels) -> Pixels:
    """Every pixel as 2 x 2."""
    return np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)


def _address(pixels: Pixels, mark: str) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(encode(pixels, JPEG, mark)).decode()}"

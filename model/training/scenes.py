"""Low-magnification scenes: whole tissue sections, cut from their glass and laid on clean glass at their true scale.

Real slides of 50 mm and more are few; the sections on them are not. A scene turns, mirrors, scales a little and
restains sections, and never shows a straight edge: a section that touches the border of its image is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from everslide.model.stain import jitter_stain, tissue_mask

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
MIN_SECTION_MM2 = 4.0
MAX_BORDER_SHARE = 0.02
"""Share of a section's outline that may lie on the border of its image."""


@dataclass(frozen=True)
class Section:
    """A piece of tissue without its glass: (H, W, 3) uint8 and its coverage (H, W) in [0, 1]."""

    pixels: Pixels
    coverage: Floats


def cut_sections(pixels: Pixels, mpp: float) -> list[Section]:
    """Whole sections in an image of `mpp` um/px, largest first."""
    grown = np.pad(tissue_mask(pixels, 1.5, 0.05), 8, mode="edge")  # closing would wear the mask off at the border
    mask = ndimage.binary_fill_holes(ndimage.binary_closing(grown, iterations=4)[8:-8, 8:-8])
    labels, _ = ndimage.label(mask)
    sections = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        piece = labels[box] == label
        if piece.sum() * mpp**2 / 1e6 < MIN_SECTION_MM2 or _border_share(labels, label) > MAX_BORDER_SHARE:
            continue
        rows, cols = (slice(max(b.start - 4, 0), b.stop + 4) for b in box)
        whole = ndimage.binary_dilation(labels[rows, cols] == label)
        coverage = ndimage.gaussian_filter(whole.astype(np.float32), 0.7)
        sections.append(Section(np.ascontiguousarray(pixels[rows, cols]), coverage))
    return sorted(sections, key=lambda section: -float(section.coverage.sum()))


def _border_share(labels: NDArray[np.integer[Any]], label: int) -> float:
    inside = labels == label
    outline = inside & ~ndimage.binary_erosion(inside, border_value=0)
    border = np.zeros_like(inside)
    border[:2], border[-2:], border[:, :2], border[:, -2:] = True, True, True, True
    return float((outline & border).sum() / max(int(outline.sum()), 1))


def compose(sections: list[Section], width: int, height: int, rng: np.random.Generator) -> Pixels:
    """A scene (height, width, 3) uint8 of up to a dozen sections on clean glass, all drawn by `rng`."""
    glass = (243.0 + rng.normal(0, 3) + rng.normal(0, 0.8, 3)).clip(235, 252).astype(np.float32)
    scene = np.broadcast_to(glass, (height, width, 3)).copy()
    taken = np.zeros((height, width), bool)
    gains = rng.uniform(0.8, 1.25, 3).astype(np.float32)  # sections of one slide share most of their stain
    share = np.array([float(section.coverage.sum()) for section in sections]) ** 0.5
    for _ in range(int(rng.integers(3, 14))):
        section = _vary(sections[int(rng.choice(len(sections), p=share / share.sum()))], gains, rng)
        high, wide = section.coverage.shape
        if high >= height - 8 or wide >= width - 8:
            continue
        for _attempt in range(12):
            y, x = int(rng.integers(4, height - high - 4)), int(rng.integers(4, width - wide - 4))
            place = (slice(y, y + high), slice(x, x + wide))
            covered = section.coverage > 0.05
            if not np.any(taken[place] & covered):
                alpha = section.coverage[..., None]
                scene[place] = scene[place] * (1 - alpha) + section.pixels * alpha
                taken[place] |= ndimage.binary_dilation(covered, iterations=4)
                break
    scene += rng.normal(0, 0.5, scene.shape).astype(np.float32)
    pixels: Pixels = np.clip(np.floor(scene + 0.5), 0, 255).astype(np.uint8)
    return pixels


def _vary(section: Section, gains: Floats, rng: np.random.Generator) -> Section:
    """The section turned, mirrored, scaled a little, and restained."""
    angle, scale = float(rng.uniform(0, 360)), float(rng.uniform(0.8, 1.4))
    own = (gains * rng.uniform(0.92, 1.08, 3)).astype(np.float32)
    restained = jitter_stain(section.pixels, own, rng.uniform(-0.03, 0.03, 3).astype(np.float32))
    colour, cover = Image.fromarray(restained), Image.fromarray((section.coverage * 255).astype(np.uint8))
    size = (max(8, round(colour.width * scale)), max(8, round(colour.height * scale)))
    if rng.random() < 0.5:
        flip = Image.Transpose.FLIP_LEFT_RIGHT
        colour, cover = colour.transpose(flip), cover.transpose(flip)
    bicubic = Image.Resampling.BICUBIC
    turned = colour.resize(size, bicubic).rotate(angle, bicubic, expand=True, fillcolor=(243, 242, 244))
    covered = cover.resize(size, bicubic).rotate(angle, bicubic, expand=True)
    return Section(np.asarray(turned), np.asarray(covered).astype(np.float32) / np.float32(255))

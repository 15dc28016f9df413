"""Tissue of whole sections: a network draws it at 512 um per pixel, and `mini` paints it two octaves finer.

So a canvas of sections at 128 um per pixel is learned as all that is painted below it. Only silhouettes are drawn, see
`everslide.model.pyramid.layout`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from everslide.model.compute_threads import compute_with
from everslide.model.errors import WeightsError
from everslide.model.geometry import TOP_SCALE, Rect, WindowGrid, WindowIndex
from everslide.model.mini.bands import rotate_colours, unrotate_colours
from everslide.model.mini.model import MiniModel, shipped_on_cpu
from everslide.model.mini.section_network import SectionConfig, SectionUNet
from everslide.model.mini.tensors import UNFIT, read_tensors, write_tensors
from everslide.model.mini.weights import read_config
from everslide.model.organs import sections_digest
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.layout import CANVAS_PX, GLASS_GREY
from everslide.model.pyramid.sketch import Sketch
from everslide.model.pyramid.wavelet import children_of
from everslide.model.pyramid.window_model import common_facts
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Style

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
FORMAT = "everslide-sections-2"
PAINT_FORMAT = 2
"""Part of every fingerprint: raise it when the same weights would paint other pixels."""
SHIPPED_SECTIONS = Path(__file__).parent.parent / "weights" / "sections.safetensors"
OCTAVES = 2
STEP = 2**OCTAVES
COARSE_PX = CANVAS_PX // STEP
"""Side of a canvas where the network of sections draws it, at 512 um per pixel."""
MARGIN_PX = 8
"""Pixels around that, so that the finer octaves have neighbours at the canvas's rim."""
DEPTH_PX = 12.0
"""Distances from the outline are told up to about this one, in pixels of the canvas."""
LEAST_COVER = 0.5
"""Pixels with less tissue than this take the colour of the nearest one that has more."""
HUE_BEYOND = 9.0
"""How far hues may lie beyond those of the palette, in grey levels: 99 in 100 pixels of real sections lie within.
Without it the network puts a cyan spot here and there."""


@dataclass(frozen=True, eq=False)
class SectionWeights:
    """All that a file of weights of sections holds. config: sizes of the network. tensors: its parameters by name."""

    config: SectionConfig
    tensors: dict[str, Tensor]

    def build(self) -> SectionUNet:
        """The network with these weights, in float32. Raises WeightsError where they do not fit it."""
        try:
            network = SectionUNet(self.config).eval()
            network.load_state_dict({name: tensor.float() for name, tensor in self.tensors.items()})
        except UNFIT as error:
            raise WeightsError(f"the weights do not fit the network they describe: {error}") from error
        return network


def save_sections(path: Path, weights: SectionWeights) -> None:
    """Write weights in half precision, atomically. Raises WeightsError."""
    header = {"format": FORMAT, "config": json.dumps(weights.config.as_dict())}
    write_tensors(path, {name: x.to(torch.float16).contiguous().cpu() for name, x in weights.tensors.items()}, header)


def load_sections(path: Path) -> SectionWeights:
    """Read a file written by `save_sections`. Raises WeightsError where it is missing, damaged or of another kind."""
    tensors, header = read_tensors(path, FORMAT, "everslide train --sections")
    try:
        return SectionWeights(SectionConfig(**read_config(header)), tensors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path}: expected a header with the sizes of the network, found: {error!r}; train or copy it again"
        ) from error


class SectionPainter:
    """Paints the tissue of whole sections on the CPU, one canvas at a time and with one thread.

    fingerprint: equal ones give equal pixels.
    """

    def __init__(self, weights: SectionWeights, finer: MiniModel) -> None:
        """finer: paints the two octaves below. Raises WeightsError where the weights do not fit their network."""
        self._finer, self._network = finer, weights.build()
        sha = hashlib.sha256(repr((PAINT_FORMAT, finer.fingerprint, weights.config, common_facts())).encode())
        for name, tensor in sorted(self._network.state_dict().items()):
            sha.update(name.encode() + tensor.numpy().tobytes())
        self.fingerprint = sha.hexdigest()

    @torch.inference_mode()
    def paint(self, seed: int, place: tuple[int, int], cover: Floats, style: Style) -> Pixels:
        """Colours (CANVAS_PX, CANVAS_PX, 3) of the tissue under `cover` (CANVAS_PX, CANVAS_PX) in [0, 1], at 128 um/px.

        What lies beside the silhouette has the colours of the tissue nearest to it. seed: of the slide. place: column
        and row of the canvas's cell; both key the noise. style: palette and organ of the tissue.
        """
        compute_with(1)
        tissue = self._tissue(seed, place, cover, style)
        # Training shows no embeddings at these scales.
        context = GenerationContext(seed, Reference(replace(style, embedding=np.zeros_like(style.embedding))))
        side = COARSE_PX + 2 * MARGIN_PX
        for s in range(TOP_SCALE + OCTAVES - 1, TOP_SCALE - 1, -1):
            side *= 2
            window = WindowIndex(s, *place, WindowGrid(side, side))
            bands = self._finer.bands(context, [window], tissue[None])[0]
            tissue = children_of(tissue, bands)
        rim = MARGIN_PX * STEP
        return tissue[rim:-rim, rim:-rim]

    def _tissue(self, seed: int, place: tuple[int, int], cover: Floats, style: Style) -> Pixels:
        """What the network of sections draws, with its margin, (side, side, 3) at 512 um/px."""
        config = self._network.config
        shape = shape_channels(cover)
        noise = tuple(
            _noise(seed, place, channels, side) for channels, side, _ in self._network.noise_shapes(COARSE_PX)
        )
        organ = torch.tensor([[float(name == style.organ) for name in config.organs]])
        palette = torch.from_numpy(style.colours.astype(np.float32).reshape(1, -1) / 127.5 - 1)
        drawn = self._network(torch.from_numpy(shape)[None], noise, palette, organ)[0].permute(1, 2, 0).numpy()
        pixels = _in_palette((drawn + 1) * np.float32(127.5), style.colours)
        return np.pad(_spread(pixels, shape[0]), ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0)), "edge")


def _noise(seed: int, place: tuple[int, int], channels: int, side: int) -> Tensor:
    """Standard normals (1, channels, side, side) of a canvas."""
    rect = Rect(place[0] * side, place[1] * side, side, side)
    return torch.from_numpy(keyed.normals_anywhere(seed, f"sections {side}", TOP_SCALE + OCTAVES, rect, channels))[None]


def shape_channels(cover: Floats) -> Floats:
    """What the network is told of a silhouette (H, W) in [0, 1]: it, and how far from the outline; (2, H/4, W/4)."""
    inside = ndimage.distance_transform_edt(np.pad(cover, 1) > 0.5)[1:-1, 1:-1]
    planes = np.stack([cover, np.tanh(inside / DEPTH_PX)]).astype(np.float32)
    high, wide = cover.shape
    means: Floats = planes.reshape(2, high // STEP, STEP, wide // STEP, STEP).mean((2, 4))
    return means


def _in_palette(drawn: Floats, palette: Floats) -> Pixels:
    """Grey levels (N, N, 3) with hues beyond those of a palette (n, 3) and of glass brought back to them; uint8."""
    hues = rotate_colours(np.concatenate([palette, np.full((1, 3), GLASS_GREY)]).astype(np.float32))
    turned = rotate_colours(drawn)
    turned[..., 1:] = turned[..., 1:].clip(hues[:, 1:].min(0) - HUE_BEYOND, hues[:, 1:].max(0) + HUE_BEYOND)
    pixels: Pixels = np.floor(unrotate_colours(turned) + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    return pixels


def _spread(pixels: Pixels, cover: Floats) -> Pixels:
    """Pixels (N, N, 3) with those of little `cover` (N, N) replaced by the nearest of more."""
    known = cover >= min(LEAST_COVER, float(cover.max()))
    rows, cols = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    spread: Pixels = pixels[rows, cols]
    return spread


@cache
def load_section_painter() -> SectionPainter:
    """The shipped weights, for all slides of this process. Raises WeightsError."""
    return SectionPainter(load_sections(SHIPPED_SECTIONS), shipped_on_cpu())


def check_sections() -> None:
    """Raises WeightsError where sections cannot be drawn: files of this package are missing or damaged. Paints
    nothing."""
    load_sections(SHIPPED_SECTIONS).build()
    sections_digest()


def make_sketch(slide: Slide, s: int = TOP_SCALE, reference: Reference | None = None) -> Sketch:
    """The sketch of a slide with tissue of the shipped weights. Raises WeightsError."""
    return Sketch(slide, load_section_painter(), s, reference)

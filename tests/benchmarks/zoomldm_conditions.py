"""Sources of conditions compared on one checkpoint: agreement with the parent, with neighbours, and seams.

    python -m tests.benchmarks.zoomldm_conditions CHECKPOINT    # a folder with weights.ckpt, config.yaml and cdm.ckpt

Prints JSON. For each source, over a few windows of several scales below drawn tissue, preset `fast`:

agreement_db: PSNR between the parent and the box mean of the painted child, before anything is made to agree.
overlap: mean cosine between the conditions of neighbouring windows, less that of distant ones, which share nothing.
pyramid: mean cosine between a parent's embedding cells and the means of its children's; null where there are none.
seam: steps across lines where windows begin or end over steps elsewhere, in an even picture.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.evaluation.fields import MemoryTiles, field_of
from everslide.model.geometry import Rect, WindowGrid, WindowIndex
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.slide import Slide
from everslide.model.zoomldm.conditions import (
    CDMConditions,
    Conditions,
    FieldConditions,
    GridConditions,
    NoCondition,
    ParentConditions,
)
from everslide.model.zoomldm.encoders import TextureEncoder
from everslide.model.zoomldm.latents import to_image, window_grid, window_noise
from everslide.model.zoomldm.painting import FAST, LatentWindows, paint
from everslide.model.zoomldm.prototypes import kept_prototypes
from everslide.model.zoomldm.resize import Box
from everslide.model.zoomldm.zoomldm import ZoomLDM, load_cdm, load_zoomldm
from tests.model.pictures import tissue

SCALES = (0, 1, 2)


class RepeatedTexture(TextureEncoder):
    """Texture numbers, repeated to the width that the checkpoint expects: a stand-in for a trained encoder."""

    fingerprint = "repeated texture"

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def embed(self, images: Tensor) -> Tensor:
        """See `Encoder.embed`."""
        small = F.interpolate(images, (64, 64), mode="bicubic")
        return super().embed(small).log1p().repeat(1, -(-self.channels // 9))[:, : self.channels]


def make_sources(model: ZoomLDM, cdm_path: Path) -> dict[str, Conditions]:
    """Every source; the reference is random embeddings, smooth over the slide."""
    cdm, digest = load_cdm(cdm_path)
    width = model.config.summarizer.input_channels
    torch.manual_seed(0)
    smooth = F.interpolate(torch.randn(1, width, 3, 3), (12, 12), mode="bicubic")[0]
    return {
        "none": NoCondition(model),
        "cdm": CDMConditions(model, cdm, digest, steps=50),
        "parent": ParentConditions(model, RepeatedTexture(width)),
        "reference": GridConditions(model, smooth),
        "field": FieldConditions(model, kept_prototypes(cdm_path, model, cdm, digest)),
    }


@torch.inference_mode()
def agreement_db(model: ZoomLDM, source: Conditions) -> float:
    """Before back-projection."""
    errors = []
    for s in SCALES:
        for col in range(3):
            window = WindowIndex(s, 7 * col, 3, window_grid(model))
            parents = tissue(model.config.image_px // 2, model.config.image_px // 2, col)[None]
            y = to_image(model, parents)
            c = source.of(1, [window], parents)
            noise = partial(_noise, model, window)
            image = paint(model, FAST, y, c, source.guided, noise, back=0)
            errors.append(float((Box(2).down(image) - y).square().mean()))
    return float(10 * np.log10(4 / np.mean(errors)))


def _noise(model: ZoomLDM, window: WindowIndex, stream: str) -> Tensor:
    return window_noise(model, 1, stream, [window])


@torch.inference_mode()
def overlap(model: ZoomLDM, source: Conditions) -> float | None:
    """Neighbours' cosine less strangers'."""
    if not source.guided:
        return None
    near, far = [], []
    for s in SCALES:
        line = [WindowIndex(s, col, 5, window_grid(model)) for col in (0, 1, 40, 41, 90, 91)]
        side = model.config.image_px // 2
        whole = tissue(side, 200 * side, s)
        cut = [whole[:, x : x + side] for x in (window.parent_rect.x for window in line)]
        c = source.of(1, line, np.stack(cut)).flatten(1)
        cosine = F.normalize(c) @ F.normalize(c).T
        near += [float(cosine[i, i + 1]) for i in (0, 2, 4)]
        far += [float(cosine[i, j]) for i in (0, 2) for j in range(i + 2, 6)]
    return float(np.mean(near) - np.mean(far))


def pyramid(source: Conditions) -> float | None:
    """Of the embedding cells."""
    cosines = []
    for s in (1, 2, 3):
        grid = WindowGrid(64, 64)
        below = [WindowIndex(s - 1, 6 + i, 4 + j, grid) for j in (0, 1) for i in (0, 1)]
        windows = [WindowIndex(s, 3, 2, grid), *below]
        if isinstance(source, FieldConditions):
            cells = [source.cells(1, window) for window in windows]
        elif isinstance(source, GridConditions):
            cells = [source.cells(window) for window in windows]
        else:
            return None
        joined = torch.cat([torch.cat(cells[1:3], 2), torch.cat(cells[3:], 2)], 1)
        means = F.adaptive_avg_pool2d(joined, cells[0].shape[-1])
        cosines.append(float(F.cosine_similarity(means.flatten(), cells[0].flatten(), dim=0)))
    return float(np.mean(cosines))


def seam(model: ZoomLDM, source: Conditions) -> float:
    """On an even picture, so that every line is like every other of its parity."""
    grid = window_grid(model)
    side = 8 * grid.stride_px // 2 * 2
    painter = Painter(
        Slide("even", 9, max(side, 256), max(side, 256)),
        LatentWindows("zoomldm-brca", model, source, FAST, threads=1),
        MemoryTiles(),
        ImageTop(np.full((side // 2, side // 2, 3), 150, np.uint8), 1),
    )
    grey = field_of(painter, 0, Rect(0, 0, side, side)).astype(float).mean(-1)
    steps = np.square(np.diff(grey, axis=1)).mean(0)
    ends = (0, grid.window_px - grid.stride_px)
    borders = [grid.stride_px * k + end - 1 for k in range(1, 8) for end in ends]
    others = [x for x in range(1, side - 1, 2) if x not in borders]
    return float(steps[borders].mean() / steps[others].mean())


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    model = load_zoomldm(folder)
    figures = {
        name: {
            "agreement_db": round(agreement_db(model, source), 2),
            "overlap": None if (value := overlap(model, source)) is None else round(value, 3),
            "pyramid": None if (value := pyramid(source)) is None else round(value, 3),
            "seam": round(seam(model, source), 3),
        }
        for name, source in make_sources(model, folder / "cdm.ckpt").items()
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

"""Slides painted by joint sampling, when somebody looks: Algorithm S2 below the remembered paths of a tile's contexts.

The topmost of the model's scales is guided by the slide's topmost plane, which is final; every finer one by what its
contexts were taken for at the same step. So a window depends on the slide, its place, and nothing else, whatever was
looked at before; what is forgotten is sampled again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.errors import SlideError
from everslide.model.geometry import Rect, WindowIndex, tiles_touching
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.top import TopPlane
from everslide.model.pyramid.wavelet import details
from everslide.model.zoomldm.conditions import Conditions, ParentConditions
from everslide.model.zoomldm.joint import S2
from everslide.model.zoomldm.latent_model import Calls, LatentModel
from everslide.model.zoomldm.latents import to_grey_levels, to_image
from everslide.model.zoomldm.lazy import JointPlane
from everslide.model.zoomldm.painting import LatentWindows, Preset, back_project
from everslide.model.zoomldm.resize import make_operator

JOINT = Preset("joint", S2)
CONTEXTS = 4
"""Windows of the next coarser scale that a window lies below, at most: it is a half window wide there."""
SLIDES = 2
"""Slides whose paths are remembered."""


class JointWindows(LatentWindows):
    """A checkpoint as a `WindowModel` that samples jointly, from the topmost plane down."""

    from_top = True

    def __init__(
        self,
        name: str,
        model: LatentModel,
        conditions: Conditions,
        preset: Preset,
        threads: int,
        batch: int = 1,
    ) -> None:
        """Raises SlideError for conditions that joint sampling cannot have."""
        if isinstance(conditions, ParentConditions):
            raise SlideError("preset joint: there is no parent to encode while it is sampled; choose another condition")
        super().__init__(name, model, conditions, preset, threads, batch)
        steps = len(preset.settings.times)
        self.calls = Calls(self.calls.denoiser, self.calls.encode, self.calls.decode + CONTEXTS * steps)
        self._planes: OrderedDict[str, JointPlane] = OrderedDict()

    @torch.inference_mode()
    def bands(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """See `WindowModel.bands`. Raises SlideError for a scale that the checkpoint does not know."""
        self._check(windows)
        paths = self.plane(context).trajectories(windows)
        latents = torch.stack([paths[window].last for window in windows])  # (batch, 3, h, w), always as many
        image = back_project(self.model.decode(latents), to_image(self.model, parents))
        return np.stack([details(levels) for levels in to_grey_levels(image)])

    def plane(self, context: GenerationContext) -> JointPlane:
        """The paths of a slide. Raises SlideError where its topmost plane is not at hand."""
        if context.top is None:
            raise SlideError(
                f"{self.name}, preset joint: paints from the slide's topmost plane, in the server's process"
            )
        if context.key not in self._planes:
            top = context.top.plane
            settings = self._preset.settings
            if not self._conditions.guided:
                settings = replace(settings, w=0.0)
            self._planes[context.key] = JointPlane(
                self.model, settings, make_operator(self._preset.operator, 2), self._conditions, self.grid,
                context.seed, top.s - 1, self.batch, lambda window: self._shown(top, window),
            )  # fmt: skip
            while len(self._planes) > SLIDES:
                self._planes.popitem(last=False)
        self._planes.move_to_end(context.key)
        return self._planes[context.key]

    def _shown(self, top: TopPlane, window: WindowIndex) -> Tensor:
        """What the topmost plane shows of a window, (3, h / 2, w / 2) in [-1, 1]."""
        return to_image(self.model, pixels_of(top, window.parent_rect)[None])[0]


def pixels_of(top: TopPlane, rect: Rect) -> NDArray[np.uint8]:
    """`rect` of a topmost plane, (H, W, 3)."""
    out = np.empty((rect.height, rect.width, 3), np.uint8)
    for tile in tiles_touching(top.s, rect):
        part = tile.rect.intersection(rect)
        assert part is not None
        source = top.tile(tile.col, tile.row)
        out[part.y - rect.y : part.bottom - rect.y, part.x - rect.x : part.right - rect.x] = source[
            part.y - tile.rect.y : part.bottom - tile.rect.y, part.x - tile.rect.x : part.right - tile.rect.x
        ]
    return out

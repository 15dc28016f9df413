"""Joint multi-scale sampling of an endless plane, window by window, in any order (Algorithm S2, made lazy).

The context never reads its details and windows never read each other, so that painting a window later, against the
remembered trajectory of its context, is the same computation as sampling all at once: the guide of step i is the
coarser plane as its own windows predict it at step i, decoded and blended by the tent of the window grid. Noise is
keyed by place and step, the batch has one shape.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from everslide.model.geometry import Rect, WindowGrid, WindowIndex, windows_touching
from everslide.model.pyramid.painter import tent
from everslide.model.zoomldm.conditions import Conditions
from everslide.model.zoomldm.joint import JointSettings, correct, ddim_step, limit, predict
from everslide.model.zoomldm.latent_model import LatentModel
from everslide.model.zoomldm.latents import window_noise
from everslide.model.zoomldm.resize import Operator

REMEMBERED = 160
"""Trajectories kept of a slide: 50 steps of 64 x 64 latents are 2.4 MB each in float32."""


@dataclass(frozen=True)
class Trajectory:
    """A window's clean predictions (steps, 3, h, w) and its last latents (3, h, w)."""

    z0: Tensor
    last: Tensor


class JointPlane:
    """Samples windows of every scale from `top` down to 0 (20x), when they are asked for, contexts first."""

    def __init__(
        self,
        model: LatentModel,
        settings: JointSettings,
        operator: Operator,
        conditions: Conditions,
        grid: WindowGrid,
        seed: int,
        top: int,
        batch: int = 1,
        below: Callable[[WindowIndex], Tensor] | None = None,
    ) -> None:
        """operator: A between two neighbouring scales. below: the guide (3, h / 2, w / 2) in [-1, 1] of a window of
        scale `top`, where a picture is above it; None leaves that scale unguided."""
        self._model, self._settings, self._operator = model, settings, operator
        self._conditions, self._grid, self._seed, self._top, self._batch = conditions, grid, seed, top, batch
        self._below = below
        self._trajectories: OrderedDict[WindowIndex, Trajectory] = OrderedDict()
        weights = torch.from_numpy(tent(grid.window_px, grid.window_px - grid.stride_px))
        self._tent = weights.to(model.device, model.dtype)

    @torch.inference_mode()
    def trajectories(self, windows: Iterable[WindowIndex]) -> dict[WindowIndex, Trajectory]:
        """Of windows of one scale: remembered, or sampled now, their contexts first, in batches of the one shape."""
        wanted = sorted(set(windows))
        found = {window: self._trajectories[window] for window in wanted if window in self._trajectories}
        for window in found:
            self._trajectories.move_to_end(window)
        missing = [window for window in wanted if window not in found]
        if missing:
            found.update(self._sampled(missing))
        return found

    def _sampled(self, windows: list[WindowIndex]) -> dict[WindowIndex, Trajectory]:
        above = {context for window in windows for context in self._contexts(window)}
        contexts = self.trajectories(above) if above else {}
        z, c, predictions = self._noise(windows, "start"), self._condition(windows), []
        for i in range(len(self._settings.times)):
            z, z0 = self._step(windows, i, z, c, {context: known.z0[i] for context, known in contexts.items()})
            predictions.append(z0)
        paths = torch.stack(predictions, 1)  # (windows, steps, 3, h, w)
        found = {window: Trajectory(paths[n].clone(), z[n].clone()) for n, window in enumerate(windows)}
        for window, path in found.items():
            self._trajectories[window] = path
            while len(self._trajectories) > REMEMBERED:
                self._trajectories.popitem(last=False)
        return found

    def _step(
        self, windows: Sequence[WindowIndex], i: int, z: Tensor, c: Tensor, above: dict[WindowIndex, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One step of windows of one scale -> their next latents and their clean predictions."""
        t, settings = self._settings.times[i], self._settings
        noise = self._noise(windows, f"step {i}") if settings.noise else None
        guides = self._guides(windows, above)

        def run(part: Sequence[int]) -> tuple[Tensor, Tensor]:
            rows = list(part)
            now = predict(self._model, z[rows], t, c[rows], settings.w)
            if guides is not None:
                y = torch.stack([guides[row] for row in part])
                now = correct(self._model, now, t, c[rows], y, self._operator, settings)
            return ddim_step(self._model, now, t, settings, None if noise is None else noise[rows]), now.z0

        z_next, z0 = _batched(run, len(windows), self._batch)
        return z_next, z0

    def _guides(self, windows: Sequence[WindowIndex], above: dict[WindowIndex, Tensor]) -> list[Tensor] | None:
        """What the contexts, or what is given above the topmost scale, shows each window; None for nothing."""
        if above:
            decoded = self._decoded(above)
            return [limit(self._blended(decoded, window.parent_rect), self._settings) for window in windows]
        return None if self._below is None else [self._below(window) for window in windows]

    def _decoded(self, latents: dict[WindowIndex, Tensor]) -> dict[WindowIndex, Tensor]:
        if not latents:
            return {}
        stacked = torch.stack(list(latents.values()))
        (images,) = _batched(lambda part: (self._model.decode(stacked[list(part)]),), len(stacked), self._batch)
        return dict(zip(latents, images, strict=True))

    def _blended(self, images: dict[WindowIndex, Tensor], rect: Rect) -> Tensor:
        """Windows' images (3, p, p), blended over `rect` in grid order."""
        some = next(iter(images.values()))
        out = some.new_zeros(3, rect.height, rect.width)
        for window in windows_touching(next(iter(images)).s, rect, self._grid):
            part = window.rect.intersection(rect)
            assert part is not None
            weighted = images[window] * self._tent
            out[:, *_slices(rect, part)] += weighted[:, *_slices(window.rect, part)]
        return out

    def _contexts(self, window: WindowIndex) -> Iterable[WindowIndex]:
        """The windows that guide a window: those of the next coarser scale below it, none for the topmost scale."""
        return () if window.s == self._top else windows_touching(window.s + 1, window.parent_rect, self._grid)

    def _noise(self, windows: Sequence[WindowIndex], stream: str) -> Tensor:
        return window_noise(self._model, self._seed, f"joint {stream}", windows)

    def _condition(self, windows: Sequence[WindowIndex]) -> Tensor:
        """One window after the other: a batch of another shape would change the last bits."""
        return torch.cat([self._conditions.of(self._seed, [window], None) for window in windows])


def _batched(run: Callable[[Sequence[int]], tuple[Tensor, ...]], count: int, batch: int) -> tuple[Tensor, ...]:
    """`run` over `count` rows in batches of one shape, the last one padded with its last row."""
    results = []
    for start in range(0, count, batch):
        rows = list(range(start, min(start + batch, count)))
        padded = rows + [rows[-1]] * (batch - len(rows))
        results.append(tuple(part[: len(rows)] for part in run(padded)))
    return tuple(torch.cat(parts) for parts in zip(*results, strict=True))


def _slices(of: Rect, part: Rect) -> tuple[slice, slice]:
    return slice(part.y - of.y, part.bottom - of.y), slice(part.x - of.x, part.right - of.x)

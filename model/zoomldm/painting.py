"""Tiles painted by a latent diffusion model: one window, given its parent's final pixels.

`faithful`: the paper's settings over bicubic A, by the finite difference of Algorithm S2 with directions of bounded
length. `s1`: Algorithm S1 with the parent as its guide, by the gradient through the decoder. `fast`: starts from the
enlarged parent, noised to t = 600; six steps; guidance in the first two only, when structure is decided; the clean
prediction is projected onto the parent exactly at one step. All end with two bicubic back-projections; the painter then
makes the child agree with its parent exactly, x += A+(parent - A x), and closes in integers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.compute_threads import compute_with
from everslide.model.errors import SlideError
from everslide.model.geometry import WindowIndex
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.wavelet import details
from everslide.model.pyramid.window_model import WindowModel, common_facts
from everslide.model.zoomldm.conditions import Conditions
from everslide.model.zoomldm.joint import S1, S2, JointSettings, correct, ddim_step, noised, predict, with_clean
from everslide.model.zoomldm.latent_model import Calls, LatentModel
from everslide.model.zoomldm.latents import to_grey_levels, to_image, window_grid, window_noise
from everslide.model.zoomldm.resize import Bicubic, Box, OperatorName, make_operator

BACK_PROJECTIONS = 2
FORMAT = 2
"""Part of the fingerprint, counted up where the code paints other bytes with equal settings. 2: both halves of
guidance are evaluated in one batch."""


@dataclass(frozen=True)
class Preset:
    """How a window is painted. settings: times, guidance, corrections; operator: A of the corrections.

    from_parent: start from the enlarged parent, noised, rather than from noise. guided_steps: so many first steps have
    guidance. project_at: the step whose clean prediction is projected onto the parent exactly, if any.
    """

    name: str
    settings: JointSettings
    operator: OperatorName = "bicubic"
    from_parent: bool = False
    guided_steps: int = 10**6
    project_at: int | None = None

    def calls(self, guided: bool) -> Calls:
        """Network evaluations per window. guided: whether there is a condition, as in `Conditions.guided`."""
        steps, k = len(self.settings.times), self.settings.corrections
        with_guidance = min(steps, self.guided_steps) if guided and self.settings.w else 0
        projected = int(self.project_at is not None)
        return Calls(
            denoiser=(steps + with_guidance) * (1 + 2 * k),
            encode=(2 * k * steps if self.settings.through == "encoder" else 0) + int(self.from_parent) + projected,
            decode=k * steps + projected + 1,
        )


FAITHFUL = Preset("faithful", S2)
FAST = Preset(
    "fast", JointSettings(start=600, stride=100, corrections=0), from_parent=True, guided_steps=2, project_at=3
)
DETAIL = Preset("s1", replace(S1, w=1.0))
"""Algorithm S1 with the guidance of PixCell's authors, scale 2."""
PRESETS = {preset.name: preset for preset in (FAITHFUL, FAST, DETAIL)}
Noise = Callable[[str], Tensor]


def paint(
    model: LatentModel, preset: Preset, y: Tensor, c: Tensor, guided: bool, noise: Noise, back: int = BACK_PROJECTIONS
) -> Tensor:
    """Images (B, 3, 2h, 2h) below parents y (B, 3, h, h), both in [-1, 1].

    c: conditions; guided: see `Conditions.guided`. noise(stream): standard normals shaped as the images' latents. back:
    back-projections at the end.
    """
    settings, operator = preset.settings, make_operator(preset.operator, 2)
    z = noise("start")
    if preset.from_parent:
        z = noised(model, model.encode(Bicubic(2).up(y)), settings.start, z)
    for i, t in enumerate(settings.times):
        w = settings.w if guided and i < preset.guided_steps else 0.0
        now = predict(model, z, t, c, w)
        now = correct(model, now, t, c, y, operator, replace(settings, w=w))
        if i == preset.project_at:
            now = with_clean(model, now.z, t, model.encode(project(model.decode(now.z0), y)))
        z = ddim_step(model, now, t, settings, noise(f"step {i}") if settings.noise else None)
    return back_project(model.decode(z), y, back)


def project(image: Tensor, y: Tensor) -> Tensor:
    """The image nearest to x (B, 3, 2h, 2w) whose box means are y (B, 3, h, w): x + A+(y - A x)."""
    box = Box(2)
    return image + box.up(y - box.down(image))


def back_project(image: Tensor, y: Tensor, times: int = BACK_PROJECTIONS) -> Tensor:
    """The image (B, 3, 2h, 2w) moved nearer to box means y, by bicubic steps, without the squares that an exact
    projection leaves (Irani and Peleg, 1991)."""
    for _ in range(times):
        image = image + Bicubic(2).up(y - Box(2).down(image))
    return image


class LatentWindows(WindowModel):
    """A latent diffusion model as a `WindowModel`: what paints the windows of a slide."""

    def __init__(
        self, name: str, model: LatentModel, conditions: Conditions, preset: Preset, threads: int, batch: int = 1
    ) -> None:
        self._threads = threads
        self.name, self.batch, self.grid = name, batch, window_grid(model)
        self.model, self._conditions, self._preset = model, conditions, preset
        self.calls = preset.calls(conditions.guided)
        self.fingerprint = self._measure_fingerprint()

    @property
    def calls_per_window(self) -> int:
        """See `WindowModel.calls_per_window`."""
        return self.calls.denoiser

    @property
    def scales(self) -> int:
        """See `WindowModel.scales`."""
        return self.model.magnifications

    @torch.inference_mode()
    def bands(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """See `WindowModel.bands`. Raises SlideError for a scale that the checkpoint does not know."""
        self._begin(windows)
        # one by one, since a condition's last bits would depend on its companions in the batch
        c = torch.cat(
            [self._conditions.of(context.seed, windows[i : i + 1], parents[i : i + 1]) for i in range(self.batch)]
        )

        def noise(stream: str) -> Tensor:
            return window_noise(self.model, context.seed, f"paint {stream}", windows)

        image = paint(self.model, self._preset, to_image(self.model, parents), c, self._conditions.guided, noise)
        return np.stack([details(levels) for levels in to_grey_levels(image)])

    def _begin(self, windows: Sequence[WindowIndex]) -> None:
        """Raises SlideError for a scale that the checkpoint does not know."""
        if windows[0].s >= self.model.magnifications:
            raise SlideError(f"scale {windows[0].s}: {self.name} knows 0 .. {self.model.magnifications - 1}")
        assert len(windows) == self.batch
        compute_with(self._threads)

    @torch.inference_mode()
    def _measure_fingerprint(self) -> str:
        """Hash of everything that may change a bit: weights, preset, conditions, device, libraries, a probe."""
        compute_with(self._threads)
        model, side = self.model, max(self.model.latent_side // 4, 8)
        rng = np.random.Generator(np.random.Philox(1))
        z = torch.from_numpy(rng.random((self.batch, model.latent_channels, side, side), np.float32) - 0.5).to(
            model.device, model.dtype
        )
        output = model.encode(model.decode(model.eps(z, 500, model.unconditional(self.batch))))
        cuda = model.device.type == "cuda"
        device = torch.cuda.get_device_name(model.device) if cuda else f"cpu {torch.backends.cpu.get_cpu_capability()}"
        facts = [
            self.name, model.digest, asdict(self._preset), self._conditions.fingerprint, BACK_PROJECTIONS, FORMAT,
            device, torch.__version__, diffusers.__version__, self._threads, self.batch, str(model.dtype),
            str(model.autocast), *common_facts(),
        ]  # fmt: skip
        return hashlib.sha256(repr(facts).encode() + output.float().cpu().numpy().tobytes()).hexdigest()

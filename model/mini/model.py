"""`mini`, the built-in model: loads its weights and paints windows, in one step or a few."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.compute_threads import available_threads, compute_with
from everslide.model.errors import SlideError, WeightsError
from everslide.model.geometry import Rect, WindowIndex
from everslide.model.mini.bands import from_channels, parent_input, rotate_colours, unrotate_colours
from everslide.model.mini.network import DETAIL_CHANNELS, DetailUNet
from everslide.model.mini.openvino_network import OpenVinoNetwork, can_compute
from everslide.model.mini.precision import fast_bfloat16
from everslide.model.mini.sampler import STEPS, offered, sample
from everslide.model.mini.weights import Weights, load_weights
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.wavelet import smooth_bands
from everslide.model.pyramid.window_model import PARENT_PX, WindowModel, common_facts
from everslide.model.sampling_config import SamplingCapabilities
from everslide.model.style_reference import REFERENCE_CHANNELS

Floats = NDArray[np.float32]
SHIPPED_WEIGHTS = Path(__file__).parent.parent / "weights" / "mini.safetensors"
RUNTIMES = ("torch", "openvino")
"""What may compute the network; see `fastest_runtime`."""
FORMAT = 2
"""Part of every fingerprint: raise it when the same weights would paint other pixels."""


class MiniModel(WindowModel):
    """The network of `mini` as a `WindowModel`, on a CPU or GPU, in bfloat16 where that is fast there.

    Every evaluation uses one CPU thread, whatever the machine has, so that bytes do not depend on the number of cores;
    `side_by_side` threads may evaluate at the same time.
    """

    name = "mini"
    steerable = True

    def __init__(
        self, weights: Weights, device: torch.device, batch: int, side_by_side: int = 1, runtime: str = "torch"
    ) -> None:
        """runtime: one of RUNTIMES; all but torch compute single windows on a CPU. Raises WeightsError, SlideError."""
        self.batch, self.side_by_side = batch, side_by_side
        self._device, self._deviation = device, weights.deviation
        self._cases = weights.cases
        in_torch = runtime == "torch"
        self._dtype = torch.bfloat16 if in_torch and fast_bfloat16(device) else torch.float32
        self._layout = torch.channels_last if in_torch else torch.contiguous_format
        network = weights.build().to(device, self._dtype)
        network = network.to(memory_format=self._layout).eval()  # type: ignore[call-overload]
        self._network: DetailUNet | OpenVinoNetwork = (
            network if in_torch else OpenVinoNetwork(network, weights.ranges, PARENT_PX, side_by_side)
        )
        self.fingerprint = self._measure_fingerprint(weights.digest)

    @property
    def capabilities(self) -> SamplingCapabilities:
        """See `WindowModel.capabilities`."""
        return offered(self._cases)

    def bands(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: NDArray[np.uint8]) -> Floats:
        """See `WindowModel.bands`."""
        return self.steps(context, windows, parents)[-1]

    def steps(
        self, context: GenerationContext, windows: Sequence[WindowIndex], parents: NDArray[np.uint8]
    ) -> list[Floats]:
        """See `WindowModel.steps`."""
        s = windows[0].s
        given = torch.stack([parent_input(parent) for parent in parents])
        drawn = self._sample(context, windows, given)
        return [self._all_bands(s, parents, channels.cpu().numpy()) for channels in drawn]

    def _all_bands(self, s: int, parents: NDArray[np.uint8], channels: Floats) -> Floats:
        return np.stack([self._bands(s, parent, one) for parent, one in zip(parents, channels, strict=True)])

    def _bands(self, s: int, parent: NDArray[np.uint8], channels: Floats) -> Floats:
        """The network's channels (9, H, W) -> bands (H, W, 3, RGB) in grey levels, with the smooth part they lack."""
        smooth = rotate_colours(smooth_bands(parent.astype(np.float32)))
        return unrotate_colours(smooth + from_channels(channels, self._deviation[s]))

    @torch.inference_mode()
    def _sample(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Tensor) -> list[Tensor]:
        """Detail (B, 9, H, W) float32 at each step, given parents (B, 3, H, W) in [-1, 1]."""
        compute_with(1)
        count, sampling = len(windows), context.sampling
        side = windows[0].parent_rect.width
        assert count == self.batch and parents.shape[1:] == (3, side, side), parents.shape
        given = self._placed(parents)
        scale = torch.full((count,), windows[0].s, device=self._device)
        condition = torch.from_numpy(self._condition(context, windows)).to(self._device)
        unconditional = torch.cat([torch.zeros_like(condition[:, :-1]), condition[:, -1:]], 1)

        def draw(z_t: Tensor, t: float, step: int) -> Tensor:
            now = torch.full((count,), t, device=self._device)
            noise = tuple(
                self._placed(_noise(context.seed, f"noise {step}", windows, channels, halvings))
                for halvings, channels in enumerate(self._network.config.noise)
            )
            out: Tensor = self._network(z_t, given, now, scale, noise, condition).float()
            if sampling.guided:  # Ho and Salimans, "Classifier-free diffusion guidance", 2022, Eq. 6, of drawn detail
                plain: Tensor = self._network(z_t, given, now, scale, noise, unconditional).float()
                out = plain + sampling.guidance * (out - plain)  # their w + 1
            return out

        z_1 = _noise(context.seed, "detail", windows, DETAIL_CHANNELS)
        z_1 = z_1.to(self._device, memory_format=self._layout)
        return sample(draw, z_1, sampling.steps or STEPS[0])

    def _condition(self, context: GenerationContext, windows: Sequence[WindowIndex]) -> Floats:
        """The condition of each window, (B, `config.conditions`): embedding, organ shares, 1 below a picture."""
        organs = self._network.config.organs
        out = np.zeros((len(windows), self._network.config.conditions), np.float32)
        if context.reference is not None:
            for row, window in zip(out, windows, strict=True):
                row[:REFERENCE_CHANNELS] = context.reference.embedding(window.rect, window.s)
                for organ, share in context.reference.organs(window.rect, window.s).items():
                    if organ in organs:
                        row[REFERENCE_CHANNELS + organs.index(organ)] = share
        out[:, -1] = context.is_picture(windows[0].s + 1)
        return out

    def _placed(self, tensor: Tensor) -> Tensor:
        """On the network's device, in its number format and memory layout."""
        return tensor.to(self._device, self._dtype, memory_format=self._layout)

    def _measure_fingerprint(self, digest: str) -> str:
        """Hash of everything that may change a bit: weights, device, library, and a probe's own output."""
        rng = np.random.Generator(np.random.Philox(1))
        parents = torch.from_numpy(rng.random((self.batch, 3, PARENT_PX, PARENT_PX), np.float32))
        probe = self._sample(GenerationContext(1), [WindowIndex(0, 0, 0)] * self.batch, parents)[-1].cpu().numpy()
        capability = torch.backends.cpu.get_cpu_capability()
        device = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else f"cpu {capability}"
        facts = [FORMAT, digest, device, torch.__version__, self.batch, str(self._dtype), *common_facts()]
        if isinstance(self._network, OpenVinoNetwork):
            facts.extend(self._network.facts)
        return hashlib.sha256(repr(facts).encode() + probe.tobytes()).hexdigest()


def _noise(seed: int, stream: str, windows: Sequence[WindowIndex], channels: int, halvings: int = 0) -> Tensor:
    """Standard normals (B, channels, h, h) keyed by place, at the parent's resolution or so many halvings of it."""
    rects = [window.parent_rect for window in windows]
    sides = [Rect(*(v >> halvings for v in (r.x, r.y, r.width, r.height))) for r in rects]
    name = f"{stream} / {2**halvings}" if halvings else stream
    return torch.from_numpy(
        np.stack([keyed.normals_anywhere(seed, name, windows[0].s, rect, channels) for rect in sides])
    )


def fastest_runtime() -> str:
    """The one of RUNTIMES that `mini` is computed with unless somebody chooses: on a GPU torch, on CPUs with VNNI
    OpenVINO in 8-bit integers, on others torch."""
    return "openvino" if not torch.cuda.is_available() and can_compute() else "torch"


def load_mini(path: Path | None = None, *, side_by_side: int | None = None, runtime: str | None = None) -> MiniModel:
    """`mini` with the weights at `path`, or with those shipped in this package.

    side_by_side: windows evaluated at the same time on the CPU, by default one a core, 8 at most. runtime: one of
    RUNTIMES, by default the fastest; all but torch paint on the CPU, even where there is a GPU. Raises WeightsError,
    SlideError.
    """
    runtime = fastest_runtime() if runtime is None else runtime
    if runtime not in RUNTIMES:
        raise SlideError(f"--with runtime={runtime}: expected one of {', '.join(RUNTIMES)}")
    if torch.cuda.is_available() and runtime == "torch":
        return MiniModel(load_weights(path or SHIPPED_WEIGHTS), torch.device("cuda"), batch=8)
    if path is None and side_by_side is None and runtime == "torch":
        return shipped_on_cpu()
    given = load_weights(path or SHIPPED_WEIGHTS), torch.device("cpu"), 1, side_by_side or available_threads(), runtime
    if runtime == "torch":
        return MiniModel(*given)
    with ThreadPoolExecutor(1) as other, suppress(WeightsError):
        compiling = other.submit(MiniModel, *given)
        shipped_on_cpu()  # meanwhile: what sketches are painted by
    return compiling.result()


@cache
def shipped_on_cpu() -> MiniModel:
    """The shipped weights in torch on the CPU, one model for all of this process. Raises WeightsError."""
    return MiniModel(load_weights(SHIPPED_WEIGHTS), torch.device("cpu"), 1, available_threads())

"""`mini`, the built-in model: loads its weights and paints windows with a few steps of a straight-path sampler."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.bands import from_channels, parent_input, rotate_colours, smooth_bands, unrotate_colours
from everslide.model.conditions.cells import cells_of
from everslide.model.conditions.encoder import load_encoder
from everslide.model.conditions.sources import CDMConditions, Conditions, NoConditions
from everslide.model.denoiser import PARENT_PX
from everslide.model.geometry import WindowIndex
from everslide.model.manner import OWN, Manner, Offer
from everslide.model.network import DETAIL_CHANNELS, PARENT_CHANNELS, DetailUNet
from everslide.model.precision import fast_bfloat16
from everslide.model.sampler import Sampler
from everslide.model.subject import Subject
from everslide.model.weights import Weights, load_weights

Floats = NDArray[np.float32]
SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "mini.safetensors"
STEPS = (2, 4, 8)
STRONGEST_GUIDANCE = 4.0


class MiniDenoiser:
    """The network of `mini` behind the `Denoiser` protocol, on the CPU (bfloat16 where it is fast) or a GPU."""

    name = "mini"

    def __init__(
        self,
        weights: Weights,
        sampler: Sampler,
        device: torch.device,
        threads: int,
        batch: int,
        conditions: Conditions | None = None,
    ) -> None:
        """conditions: told to the network; by default its conditioning diffusion model's, where it has one."""
        torch.set_num_threads(threads)
        self.batch, self._sampler, self._device = batch, sampler, device
        self._dtype = torch.bfloat16 if fast_bfloat16(device) else torch.float32
        self._weights, self._networks = weights, dict[Weights, DetailUNet]()
        self._conditions = conditions or _own_conditions(weights, device)
        self._manner, self._octaves = OWN, 1
        self._numbers = self._measure_fingerprint(weights.digest, threads)

    @property
    def fingerprint(self) -> str:
        facts = f"{self._numbers} {self._conditions.fingerprint}{self._manner.key}"
        return hashlib.sha256(facts.encode()).hexdigest()

    def told(self, conditions: Callable[[Conditions], Conditions]) -> MiniDenoiser:
        """The same network with other conditions, made from its present ones."""
        other = copy.copy(self)
        other._conditions = conditions(self._conditions)
        return other

    def _ways(self) -> dict[int, tuple[Weights, Sampler]]:
        """By the number of steps: which weights walk them, and at which times.

        The sampler that came with the weights is one of them, and the one that is taken without a choice; the others
        are those of their teachers, the last of whom walks all that nobody was trained for.
        """
        lineage = self._weights.lineage
        ways = {steps: (lineage[-1], Sampler(Sampler.falling(steps), self._sampler.strength)) for steps in STEPS}
        ways |= {taught.sampler.steps: (taught, taught.sampler) for taught in reversed(lineage[1:])}
        return ways | {self._sampler.steps: (self._weights, self._sampler)}

    @property
    def _way(self) -> tuple[Weights, Sampler]:
        """That of the present manner."""
        return self._ways()[self._manner.steps or self._sampler.steps]

    def _network(self, weights: Weights) -> DetailUNet:
        """The network of some weights, built when it is first needed."""
        if weights not in self._networks:
            network = weights.build().to(self._device, self._dtype)
            self._networks[weights] = network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        return self._networks[weights]

    @property
    def offer(self) -> Offer:
        """See `Mannered.offer`: there is no guidance where the network is told nothing anyhow."""
        strongest = STRONGEST_GUIDANCE if self.steerable else 1.0
        return Offer(self._sampler.steps, tuple(sorted(self._ways())), strongest)

    def of(self, manner: Manner, octaves: int = 1) -> MiniDenoiser:
        """See `Mannered.of`. Raises SlideError where the manner is not on offer."""
        self.offer.check(manner, self.name)
        other = copy.copy(self)
        other._manner, other._octaves = manner, octaves
        return other

    @property
    def calls_per_window(self) -> int:
        return self.offer.calls(self._manner)

    @property
    def steerable(self) -> bool:
        """See `Conditioned.steerable`: what the network is not told of tissue cannot be steered."""
        return not isinstance(self._conditions, NoConditions)

    def cells(self, subject: Subject, windows: Sequence[WindowIndex], parents: NDArray[np.uint8]) -> Floats | None:
        """See `Conditioned.cells`."""
        cells, reference = self._conditions.of(subject.seed, windows, parents), subject.reference
        if cells is None or reference is None:
            return cells
        places = [cells_of(window)[:2] for window in windows]
        return np.stack([reference.steer(one, *at, windows[0].s) for one, at in zip(cells, places, strict=True)])

    def detail(
        self, s: int, parents: NDArray[np.uint8], noise: Floats, grain: Floats, cells: Floats | None = None
    ) -> Floats:
        """See `Denoiser.detail`. cells: (batch, E, k, k), what is told of the tissue."""
        painted = self._sample(s, self._given(parents, grain), torch.from_numpy(noise), cells)
        return self._all_bands(s, parents, painted)

    def steps(
        self, s: int, parents: NDArray[np.uint8], noise: Floats, grain: Floats, cells: Floats | None = None
    ) -> list[Floats]:
        """See `Stepwise.steps`."""
        expected: list[Tensor] = []
        painted = self._sample(s, self._given(parents, grain), torch.from_numpy(noise), cells, expected)
        return [self._all_bands(s, parents, channels) for channels in [*expected[:-1], painted]]

    def _given(self, parents: NDArray[np.uint8], grain: Floats) -> Tensor:
        """What the network is told of the parents, (B, 3, H, W)."""
        clean = torch.stack([parent_input(parent) for parent in parents])
        return clean + self._sampler.strength * torch.from_numpy(grain)

    def _all_bands(self, s: int, parents: NDArray[np.uint8], painted: Tensor) -> Floats:
        channels = painted.cpu().numpy()
        return np.stack([self._bands(s, parent, one) for parent, one in zip(parents, channels, strict=True)])

    def _bands(self, s: int, parent: NDArray[np.uint8], channels: Floats) -> Floats:
        """The network's channels (9, H, W) -> bands (H, W, 3, RGB) in grey levels, with the smooth part they lack."""
        given = parent.astype(np.float32)
        smooth = rotate_colours(smooth_bands(given))
        weights, _ = self._way
        bands = from_channels(channels, weights.deviation[s])
        if weights.contrast:
            bands = bands * weights.contrast.gains(s, given, smooth, bands, self._octaves)
        return unrotate_colours(smooth + bands)

    @torch.inference_mode()
    def _sample(
        self,
        s: int,
        parent: Tensor,
        noise: Tensor,
        cells: Floats | None = None,
        expected: list[Tensor] | None = None,
    ) -> Tensor:
        """Normalised detail (B, 9, H, W) float32 from noise (B, 9, H, W), given the parent (B, 3, H, W).

        What the network takes for the detail at each step is added to `expected`.
        """
        count = noise.shape[0]
        assert count == self.batch and noise.shape[1] == DETAIL_CHANNELS and parent.shape[1] == PARENT_CHANNELS
        layout = {"device": self._device, "dtype": self._dtype, "memory_format": torch.channels_last}
        given = parent.to(**layout)  # type: ignore[call-overload]
        scale = torch.full((count,), s, device=self._device)
        strength = torch.full((count,), self._sampler.strength, device=self._device)
        told = None if cells is None else torch.from_numpy(cells).to(self._device)
        weights, sampler = self._way
        network = self._network(weights)

        def velocity(z_t: Tensor, t: float) -> Tensor:
            now = torch.full((count,), t, device=self._device)
            out: Tensor = network(z_t, given, now, scale, strength, told).float()
            if self._manner.guided:  # Ho and Salimans, "Classifier-free diffusion guidance", 2022, Eq. 6, of velocities
                untold: Tensor = network(z_t, given, now, scale, strength).float()
                out = untold + self._manner.guidance * (out - untold)  # their w + 1
            if expected is not None:
                expected.append(z_t - t * out)
            return out

        return sampler.walk(velocity, noise.to(self._device, memory_format=torch.channels_last))

    def _measure_fingerprint(self, digest: str, threads: int) -> str:
        """Hash of everything that may change a bit: weights, sampler, device, library, and a probe's own output."""
        rng = np.random.Generator(np.random.Philox(1))
        probe = rng.random((self.batch, 12, PARENT_PX, PARENT_PX), np.float32)
        painted = self._sample(0, torch.from_numpy(probe[:, 9:]), torch.from_numpy(probe[:, :9])).cpu().numpy()
        capability = torch.backends.cpu.get_cpu_capability()
        device = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else f"cpu {capability}"
        facts = [digest, asdict(self._sampler), device, torch.__version__, threads, self.batch, str(self._dtype)]
        return hashlib.sha256(repr(facts).encode() + painted.tobytes()).hexdigest()


def _own_conditions(weights: Weights, device: torch.device) -> Conditions:
    cdm = weights.build_cdm()
    return CDMConditions(cdm.to(device), load_encoder().to(device)) if cdm else NoConditions()


def load_mini(path: Path | None = None, *, threads: int | None = None, sampler: Sampler | None = None) -> MiniDenoiser:
    """`mini` with the weights at `path`, or with those shipped in this package.

    threads: CPU threads of the network, all cores but at most 8 by default. Raises WeightsError.
    """
    weights = load_weights(path or SHIPPED_WEIGHTS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = threads or min(len(os.sched_getaffinity(0)), 8)
    return MiniDenoiser(weights, sampler or weights.sampler, device, wanted, batch=8 if device.type == "cuda" else 1)

"""The ranges of activations that 8-bit integers must span, measured on parents that are made up: no data is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.compute_threads import compute_with
from everslide.model.errors import WeightsError
from everslide.model.geometry import TOP_SCALE, Rect
from everslide.model.mini.network import DETAIL_CHANNELS, PARENT_CHANNELS, DetailUNet
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.style_reference import REFERENCE_CHANNELS

Range = tuple[float, float]
"""Least and greatest; zero lies between them."""
MARGIN = 1.2
"""Ranges are so much wider than the activations that they were measured on; of painted windows, the widest activation
was 1.9 times as wide, and one in a million beyond 1.5 times. What is beyond is clipped."""
CALIBRATION_PX = 64
"""Side of the parents that ranges are measured on."""


def activation_ranges(network: DetailUNet) -> dict[str, Range]:
    """The range of what each convolution is given, by its name, MARGIN times as wide as seen on one made-up parent of
    each scale. A function of the weights, on one thread. Raises WeightsError where one is not finite."""
    seen: dict[str, Range] = {}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, given: tuple[Tensor]) -> None:
            low, high = (float(v) for v in torch.aminmax(given[0].contiguous()))
            seen[name] = min(MARGIN * low, 0.0), max(MARGIN * high, 1e-3)

        return hook

    hooks = [
        module.register_forward_pre_hook(watch(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        compute_with(1)
        with torch.inference_mode():
            network(*_calibration_inputs(network))
    finally:
        for each in hooks:
            each.remove()
    odd = [name for name, found in seen.items() if not np.isfinite(found).all()]
    if odd:
        raise WeightsError(f"the weights give numbers that are not finite, first in {odd[0]}: train or copy them again")
    return seen


def _calibration_inputs(network: DetailUNet) -> tuple[Any, ...]:
    """Arguments of `DetailUNet.forward`: a parent of blobs and texture for each scale, every second with an organ
    and a reference, every third a real picture."""
    config, side = network.config, CALIBRATION_PX

    def normals(stream: str, channels: int, halvings: int = 0) -> Tensor:
        drawn = [keyed.normals(s, stream, 0, Rect(0, 0, side, side), channels) for s in range(TOP_SCALE)]
        return torch.from_numpy(np.stack(drawn)[:, :, : side >> halvings, : side >> halvings].copy())

    blobs = F.interpolate(normals("blobs", PARENT_CHANNELS, 3), size=(side, side), mode="bilinear")
    blots = F.interpolate(normals("blots", PARENT_CHANNELS, 1), size=(side, side))
    parent = torch.tanh(0.35 + 0.5 * blobs + 0.3 * blots + 0.15 * normals("grain", PARENT_CHANNELS))
    condition = torch.zeros(TOP_SCALE, config.conditions)
    for s in range(1, TOP_SCALE, 2):
        reference = keyed.normals_anywhere(s, "reference", 0, Rect(0, 0, REFERENCE_CHANNELS, 1), 1)
        condition[s, :REFERENCE_CHANNELS] = torch.from_numpy(reference[0, 0])
        if config.organs:
            condition[s, REFERENCE_CHANNELS + 5 * s % len(config.organs)] = 1
    condition[::3, -1] = 1
    noise = tuple(normals(f"noise {k}", channels, k) for k, channels in enumerate(config.noise))
    return normals("detail", DETAIL_CHANNELS), parent, torch.ones(TOP_SCALE), torch.arange(TOP_SCALE), noise, condition

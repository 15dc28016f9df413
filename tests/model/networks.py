"""Tiny networks for tests: random weights, everything else as in `mini`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch

from everslide.model.mini.network import DetailUNet, NetworkConfig
from everslide.model.mini.weights import Weights

TINY = NetworkConfig(channels=(8, 12), blocks=(1, 1), noise=(2, 3, 3), fine=8, embedding=16, scales=12)


def tiny_weights(seed: int = 0, cases: Mapping[str, int] = MappingProxyType({})) -> Weights:
    """Random weights of a tiny network whose detail has a deviation of four grey levels or so, and that heeds the
    reference, the scale, whether its parent is a picture, and its noise. cases: of each organ that it knows."""
    torch.manual_seed(seed)
    config = replace(TINY, organs=tuple(cases))
    network = DetailUNet(config)
    with torch.no_grad():
        network.leave.weight.normal_(0, 0.1)
        network.fine_out.weight.normal_(0, 0.1)
        network.reference.weight.normal_(0, 0.3)
        network.below_picture.weight.normal_(0, 0.3)
        for name, parameter in network.named_parameters():
            if ".film." in name or ".noise." in name or name.startswith("fine_film"):
                parameter.normal_(0, 0.3)
    deviation = np.full((12, 3, 3), 4, np.float32)
    deviation[:, :, 1:] = 0.5
    return Weights(config, dict(network.state_dict()), deviation, dict(cases))

"""Tiny networks for tests: random weights, everything else as in `mini`."""

from __future__ import annotations

import numpy as np
import torch

from everslide.model.mini.network import DetailUNet, NetworkConfig
from everslide.model.mini.sampler import Sampler
from everslide.model.mini.weights import Weights

TINY = NetworkConfig(channels=(8, 12), blocks=1, embedding=16, scales=12, context=8)


def tiny_weights(seed: int = 0, sampler: Sampler | None = None) -> Weights:
    """Random weights of a tiny network whose detail has a deviation of four grey levels or so."""
    torch.manual_seed(seed)
    network = DetailUNet(TINY)
    with torch.no_grad():
        network.leave.weight.normal_(0, 0.1)
    deviation = np.full((12, 3, 3), 4, np.float32)
    deviation[:, :, 1:] = 0.5
    return Weights(TINY, dict(network.state_dict()), deviation, sampler or Sampler(Sampler.falling(4)))

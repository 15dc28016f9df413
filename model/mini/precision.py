"""The number format, float32 or bfloat16, that networks compute in on a device."""

from __future__ import annotations

import torch


def fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions are faster in bfloat16 than in float32 on the device: on GPUs, and on CPUs with AMX.

    AVX-512 without AMX is not enough: there a bfloat16 convolution of 96 channels takes twice as long.
    """
    return device.type == "cuda" or torch.cpu._is_amx_tile_supported()


def autocast(device: torch.device) -> torch.autocast:
    """A context in which torch computes in bfloat16 where that is fast on the device, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device))

"""Which numbers a network computes with on a device."""

from __future__ import annotations

import torch


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are faster than float32 ones there: on GPUs, and on CPUs with AMX.

    AVX-512 alone is not enough: with its bfloat16 instructions a convolution of 96 channels takes twice as long.
    """
    return device.type == "cuda" or torch.cpu._is_amx_tile_supported()


def autocast(device: torch.device) -> torch.autocast:
    """Training in bfloat16 where that is fast, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device))

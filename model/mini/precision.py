"""The number format, float32 or bfloat16, that networks compute in on a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions are faster in bfloat16 than in float32 on the device (docs/painting.md).

    They are on GPUs, on CPUs with AMX, and on AMD's with AVX-512's bfloat16; others with the latter alone are slower.
    """
    if device.type == "cuda":
        return True
    found: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    return bool(found.get("amx_tile") or (found.get("avx512_bf16") and found["cpu_name"].startswith("AMD")))


def autocast(device: torch.device) -> torch.autocast:
    """A context in which torch computes in bfloat16 where that is fast on the device, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device))

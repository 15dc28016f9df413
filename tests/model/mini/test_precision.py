"""Which number format networks compute in on which device."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from everslide.model.mini.precision import fast_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"cpu_name": "Intel Xeon", "amx_tile": True, "avx512_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "amx_tile": False, "avx512_bf16": True}, False),
        ({"cpu_name": "AMD EPYC", "amx_tile": False, "avx512_bf16": True}, True),
        ({"cpu_name": "AMD EPYC", "amx_tile": False, "avx512_bf16": False}, False),
        ({"cpu_name": "Apple M2"}, False),
    ],
)
def test_bfloat16_is_used_where_it_is_fast(
    capabilities: Mapping[str, object], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert fast_bfloat16(CPU) is fast


def test_torch_that_tells_nothing_of_the_cpu_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not fast_bfloat16(CPU)


def test_gpus_compute_in_bfloat16() -> None:
    assert fast_bfloat16(torch.device("cuda"))

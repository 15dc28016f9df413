"""A second device for tests: it computes on the processor, and like a GPU it refuses what lies elsewhere.

Tensors of this device hide a processor's tensor. An operation that mixes them with the processor's own tensors
raises the error a GPU raises; so does `.numpy()`. Results are those of the processor but for the last bits (torch takes
other ways through attention there), so that a command can be run to its end on it and compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "lazy"
"""A kind of device that torch can name without having it."""
DEVICE = torch.device(NAME, 0)
_COPIES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}
"""Operations that lead from one device to another."""


class SecondTensor(Tensor):
    """A tensor of the second device; `held` holds its numbers on the processor."""

    held: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> SecondTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=DEVICE, requires_grad=inner.requires_grad,
        )  # fmt: skip
        made.held = inner.clone() if inner.is_inference() else inner
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class SecondDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it the second device exists. operations: how many ran there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0

    def __enter__(self) -> SecondDevice:
        setattr(torch, NAME, SimpleNamespace())  # where torch looks for what a device can do
        self._before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=) moves where this mode sees it
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *caught: Any) -> None:
        super().__exit__(*caught)  # type: ignore[no-untyped-call]
        delattr(torch, NAME)
        torch._C._set_only_lift_cpu_tensors(self._before)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = _run(func, args, kwargs or {})
        self.operations += any(isinstance(leaf, SecondTensor) for leaf in pytree.tree_leaves(out))
        return out


def _run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    with torch.inference_mode(False), torch.no_grad():
        return _compute(func, args, kwargs)


def _compute(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    leaves = pytree.tree_leaves((args, dict(kwargs)))
    there = [leaf for leaf in leaves if isinstance(leaf, SecondTensor)]
    here = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, SecondTensor)]
    if func is torch.ops.aten.to.other:
        return args[0].to(args[1].device, args[1].dtype)
    target = next((leaf for leaf in leaves if isinstance(leaf, torch.device)), None)
    if there and func not in _COPIES and any(leaf.ndim for leaf in here):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found cpu and {DEVICE} in {func}")
    if not there and (target is None or target.type != NAME):
        return func(*args, **kwargs)
    if isinstance(kwargs.get("generator"), torch.Generator):
        raise RuntimeError(f"Expected a generator of {DEVICE}, found one of the processor")
    own = {id(leaf.held): leaf for leaf in there}

    def bare(leaf: Any) -> Any:
        if isinstance(leaf, torch.device):
            return torch.device("cpu")
        return leaf.held if isinstance(leaf, SecondTensor) else leaf

    out = func(*pytree.tree_map(bare, tuple(args)), **pytree.tree_map(bare, dict(kwargs)))
    if func is torch.ops.aten.copy_.default:
        return args[0]
    if target is not None and target.type != NAME:
        return pytree.tree_map_only(Tensor, lambda tensor: tensor.clone() if id(tensor) in own else tensor, out)

    def placed(tensor: Tensor) -> Tensor:
        if id(tensor) in own:
            return own[id(tensor)]
        return SecondTensor(tensor.clone() if any(tensor is leaf for leaf in here) else tensor)

    return pytree.tree_map_only(Tensor, placed, out)

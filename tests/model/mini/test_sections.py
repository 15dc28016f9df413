"""The network that fills sections: keyed, conditioned on organs, trained and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from everslide.model.errors import WeightsError
from everslide.model.mini.section_network import CANVAS_PX, LATENT, SectionConfig, SectionUNet, noise_sides
from everslide.model.mini.sections import SectionPainter, SectionWeights, load_fills, save_sections, shape_channels
from everslide.model.pyramid.layout import GLASS_GREY
from everslide.model.pyramid.patchwork import Patchwork

TINY = SectionConfig((8, 8, 8), (1, 2, 2), 4, 16, ("colon", "skin"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    network = SectionUNet(TINY)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.2)
    path = tmp_path_factory.mktemp("sections") / "sections.safetensors"
    save_sections(path, SectionWeights(TINY, network.state_dict(), {"colon": 3, "skin": 1}))
    return path


def cover() -> np.ndarray:
    out = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    out[40:120, 50:110], out[60:70, 60:70] = 1, 0
    return out


def test_sections_are_keyed_by_seed_place_and_organ(file: Path) -> None:
    painter, again = SectionPainter(file), SectionPainter(file)
    one = painter.paint(7, (3, -2), cover(), {"colon": 1.0})
    assert one.shape == (CANVAS_PX, CANVAS_PX, 3) and one.dtype == np.uint8
    again.paint(1, (0, 0), cover(), {})
    np.testing.assert_array_equal(one, again.paint(7, (3, -2), cover(), {"colon": 1.0}))
    assert painter.fingerprint == again.fingerprint
    for other in (
        painter.paint(8, (3, -2), cover(), {"colon": 1.0}),
        painter.paint(7, (3, -1), cover(), {"colon": 1.0}),
        painter.paint(7, (3, -2), cover(), {"skin": 1.0}),
    ):
        assert (other != one).any()


def test_beside_the_silhouette_there_is_glass(file: Path) -> None:
    painted = SectionPainter(file).paint(7, (0, 0), cover(), {})
    assert (painted[cover() == 0] == GLASS_GREY).all() and (painted[cover() == 1] != GLASS_GREY).any()


def test_other_weights_have_another_fingerprint(file: Path, tmp_path: Path) -> None:
    network = SectionUNet(TINY)
    save_sections(tmp_path / "other.safetensors", SectionWeights(TINY, network.state_dict(), {}))
    assert SectionPainter(tmp_path / "other.safetensors").fingerprint != SectionPainter(file).fingerprint


def test_without_weights_a_patchwork_fills(file: Path, tmp_path: Path) -> None:
    assert isinstance(load_fills(tmp_path / "none.safetensors"), Patchwork)
    assert isinstance(load_fills(file), SectionPainter)
    (tmp_path / "torn.safetensors").write_bytes(file.read_bytes()[:-50])
    with pytest.raises(WeightsError, match="not whole weights of sections"):
        load_fills(tmp_path / "torn.safetensors")


def test_the_network_is_told_how_deep_it_is() -> None:
    shape = shape_channels(cover())
    assert shape.shape == (2, CANVAS_PX, CANVAS_PX) and shape.dtype == np.float32
    assert shape[1, 0, 0] == 0 and shape[1, 90, 80] > shape[1, 42, 80] > 0


def test_noise_reaches_every_resolution() -> None:
    torch.manual_seed(2)
    network = SectionUNet(TINY)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.2)
    shape = torch.ones(1, 2, 32, 32)
    noises = [torch.zeros(1, channels, side, side, requires_grad=True) for channels, side in noise_sides(TINY, 32)]
    network(shape, tuple(noises), torch.zeros(1, LATENT), torch.zeros(1, 2)).square().sum().backward()
    for noise in noises:
        assert noise.grad is not None and float(noise.grad.abs().max()) > 0

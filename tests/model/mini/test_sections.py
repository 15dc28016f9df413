"""Tissue of whole sections: keyed by place, of the silhouette's shape, in the colours and of the organ of a style."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from everslide.model.errors import WeightsError
from everslide.model.mini.bands import COLOURS
from everslide.model.mini.model import MiniModel
from everslide.model.mini.section_network import PALETTE, SectionConfig, SectionUNet
from everslide.model.mini.sections import (
    COARSE_PX,
    HUE_BEYOND,
    SectionPainter,
    SectionWeights,
    _in_palette,
    load_section_painter,
    load_sections,
    save_sections,
    shape_channels,
)
from everslide.model.organs import style_of
from everslide.model.pyramid.layout import CANVAS_PX, GLASS_GREY
from tests.model.networks import tiny_weights

TINY = SectionConfig((8, 8, 8), (1, 2, 2), 16, ("colon", "skin"))


def wild() -> SectionUNet:
    """A network whose every input matters."""
    torch.manual_seed(1)
    network = SectionUNet(TINY)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return network


@pytest.fixture(scope="module")
def finer() -> MiniModel:
    return MiniModel(tiny_weights(), torch.device("cpu"), 1)


@pytest.fixture(scope="module")
def painter(finer: MiniModel) -> SectionPainter:
    return SectionPainter(SectionWeights(TINY, wild().state_dict()), finer)


def cover() -> NDArray[np.float32]:
    out = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    out[40:120, 50:110], out[60:70, 60:70] = 1, 0
    return out


def test_tissue_is_keyed_by_seed_and_place_and_follows_silhouette_and_style(painter: SectionPainter) -> None:
    colon, smaller = style_of("colon", 1), cover()
    smaller[40:80] = 0
    one = painter.paint(7, (3, 2), cover(), colon)
    assert one.shape == (CANVAS_PX, CANVAS_PX, 3) and one.dtype == np.uint8
    painter.paint(1, (0, 0), smaller, colon)
    np.testing.assert_array_equal(one, painter.paint(7, (3, 2), cover(), colon))
    for other in (
        painter.paint(8, (3, 2), cover(), colon),
        painter.paint(7, (3, 1), cover(), colon),
        painter.paint(7, (3, 2), smaller, colon),
        painter.paint(7, (3, 2), cover(), style_of("skin", 1)),
    ):
        assert (other != one).mean() > 0.01


def test_places_far_out_are_painted_too(painter: SectionPainter) -> None:
    far = painter.paint(7, (2**33, 2**33 + 1), cover(), style_of("colon", 1))
    assert (far != painter.paint(7, (2**33 + 1, 2**33), cover(), style_of("colon", 1))).any()


def test_shipped_tissue_has_the_colours_of_its_style() -> None:
    """Means of the painted tissue beside those of the palette, over some styles."""
    found, wanted = [], []
    for seed, organ in enumerate(("colon", "skin", "spleen", "liver", "kidney", "breast")):
        style = style_of(organ, seed)
        tissue = load_section_painter().paint(seed, (0, 0), cover(), style)
        found.append(tissue[cover() > 0.5].mean(0))
        wanted.append(style.colours.mean(0))
    assert np.abs(np.array(found) - wanted).mean() < 12, (found, wanted)


def test_no_hue_lies_far_beyond_the_palette_and_glass() -> None:
    """A network whose colours are all over the place, before the finer octaves: red, cyan and green come back."""
    wild_colours = np.random.default_rng(1).uniform(0, 255, (40, 40, 3)).astype(np.float32)
    palette = style_of("colon", 1).colours
    hues = np.concatenate([palette, np.full((1, 3), GLASS_GREY, np.float32)]) @ COLOURS.T
    found = (_in_palette(wild_colours, palette).astype(np.float32) @ COLOURS.T)[..., 1:]
    beyond = np.maximum(found - hues[:, 1:].max(0), hues[:, 1:].min(0) - found)
    assert float(beyond.max()) < HUE_BEYOND + 1
    inside = np.broadcast_to(palette[2], (40, 40, 3)).astype(np.float32)
    assert np.abs(_in_palette(inside, palette) - inside).max() <= 1


def test_other_weights_have_another_fingerprint(painter: SectionPainter, finer: MiniModel) -> None:
    assert SectionPainter(SectionWeights(TINY, wild().state_dict()), finer).fingerprint == painter.fingerprint
    other = SectionWeights(TINY, SectionUNet(TINY).state_dict())
    assert SectionPainter(other, finer).fingerprint != painter.fingerprint


def test_files_of_weights(tmp_path: Path, finer: MiniModel) -> None:
    path = tmp_path / "sections.safetensors"
    save_sections(path, SectionWeights(TINY, wild().state_dict()))
    again = load_sections(path)
    assert again.config == TINY and set(again.tensors) == set(wild().state_dict())
    SectionPainter(again, finer)
    with pytest.raises(WeightsError, match=r"no such file.*everslide train --sections"):
        load_sections(tmp_path / "none.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(path.read_bytes()[:-50])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_sections(tmp_path / "torn.safetensors")
    with pytest.raises(WeightsError, match="do not fit the network"):
        SectionPainter(SectionWeights(SectionConfig((8, 8, 16), TINY.noise, 16), again.tensors), finer)


@pytest.mark.parametrize("channels", [(-8, 8, 8), ("abc", 8, 8), (), 5, (8.5, 8, 8)], ids=str)
def test_sizes_of_the_wrong_kind_are_reported(channels: object, finer: MiniModel) -> None:
    with pytest.raises(WeightsError, match="do not fit the network"):
        SectionPainter(SectionWeights(replace(TINY, channels=channels), wild().state_dict()), finer)  # type: ignore[arg-type]


def test_the_network_is_told_how_deep_it_is() -> None:
    shape = shape_channels(cover())
    assert shape.shape == (2, COARSE_PX, COARSE_PX) and shape.dtype == np.float32
    assert shape[1, 0, 0] == 0 and shape[1, 24, 20] > shape[1, 11, 20] > 0


def test_noise_reaches_every_resolution() -> None:
    network = wild()
    noises = [torch.zeros(1, *size, requires_grad=True) for size in network.noise_shapes(32)]
    network(torch.ones(1, 2, 32, 32), tuple(noises), torch.zeros(1, PALETTE), torch.zeros(1, 2)).sum().backward()
    for noise in noises:
        assert noise.grad is not None and float(noise.grad.abs().max()) > 0

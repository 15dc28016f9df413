"""The network: shapes, its bounded reach, and what it listens to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.mini.network import DetailUNet, NetworkConfig, pixel_norm

FLAT = NetworkConfig(channels=(8,), blocks=1, embedding=16, scales=12, cells=3, context=4)
DEEP = NetworkConfig(channels=(8, 12), blocks=1, embedding=16, scales=12, cells=3, context=4)
REACH = {FLAT: 12, DEEP: 32}
"""Pixels that matter to an output pixel on each side: convolutions at half and at quarter resolution, written out:
2 * (1 + 2 + 2 + 1) for one resolution; 4 * (2 + 2) more for the second, rounded up to whole blocks."""


def made(config: NetworkConfig, seed: int = 0) -> DetailUNet:
    """A network in float64 whose every weight matters."""
    torch.manual_seed(seed)
    network = DetailUNet(config).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    return network


def inputs(side: int, batch: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    z_t = torch.randn(batch, 9, side, side, generator=generator, dtype=torch.float64)
    parent = torch.randn(batch, 3, side, side, generator=generator, dtype=torch.float64)
    return z_t, parent, torch.full((batch,), 0.4), torch.full((batch,), 3), torch.full((batch,), 0.02)


@pytest.mark.parametrize(("config", "multiple"), [(FLAT, 2), (DEEP, 4), (NetworkConfig(), 8)])
def test_multiple(config: NetworkConfig, multiple: int) -> None:
    with torch.device("meta"):
        assert DetailUNet(config).multiple == multiple


@pytest.mark.parametrize("config", [FLAT, DEEP])
def test_shapes(config: NetworkConfig) -> None:
    network = made(config)
    z_t, parent, t, s, strength = inputs(16, batch=3)
    velocity = network(z_t[..., :8], parent[..., :8], t, s, strength)
    assert velocity.shape == (3, 9, 16, 8) and velocity.dtype == torch.float64
    assert bool(torch.isfinite(velocity).all())


def test_other_sizes_are_refused() -> None:
    network = made(DEEP)
    z_t, parent, t, s, strength = inputs(18)
    with pytest.raises(AssertionError):
        network(z_t, parent, t, s, strength)
    with pytest.raises(AssertionError):
        network(z_t[:, :8, :16, :16], parent[..., :16, :16], t, s, strength)


@pytest.mark.parametrize(("config", "small", "large"), [(FLAT, 64, 96), (DEEP, 96, 128)])
def test_the_inside_of_a_window_does_not_know_its_size(config: NetworkConfig, small: int, large: int) -> None:
    network, reach, offset = made(config), REACH[config], (large - small) // 2
    z_t, parent, t, s, strength = inputs(large)
    part = (..., slice(offset, offset + small), slice(offset, offset + small))
    with torch.no_grad():
        whole = network(z_t, parent, t, s, strength)[part]
        alone = network(z_t[part], parent[part], t, s, strength)
    inside = (..., slice(reach, small - reach), slice(reach, small - reach))
    torch.testing.assert_close(alone[inside], whole[inside], rtol=0, atol=1e-9)
    assert float((alone - whole).abs().max()) > 1e-3, "borders are padded: there the size matters"


@pytest.mark.parametrize("config", [FLAT, DEEP])
def test_the_reach_is_bounded(config: NetworkConfig) -> None:
    network, reach = made(config), REACH[config]
    z_t, parent, t, s, strength = inputs(96)
    z_t.requires_grad_(), parent.requires_grad_()
    network(z_t, parent, t, s, strength)[0, :, 48, 48].sum().backward()
    for given in (z_t, parent):
        assert given.grad is not None
        seen = given.grad.abs().sum((0, 1)).nonzero()
        assert bool((seen - 48).abs().max() <= reach + 1), "pixels are folded in pairs"
        assert bool((seen - 48).abs().max() >= reach // 2)


def test_one_window_does_not_know_its_companions() -> None:
    network = made(DEEP)
    z_t, parent, t, s, strength = inputs(16, batch=3)
    together = network(z_t, parent, t, s, strength)
    for i in range(3):
        one = slice(i, i + 1)
        alone = network(z_t[one], parent[one], t[one], s[one], strength[one])
        torch.testing.assert_close(alone, together[one], rtol=0, atol=1e-9)


def test_everything_given_matters() -> None:
    network = made(DEEP)
    z_t, parent, t, s, strength = inputs(16)
    base = network(z_t, parent, t, s, strength).detach()
    others = [
        network(z_t + 0.1, parent, t, s, strength),
        network(z_t, parent + 0.1, t, s, strength),
        network(z_t, parent, t + 0.1, s, strength),
        network(z_t, parent, t, s + 1, strength),
        network(z_t, parent, t, s, strength + 0.05),
        network(z_t, parent, t, s, strength, torch.ones(1, 3, 2, 2)),
    ]
    for other in others:
        assert float((other.detach() - base).abs().max()) > 1e-3


def test_cells_that_are_not_known_are_none() -> None:
    network = made(DEEP)
    given, cells = inputs(16), torch.randn(1, 3, 2, 2, dtype=torch.float64)
    told = [network(*given, cells, torch.tensor([known])) for known in (0.0, 1.0)]
    torch.testing.assert_close(told[0], network(*given), rtol=0, atol=0)
    torch.testing.assert_close(told[1], network(*given, cells), rtol=0, atol=0)


def test_a_cell_matters_most_where_it_is() -> None:
    """What changes beside the one vector for the whole image lies in that cell's part of it."""
    network = made(DEEP)
    with torch.no_grad():
        network.context.weight.zero_()
        for name, weight in network.summarizer.named_parameters():
            if name.endswith("joined.weight"):
                weight.zero_()
    given, cells = inputs(64), torch.randn(1, 3, 4, 4, dtype=torch.float64)
    other = cells.clone()
    other[:, :, 0, 0] += 1
    changed = (network(*given, cells) - network(*given, other)).abs().amax((0, 1)).detach()
    assert float(changed[:16, :16].max()) > 1e-3
    assert float(changed[48:, 48:].max()) == 0


@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e4])
def test_no_nan_at_the_ends_of_the_path(t: float, value: float) -> None:
    torch.manual_seed(0)
    network = DetailUNet(DEEP)
    z_t, parent = torch.full((1, 9, 16, 16), value), torch.full((1, 3, 16, 16), -value)
    velocity = network(z_t, parent, torch.tensor([t]), torch.tensor([11]), torch.tensor([0.16]))
    velocity.sum().backward()
    assert bool(torch.isfinite(velocity).all())
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in network.parameters())


def test_a_new_network_predicts_nearly_nothing() -> None:
    """Its outputs start small but not zero: exact zeros would train through denormals."""
    torch.manual_seed(0)
    network = DetailUNet(DEEP)
    z_t, parent, t, s, strength = inputs(16)
    velocity = network(z_t.float(), parent.float(), t, s, strength)
    at, span = t[:, None, None, None], (t.square() + (1 - t).square())[:, None, None, None]
    rest = velocity - z_t * (2 * at - 1) / span
    assert 0 < float(rest.detach().abs().max()) < 1


def test_pixel_norm() -> None:
    x = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    expected = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1) / 12.5**0.5
    torch.testing.assert_close(pixel_norm(x), expected, rtol=0, atol=1e-4)
    assert bool((pixel_norm(torch.zeros(1, 2, 1, 1)) == 0).all())


def test_a_config_is_plain_values() -> None:
    assert DEEP.as_dict() == {
        "channels": (8, 12),
        "blocks": 1,
        "embedding": 16,
        "scales": 12,
        "cells": 3,
        "context": 4,
    }


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_the_layers_give_the_detail_at_one_end_of_the_path_and_the_noise_at_the_other(t: float) -> None:
    """velocity = (z_t - detail) / t, where detail = (1 - t) z_t / n^2 + t given / n and n^2 = t^2 + (1 - t)^2."""
    network = made(FLAT)
    z_t, parent, _, s, strength = inputs(16, batch=2)
    last: list[Tensor] = []
    network.leave.register_forward_hook(lambda module, given, output: last.append(output))
    velocity = network(z_t, parent, torch.full((2,), t), s, strength)
    given, norm = F.pixel_shuffle(last[0], 2), (t * t + (1 - t) ** 2) ** 0.5
    detail, noise = z_t - t * velocity, z_t + (1 - t) * velocity
    torch.testing.assert_close(detail, (1 - t) / norm**2 * z_t + t / norm * given, rtol=0, atol=1e-4)
    torch.testing.assert_close(noise, t / norm**2 * z_t - (1 - t) / norm * given, rtol=0, atol=1e-4)

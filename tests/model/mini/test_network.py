"""The network: shapes, its bounded reach, and what it listens to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from everslide.model.mini.network import PIXEL_NORM_EPS, DetailUNet, NetworkConfig, pixel_norm
from everslide.model.style_reference import REFERENCE_CHANNELS

FLAT = NetworkConfig(channels=(8,), blocks=(1,), noise=(2, 3), fine=6, embedding=16, scales=12)
DEEP = NetworkConfig(channels=(8, 12), blocks=(1, 1), noise=(2, 3, 4), fine=6, embedding=16, scales=12)
REACH = {FLAT: 13, DEEP: 31}
"""Pixels that matter to an output pixel on each side, at most. At half resolution six 3 x 3 convolutions: one in, two a
block on the way down and up, one out; and one pixel since they are folded in pairs: 2 * 6 + 1. At quarter resolution
four more, and three pixels since those are whole blocks of four: 2 * 6 + 4 * 4 + 3."""


@dataclass(frozen=True)
class Given:
    """The inputs of a network, in the order of its arguments."""

    z_t: Tensor
    parent: Tensor
    t: Tensor
    s: Tensor
    noise: tuple[Tensor, ...]
    reference: Tensor

    def into(self, network: DetailUNet) -> Tensor:
        out: Tensor = network(self.z_t, self.parent, self.t, self.s, self.noise, self.reference)
        return out

    def part(self, y: slice, x: slice) -> Given:
        """A rectangle of it, in pixels of the parent."""

        def cut(tensor: Tensor, halvings: int) -> Tensor:
            rows, cols = (slice(v.start >> halvings, v.stop >> halvings) for v in (y, x))
            return tensor[:, :, rows, cols]

        noise = tuple(cut(tensor, halvings) for halvings, tensor in enumerate(self.noise))
        return replace(self, z_t=cut(self.z_t, 0), parent=cut(self.parent, 0), noise=noise)

    def one(self, i: int) -> Given:
        """One of the batch."""
        k = slice(i, i + 1)
        noise = tuple(tensor[k] for tensor in self.noise)
        return Given(self.z_t[k], self.parent[k], self.t[k], self.s[k], noise, self.reference[k])


def made(config: NetworkConfig, seed: int = 0) -> DetailUNet:
    """A network in float64 whose every weight matters."""
    torch.manual_seed(seed)
    network = DetailUNet(config).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    return network


def inputs(config: NetworkConfig, side: int, batch: int = 1, t: float = 0.4) -> Given:
    generator = torch.Generator().manual_seed(1)

    def normals(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator, dtype=torch.float64)

    noise = tuple(normals(channels, side >> k, side >> k) for k, channels in enumerate(config.noise))
    at, s = torch.full((batch,), t), torch.arange(batch) % 9 + 3
    return Given(normals(9, side, side), normals(3, side, side), at, s, noise, normals(REFERENCE_CHANNELS))


@pytest.mark.parametrize(("config", "multiple"), [(FLAT, 2), (DEEP, 4), (NetworkConfig(), 8)])
def test_multiple(config: NetworkConfig, multiple: int) -> None:
    with torch.device("meta"):
        assert DetailUNet(config).multiple == multiple


@pytest.mark.parametrize("config", [FLAT, DEEP])
def test_shapes(config: NetworkConfig) -> None:
    detail = inputs(config, 16, batch=3).part(slice(0, 16), slice(0, 8)).into(made(config))
    assert detail.shape == (3, 9, 16, 8) and detail.dtype == torch.float64
    assert bool(torch.isfinite(detail).all())


def test_other_sizes_are_refused() -> None:
    network, given = made(DEEP), inputs(DEEP, 18)
    with pytest.raises(AssertionError):
        given.into(network)
    given = inputs(DEEP, 16)
    with pytest.raises(AssertionError):
        replace(given, z_t=given.z_t[:, :8]).into(network)


def test_noise_for_every_resolution_is_configured() -> None:
    with pytest.raises(AssertionError):
        DetailUNet(replace(DEEP, noise=(2, 3)))


@pytest.mark.parametrize(("config", "small", "large"), [(FLAT, 64, 96), (DEEP, 96, 128)])
def test_the_inside_of_a_window_does_not_know_its_size(config: NetworkConfig, small: int, large: int) -> None:
    network, reach, offset = made(config), REACH[config], (large - small) // 2
    square = slice(offset, offset + small)
    with torch.no_grad():
        whole = inputs(config, large).into(network)[..., square, square]
        alone = inputs(config, large).part(square, square).into(network)
    inside = (..., slice(reach, small - reach), slice(reach, small - reach))
    torch.testing.assert_close(alone[inside], whole[inside], rtol=0, atol=1e-9)
    assert float((alone - whole).abs().max()) > 1e-3, "borders are padded: there the size matters"


@pytest.mark.parametrize("config", [FLAT, DEEP])
def test_the_reach_is_bounded(config: NetworkConfig) -> None:
    network, reach, given = made(config), REACH[config], inputs(config, 96)
    tensors = [given.z_t, given.parent, *given.noise]
    for tensor in tensors:
        tensor.requires_grad_()
    given.into(network)[0, :, 48, 48].sum().backward()  # type: ignore[no-untyped-call]
    for tensor in tensors:
        assert tensor.grad is not None
        zoom = 96 // tensor.shape[2]
        seen = tensor.grad.abs().sum((0, 1)).nonzero() * zoom
        assert len(seen), f"noise at {zoom} pixels matters"
        assert int((seen - 48).abs().max()) <= reach + zoom - 1
    assert given.parent.grad is not None
    assert int((given.parent.grad.abs().sum((0, 1)).nonzero() - 48).abs().max()) >= reach // 2


def test_one_window_does_not_know_its_companions() -> None:
    network, given = made(DEEP), inputs(DEEP, 16, batch=3)
    together = given.into(network)
    for i in range(3):
        torch.testing.assert_close(given.one(i).into(network), together[i : i + 1], rtol=0, atol=1e-9)


def shifted(index: int) -> Callable[[Given], Given]:
    """Inputs with other noise at one resolution."""
    return lambda x: replace(x, noise=tuple(n + 0.1 * (k == index) for k, n in enumerate(x.noise)))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: replace(x, z_t=x.z_t + 0.1),
        lambda x: replace(x, parent=x.parent + 0.1),
        lambda x: replace(x, t=x.t + 0.1),
        lambda x: replace(x, s=x.s + 1),
        lambda x: replace(x, reference=x.reference + 0.1),
        *(shifted(index) for index in range(len(DEEP.noise))),
    ],
    ids=["z_t", "parent", "t", "s", "reference", *(f"noise / {2**k}" for k in range(len(DEEP.noise)))],
)
@pytest.mark.parametrize("t", [0.4, 1.0])
def test_everything_given_matters(change: Callable[[Given], Given], t: float) -> None:
    network, given = made(DEEP), inputs(DEEP, 16, t=t)
    with torch.no_grad():
        changed = change(given)
        if t == 1.0 and changed.t is not given.t:
            changed = replace(given, t=given.t - 0.1)
        assert float((changed.into(network) - given.into(network)).abs().max()) > 1e-3


def test_a_reference_of_zeros_is_none() -> None:
    """The layer that reads it has no bias: an embedding of zeros adds nothing, whatever the weights."""
    network, given = made(DEEP), inputs(DEEP, 16)
    unconditional = replace(given, reference=torch.zeros_like(given.reference))
    with torch.no_grad():
        before, conditional = unconditional.into(network), given.into(network)
        network.reference.weight.mul_(3)
        torch.testing.assert_close(unconditional.into(network), before, rtol=0, atol=0)
        assert float((given.into(network) - conditional).abs().max()) > 1e-3


@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e4])
def test_no_nan_at_the_ends_of_the_path(t: float, value: float) -> None:
    torch.manual_seed(0)
    network = DetailUNet(DEEP)
    z_t, parent = torch.full((1, 9, 16, 16), value), torch.full((1, 3, 16, 16), -value)
    noise = tuple(torch.full((1, channels, 16 >> k, 16 >> k), value) for k, channels in enumerate(DEEP.noise))
    detail = network(z_t, parent, torch.tensor([t]), torch.tensor([11]), noise, torch.full((1, DEEP.conditions), value))
    detail.sum().backward()
    assert bool(torch.isfinite(detail).all())
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in network.parameters())


def test_where_no_noise_is_left_the_detail_is_what_was_given() -> None:
    given = inputs(DEEP, 16, t=0.0)
    torch.testing.assert_close(given.into(made(DEEP)), given.z_t, rtol=0, atol=1e-12)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_the_layers_give_the_detail_itself_where_all_is_noise(t: float) -> None:
    """detail = t / n * layers + (1 - t) / n^2 * z_t, where n^2 = t^2 + (1 - t)^2: at t = 1 z_t is not added."""
    network, given = made(FLAT), inputs(FLAT, 16, batch=2, t=t)
    outputs: list[Tensor] = []
    for layer in (network.leave, network.fine_out):
        layer.register_forward_hook(lambda module, of, output: outputs.append(output))
    detail = given.into(network)
    leave, fine = outputs
    layers, norm = F.pixel_shuffle(leave, 2) + fine, (t * t + (1 - t) ** 2) ** 0.5
    torch.testing.assert_close(detail, t / norm * layers + (1 - t) / norm**2 * given.z_t, rtol=0, atol=1e-6)


def test_a_new_network_paints_nearly_nothing() -> None:
    """Its outputs start small but not zero: exact zeros would train through denormals."""
    torch.manual_seed(0)
    network, given = DetailUNet(DEEP), inputs(DEEP, 16, t=1.0)
    noise = tuple(n.float() for n in given.noise)
    detail = network(given.z_t.float(), given.parent.float(), given.t, given.s, noise, given.reference.float())
    assert 0 < float(detail.detach().abs().max()) < 1


def test_pixel_norm() -> None:
    x = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    expected = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1) / 12.5**0.5
    torch.testing.assert_close(pixel_norm(x), expected, rtol=0, atol=1e-4)
    assert bool((pixel_norm(torch.zeros(1, 2, 1, 1)) == 0).all())


def test_a_config_is_plain_values() -> None:
    assert DEEP.as_dict() == {
        "channels": (8, 12),
        "blocks": (1, 1),
        "noise": (2, 3, 4),
        "fine": 6,
        "embedding": 16,
        "scales": 12,
        "organs": (),
    }


def test_the_gradient_of_pixel_norm_is_that_of_the_norm() -> None:
    x = torch.randn((2, 5, 3, 4), dtype=torch.float64, requires_grad=True)
    given = torch.randn((2, 5, 3, 4), dtype=torch.float64)
    out = pixel_norm(x)
    torch.testing.assert_close(out, pixel_norm(x.detach()), rtol=1e-6, atol=1e-6)
    by_hand = torch.autograd.grad(out, x, given)[0]
    plain = x / (x.square().mean(1, keepdim=True) + PIXEL_NORM_EPS).sqrt()
    torch.testing.assert_close(by_hand, torch.autograd.grad(plain, x, given)[0], rtol=1e-6, atol=1e-6)

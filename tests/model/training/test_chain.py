"""Painting on tensors, as training does it: the same pixels as the painter's, with gradients through the octaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from everslide.model.evaluation.fields import MemoryTiles, field_of
from everslide.model.geometry import Rect, WindowIndex
from everslide.model.mini import bands as numpy_bands
from everslide.model.mini.model import MiniModel
from everslide.model.pyramid import keyed_noise as keyed
from everslide.model.pyramid import wavelet
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.slide import Slide
from everslide.model.training.chain import (
    LEAST_T,
    SAMPLES,
    TOLD_SHARE,
    Brush,
    below,
    details,
    limited,
    merge,
    paint_chains,
    paint_down,
    rotated,
    smooth_bands,
    unrotated,
    whole,
)
from everslide.model.training.places import CROP_PX, PARENT_PX, Batch
from tests.model.networks import TINY, tiny_weights
from tests.model.pictures import tissue

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
DEVIATION = np.linspace(2, 9, 12 * 9, dtype=np.float32).reshape(12, 3, 3)


def planes(pixels: NDArray[np.generic]) -> Tensor:
    """(H, W, 3) -> (1, 3, H, W) float32."""
    return torch.from_numpy(np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)))[None]


def picture(tensor: Tensor) -> Pixels:
    """(3, H, W) of whole numbers -> (H, W, 3)."""
    array = tensor.detach().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(array, np.round(array))
    return array.astype(np.uint8)


def as_bands(bands: Tensor) -> Floats:
    """(1, 3, RGB, H, W) -> (H, W, 3, RGB), as numpy has them."""
    return np.asarray(bands[0].detach().permute(2, 3, 0, 1).numpy(), np.float32)


@dataclass
class Recorded:
    """A network that keeps what it was asked and what it gave."""

    network: torch.nn.Module
    asked: list[tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...], Tensor]] = field(default_factory=list)
    gave: list[Tensor] = field(default_factory=list)

    def __call__(
        self, z_t: Tensor, parent: Tensor, t: Tensor, s: Tensor, noise: tuple[Tensor, ...], reference: Tensor
    ) -> Tensor:
        self.asked.append((z_t, parent, t, s, noise, reference))
        self.gave.append(self.network(z_t, parent, t, s, noise, reference))
        return self.gave[-1]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded(tiny_weights().build())


@pytest.fixture
def brush(recorded: Recorded) -> Brush:
    torch.manual_seed(4)
    return Brush(recorded, TINY.noise, torch.from_numpy(DEVIATION).flatten(1))


def chains(octaves: int = 3, count: int = 2) -> Batch:
    """Chains of drawn tissue. What they show below the first octave does not matter here."""
    rng = np.random.default_rng(1)
    reals = np.stack([[tissue(CROP_PX, CROP_PX, 10 * k + i) for i in range(count)] for k in range(octaves)])
    return Batch(
        torch.tensor([[4 + i - k for i in range(count)] for k in range(octaves)]),
        torch.from_numpy(rng.integers(16, 49, (octaves, count, 2))),
        torch.from_numpy(reals.transpose(0, 1, 4, 2, 3).astype(np.float32)),
        below(torch.from_numpy(rng.standard_normal((count, TINY.conditions), np.float32)), False),
    )


def test_the_transform_is_that_of_numpy() -> None:
    child = np.random.default_rng(1).integers(0, 256, (12, 8, 3)).astype(np.float32)
    parent, bands = box_mean(child.astype(np.uint8)).astype(np.float32), wavelet.details(child)
    np.testing.assert_array_equal(as_bands(details(planes(child))), bands)
    bands += np.random.default_rng(2).normal(0, 5, bands.shape).astype(np.float32)
    given = torch.from_numpy(np.ascontiguousarray(bands.transpose(2, 3, 0, 1)))[None]
    found = merge(planes(parent), given)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, wavelet.merge(parent, bands), atol=1e-4)


@pytest.mark.parametrize(("high", "wide"), [(6, 10), (1, 1), (2, 3)])
def test_smooth_bands_are_those_of_numpy(high: int, wide: int) -> None:
    parent = np.random.default_rng(1).integers(0, 256, (high, wide, 3)).astype(np.float32)
    np.testing.assert_allclose(as_bands(smooth_bands(planes(parent))), wavelet.smooth_bands(parent), atol=1e-5)


def test_rotated_bands_are_the_channels_of_numpy() -> None:
    bands = np.random.default_rng(1).normal(0, 20, (4, 6, 3, 3)).astype(np.float32)
    given = torch.from_numpy(np.ascontiguousarray(bands.transpose(2, 3, 0, 1)))[None]
    channels = numpy_bands.rotate_colours(bands).reshape(4, 6, 9).transpose(2, 0, 1)
    torch.testing.assert_close(rotated(given)[0], torch.from_numpy(channels.copy()), rtol=0, atol=1e-4)
    torch.testing.assert_close(unrotated(rotated(given)), given, rtol=0, atol=1e-4)


def test_whole_numbers_and_the_gradient_that_passes() -> None:
    grey = torch.tensor([-3.0, 0.49, 0.5, 1.5, 254.6, 300.0], requires_grad=True)
    rounded = whole(grey)
    assert rounded.tolist() == [0, 0, 1, 2, 255, 255]
    (rounded * torch.arange(6.0)).sum().backward()  # type: ignore[no-untyped-call]
    assert grey.grad is not None and grey.grad.tolist() == [0, 1, 2, 3, 4, 5]


def test_children_below_a_sketch_are_limited_as_those_of_numpy() -> None:
    rng = np.random.default_rng(3)
    glass = np.array([242, 241, 243], np.uint8)
    parent = np.minimum(rng.integers(150, 250, (24, 20, 3)), glass).astype(np.uint8)
    bands = rng.normal(0, 20, (24, 20, 3, 3)).astype(np.float32)
    free = planes(wavelet.merge(parent.astype(np.float32), bands)).requires_grad_()
    found = limited(free, planes(parent), planes(glass[None, None])[..., 0, 0])
    assert np.abs(picture(whole(found)[0]).astype(int) - wavelet.children_of(parent, bands, glass)).max() <= 1
    found.square().sum().backward()  # type: ignore[no-untyped-call]
    assert free.grad is not None and bool(torch.isfinite(free.grad).all()) and float(free.grad.abs().mean()) > 1


def test_detail_and_back_is_the_real_child(brush: Brush) -> None:
    """But for the half grey level by which the parent was rounded."""
    child, s = planes(tissue(64, 64)), torch.tensor([2])
    parent, detail = brush.detail(child, s)
    np.testing.assert_array_equal(picture(parent[0]), box_mean(tissue(64, 64)))
    back = Brush(lambda *_: detail, TINY.noise, brush.deviation).child(parent, s, torch.zeros(1, TINY.conditions))
    assert float((back - child).abs().max()) <= 1


def test_detail_is_told_over_its_deviation(brush: Brush) -> None:
    child = planes(tissue(64, 64)).repeat(2, 1, 1, 1)
    _, detail = brush.detail(child, torch.tensor([0, 5]))
    ratio = brush.deviation[0] / brush.deviation[5]
    torch.testing.assert_close(detail[1], detail[0] * ratio[:, None, None])


def test_a_child_starts_from_noise_alone(brush: Brush, recorded: Recorded) -> None:
    parent = planes(tissue(32, 48))
    brush.child(parent, torch.tensor([3]), torch.zeros(1, TINY.conditions))
    ((z_t, given, t, s, noise, _),) = recorded.asked
    assert t.tolist() == [1.0] and s.tolist() == [3] and z_t.shape == (1, 9, 32, 48)
    torch.testing.assert_close(given[0], numpy_bands.parent_input(tissue(32, 48)), rtol=0, atol=1e-5)
    assert [n.shape for n in noise] == [(1, 2, 32, 48), (1, 3, 16, 24), (1, 3, 8, 12)]
    drawn = torch.cat([z_t.flatten(), *(n.flatten() for n in noise)])
    assert abs(float(drawn.mean())) < 0.05 and float(drawn.std()) == pytest.approx(1, abs=0.05)


def test_a_chain_is_painted_octave_by_octave_as_the_model_paints(brush: Brush, recorded: Recorded) -> None:
    """Each child from the pixels of the one above, at its offset: parent, smooth part and detail as `MiniModel` and
    numpy put them together. (Floats are summed in another order, so that a half may round the other way.)"""
    batch = chains()
    painted = paint_chains(brush, batch, partial=0)
    model = MiniModel(tiny_weights(), torch.device("cpu"), batch=1)
    model._deviation = DEVIATION
    assert [child.shape for child in painted] == [(SAMPLES * 2, 3, CROP_PX, CROP_PX)] * 3
    for row in range(SAMPLES * 2):
        i = row % 2
        parent = box_mean(picture(batch.reals[0, i]))
        for octave, child in enumerate(painted):
            s = int(batch.s[octave, i])
            _, given, _, told_s, _, reference = recorded.asked[octave]
            torch.testing.assert_close(given[row], numpy_bands.parent_input(parent), rtol=0, atol=1e-5)
            assert int(told_s[row]) == s and torch.equal(reference[row, :-1], batch.condition[i, :-1])
            bands = model._bands(s, parent, recorded.gave[octave][row].detach().numpy())
            expected = wavelet.merge(parent.astype(np.float32), bands)
            expected = np.clip(np.floor(expected + 0.5), 0, 255).astype(int)
            found = picture(child[row])
            difference = np.abs(found.astype(int) - expected)
            assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
            y, x = (int(v) for v in batch.offsets[octave, i])
            parent = found[y : y + PARENT_PX, x : x + PARENT_PX]


class Grained(WindowModel):
    """Noise on what is dark, pixel by pixel, so that neither windows nor crops have borders of their own."""

    name, fingerprint = "grained", "0"

    def bands(self, context: GenerationContext, windows: Sequence[WindowIndex], parents: Pixels) -> Floats:
        """See `WindowModel.bands`."""
        (window,), (parent,) = windows, parents
        channels = grained(window.s, window.parent_rect, numpy_bands.parent_input(parent)).numpy()
        smooth = numpy_bands.rotate_colours(wavelet.smooth_bands(parent.astype(np.float32)))
        return numpy_bands.unrotate_colours(smooth + numpy_bands.from_channels(channels, DEVIATION[window.s]))[None]


def grained(s: int, rect: Rect, parent: Tensor) -> Tensor:
    """Detail (9, h, w) over `rect` of plane s + 1, whose pixels are (3, h, w) in [-1, 1]."""
    noise = torch.from_numpy(keyed.normals_anywhere(7, "detail", s, rect, 9))
    return noise * (1 - parent.mean(0))


def test_a_chain_shows_what_the_painter_paints_there() -> None:
    """Two octaves below a real picture. The painter's last step alone, which makes box means exact, is not trained
    with: it moves single children by a grey level, and what is painted upon them by about as much."""
    plane = tissue(512, 512, 3)  # of scale 1
    painter = Painter(Slide("a", 7, 1024, 1024), Grained(), MemoryTiles(), ImageTop(box_mean(plane), 2))
    (x, y), (down, right) = (140, 202), (21, 34)
    real = plane[y : y + CROP_PX, x : x + CROP_PX]
    batch = Batch(
        torch.tensor([[1], [0]]),
        torch.tensor([[[down, right]], [[20, 20]]]),
        planes(real)[None].repeat(2, 1, 1, 1, 1),
        torch.zeros(1, TINY.conditions),
    )
    places = {
        1: Rect(x // 2, y // 2, PARENT_PX, PARENT_PX),
        0: Rect(x + right, y + down, PARENT_PX, PARENT_PX),
    }

    def network(
        z_t: Tensor, parent: Tensor, t: Tensor, s: Tensor, noise: tuple[Tensor, ...], reference: Tensor
    ) -> Tensor:
        return torch.stack([grained(int(s[0]), places[int(s[0])], one) for one in parent])

    painted = paint_chains(Brush(network, TINY.noise, torch.from_numpy(DEVIATION).flatten(1)), batch, partial=0)
    inside = (slice(4, -4), slice(4, -4))  # at its border a crop lacks the neighbours of the smooth part
    for s, child, most in ((1, painted[0], 0.4), (0, painted[1], 0.8)):
        shown = field_of(painter, s, places[s].children()).astype(int)[inside]
        difference = np.abs(picture(child[0]).astype(int)[inside] - shown)
        assert difference.mean() < most, s
        assert float(np.abs(np.diff(shown, axis=1)).mean()) > 5 * difference.mean(), "it is full of detail"
        elsewhere = np.abs(picture(child[0]).astype(int)[inside] - np.roll(shown, 2, axis=1)).mean()
        assert elsewhere > 5 * difference.mean(), "two pixels beside it is another picture"


def test_the_first_octave_alone_is_told_that_its_parent_is_real(brush: Brush, recorded: Recorded) -> None:
    """In most of the chains, in both samples alike."""
    told = []
    for _ in range(40):
        recorded.asked.clear()
        paint_chains(brush, chains(octaves=2, count=4), partial=0)
        first, second = (asked[-1][:, -1] for asked in recorded.asked)
        assert torch.equal(first[:4], first[4:]) and not second.any()
        told += first[:4].tolist()
    assert set(told) == {0.0, 1.0}
    assert np.mean(told) == pytest.approx(TOLD_SHARE, abs=4 * np.sqrt(TOLD_SHARE * (1 - TOLD_SHARE) / len(told)))


def test_below_a_real_picture_its_first_octave_alone_is_told(brush: Brush, recorded: Recorded) -> None:
    paint_down(brush, tissue(32, 24), 4, 3, 1, TINY.conditions)
    assert [float(asked[-1][0, -1]) for asked in recorded.asked] == [1, 0, 0]
    assert not any(asked[-1][0, :-1].any() for asked in recorded.asked)


def test_samples_of_a_chain_are_drawn_apart(brush: Brush, recorded: Recorded) -> None:
    batch = chains(octaves=2)
    painted = paint_chains(brush, batch, partial=0)
    (z_t, *_), _ = recorded.asked
    assert not torch.equal(z_t[:2], z_t[2:]) and recorded.asked[0][2].tolist() == [1.0] * 4
    for child in painted:
        assert all(float((child[i] - child[i + 2]).detach().abs().mean()) > 0.1 for i in (0, 1))


def test_samples_that_start_with_a_part_of_the_noise_start_alike(brush: Brush, recorded: Recorded) -> None:
    """z_t = (1 - t) detail + t noise, the same for both samples, which differ by the network's own noise; the octaves
    below start from noise alone."""
    batch = chains(octaves=2)
    painted = paint_chains(brush, batch, partial=1)
    z_t, _, t, *_ = recorded.asked[0]
    assert torch.equal(z_t[:2], z_t[2:]) and torch.equal(t[:2], t[2:])
    assert bool(((t >= LEAST_T) & (t < 1)).all())
    assert float((painted[0][:2] - painted[0][2:]).detach().abs().mean()) > 0.1
    _, truth = brush.detail(batch.reals[0], batch.s[0])
    at = t[:2, None, None, None]
    noise = (z_t[:2] - (1 - at) * truth) / at
    assert float(noise.std()) == pytest.approx(1, abs=0.03) and abs(float(noise.mean())) < 0.02
    z_1, _, t_1, *_ = recorded.asked[1]
    assert t_1.tolist() == [1.0] * 4 and float(z_1.std()) == pytest.approx(1, abs=0.03)


def test_the_gradient_of_the_last_octave_reaches_the_first(brush: Brush, recorded: Recorded) -> None:
    """And there those pixels alone that it was painted upon, octave by octave."""
    batch = chains()
    painted = paint_chains(brush, batch, partial=0)
    for gave in recorded.gave:
        gave.retain_grad()
    weight = torch.randn(painted[-1].shape)  # a plain sum would be that of the parents, whatever the detail
    (painted[-1] * weight).sum().backward()  # type: ignore[no-untyped-call]
    for gave in recorded.gave:
        assert gave.grad is not None and float(gave.grad.abs().max()) > 0
    first = recorded.gave[0].grad
    assert first is not None
    for i in range(2):
        y, x = (int(v) for v in batch.offsets[0, i])
        rows, cols = slice(y // 2, (y + PARENT_PX + 1) // 2), slice(x // 2, (x + PARENT_PX + 1) // 2)
        inside = first[i].abs().sum(0)
        assert float(inside[rows, cols].sum()) == pytest.approx(float(inside.sum()))


def test_paint_down_is_the_same_for_the_same_seed(brush: Brush) -> None:
    parent = tissue(32, 24)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    one, again, other = (paint_down(brush, parent, 4, 2, seed, TINY.conditions) for seed in (1, 1, 2))
    assert [pixels.shape for pixels in one] == [(64, 48, 3), (128, 96, 3)]
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[-1], other[-1])
    assert torch.equal(torch.random.get_rng_state(), state), "what is drawn while a run trains does not change the run"

"""The critic: its shapes, what it looks at, and that it learns to tell two textures apart."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from everslide.model.critic import Critic, CriticConfig

SMALL = CriticConfig(channels=(8, 12, 16), scales=4)


def critic() -> Critic:
    torch.manual_seed(1)
    return Critic(SMALL)


def test_a_map_of_verdicts_for_every_resolution() -> None:
    maps = critic()(torch.randn(2, 9, 32, 48), torch.rand(2, 3, 32, 48), torch.tensor([0, 3]))
    assert [tuple(one.shape) for one in maps] == [(2, 1, 16, 24), (2, 1, 8, 12), (2, 1, 4, 6)]
    assert all(one.dtype == torch.float32 for one in maps)


def test_verdicts_depend_on_detail_parent_and_scale() -> None:
    judge, bands, parent = critic(), torch.randn(1, 9, 16, 16), torch.rand(1, 3, 16, 16)
    first = judge(bands, parent, torch.tensor([0]))
    others = [(bands + 1, parent, 0), (bands, parent - 1, 0), (bands, parent, 1)]
    for other_bands, other_parent, s in others:
        other = judge(other_bands, other_parent, torch.tensor([s]))
        assert all(not torch.allclose(a, b) for a, b in zip(first, other, strict=True))


def test_it_learns_to_tell_stripes_from_noise_of_the_same_power() -> None:
    judge = critic()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=3e-3)
    parent, s = torch.zeros(8, 3, 16, 16), torch.zeros(8, dtype=torch.int64)

    def gap() -> torch.Tensor:
        noise = torch.randn(8, 9, 16, 16)
        stripes = torch.randn(8, 9, 16, 1).expand(-1, -1, -1, 16).contiguous()
        pairs = zip(judge(stripes, parent, s), judge(noise, parent, s), strict=True)
        return torch.stack([(a - b).mean() for a, b in pairs])

    for _ in range(40):
        loss = F.softplus(-gap()).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    assert (gap() > 1).all()

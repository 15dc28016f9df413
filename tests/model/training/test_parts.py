"""A run that travels: in small files of half precision, and on from there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from everslide.model.errors import DataError
from everslide.model.training import parts as module
from everslide.model.training.parts import MOMENTS, load_parts, moments, save_parts


def optimized() -> tuple[torch.nn.Linear, torch.optim.Adam]:
    torch.manual_seed(0)
    network = torch.nn.Linear(30, 20)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(4, 30)).square().sum().backward()
    optimizer.step()
    return network, optimizer


def test_parts_are_small_and_hold_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 2000)
    network, optimizer = optimized()
    average = {name: x * 0.5 for name, x in network.state_dict().items()}
    kinds = {"network": network.state_dict(), "average": average, "critic": {"heads": torch.ones(3)}}
    (tmp_path / "resume-99.safetensors").write_bytes(b"of an earlier run")
    written = save_parts(tmp_path, kinds, optimizer.state_dict(), {"step": "7"})
    assert len(written) > 2 and sorted(tmp_path.iterdir()) == sorted(written)
    assert all(path.stat().st_size < 2000 + 1500 for path in written), "a part and its header"
    found = load_parts(tmp_path)
    assert found is not None
    tensors, facts = found
    assert facts["step"] == "7"
    for name, x in network.state_dict().items():
        torch.testing.assert_close(tensors["network"][name], x, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(tensors["average"][name], x * 0.5, rtol=1e-3, atol=1e-4)
    assert torch.equal(tensors["critic"]["heads"], torch.ones(3))
    for index, state in moments(tensors, 7).items():
        assert float(state["step"]) == 7
        for name in MOMENTS:
            torch.testing.assert_close(state[name], optimizer.state_dict()["state"][index][name], rtol=1e-2, atol=1e-9)


def test_adam_goes_on_from_them(tmp_path: Path) -> None:
    network, optimizer = optimized()
    save_parts(tmp_path, {"network": network.state_dict()}, optimizer.state_dict(), {})
    found = load_parts(tmp_path)
    assert found is not None
    other = torch.optim.Adam(network.parameters())
    other.load_state_dict({**other.state_dict(), "state": moments(found[0], 1)})
    other.step()


def test_no_parts_and_damaged_ones(tmp_path: Path) -> None:
    assert load_parts(tmp_path) is None
    (tmp_path / "resume-1.safetensors").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"resume-1\.safetensors: not a whole part of a run .*copy all parts again"):
        load_parts(tmp_path)

"""Weights on disk: whole, or refused with what was expected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from everslide.model.errors import WeightsError
from everslide.model.mini.activation_ranges import activation_ranges
from everslide.model.mini.weights import Weights, load_weights, save_weights
from tests.model.networks import TINY, tiny_weights


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mini.safetensors"
    save_weights(path, tiny_weights())
    return path


def rewrite(path: Path, without: str = "", **header: str) -> None:
    """Write the file again without one tensor, or with another header."""
    tensors = {name: tensor for name, tensor in load_file(path).items() if name != without}
    with safe_open(path, "pt") as file:
        save_file(tensors, path, metadata={**file.metadata(), **header})


def test_round_trip_in_half_precision(path: Path) -> None:
    saved, loaded = tiny_weights(), load_weights(path)
    assert loaded.config == TINY
    assert loaded.tensors.keys() == saved.tensors.keys()
    for name, tensor in saved.tensors.items():
        assert loaded.tensors[name].dtype == torch.float16
        torch.testing.assert_close(loaded.tensors[name], tensor.half(), rtol=0, atol=0)
    np.testing.assert_array_equal(loaded.deviation, saved.deviation)
    assert loaded.ranges == activation_ranges(loaded.build()) and loaded.ranges
    assert loaded.deviation.shape == (12, 3, 3) and loaded.deviation.dtype == np.float32
    assert [p.name for p in path.parent.iterdir()] == ["mini.safetensors"], "no partial file is left"


def test_saved_again_they_are_the_same_weights(path: Path) -> None:
    again = path.with_name("again.safetensors")
    save_weights(again, load_weights(path))
    assert load_weights(again).digest == load_weights(path).digest


def test_another_version_is_refused_in_words(path: Path) -> None:
    """Weights of the model before this one: a whole file, of names that are known here."""
    rewrite(path, format="everslide-mini-1", sampler='{"strength": 0.02}')
    with pytest.raises(WeightsError, match=r"mini\.safetensors: expected weights of the format everslide-mini-4"):
        load_weights(path)


def test_build(path: Path) -> None:
    network = load_weights(path).build()
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert network.config == TINY


def test_the_digest_knows_every_tensor(path: Path) -> None:
    weights = load_weights(path)
    digests = {weights.digest}
    for name in list(weights.tensors)[::7]:
        changed = {key: tensor.clone() for key, tensor in weights.tensors.items()}
        changed[name].view(-1)[-1] += 1
        digests.add(Weights(weights.config, changed, weights.deviation).digest)
    digests.add(Weights(weights.config, weights.tensors, weights.deviation * 2).digest)
    assert len(digests) == 2 + len(list(weights.tensors)[::7])


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors: no such file; train weights"):
        load_weights(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 200, -100])
def test_a_truncated_file(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_weights(path)


def test_a_file_that_is_something_else(path: Path) -> None:
    path.write_text("<html>not found</html>" * 100)
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_weights(path)


@pytest.mark.parametrize("header", [None, {"format": "pt"}, {"format": "everslide-mini-2"}])
def test_safetensors_of_another_kind(path: Path, header: dict[str, str] | None) -> None:
    save_file({"weight": torch.zeros(2)}, path, metadata=header)
    with pytest.raises(
        WeightsError, match=r"expected weights of the format everslide-mini-4, found .*train them again"
    ):
        load_weights(path)


def test_a_missing_tensor(path: Path) -> None:
    rewrite(path, without="enter.weight")
    with pytest.raises(WeightsError, match=r"(?s)do not fit.*enter\.weight"):
        load_weights(path).build()


def test_missing_deviations(path: Path) -> None:
    rewrite(path, without="deviation")
    with pytest.raises(WeightsError, match="deviation"):
        load_weights(path)


def test_deviations_of_too_few_scales(path: Path) -> None:
    weights = load_weights(path)
    save_weights(path, Weights(weights.config, weights.tensors, weights.deviation[:3]))
    with pytest.raises(WeightsError, match=r"'deviation' of shape \(3, 3, 3\) for 12 scales"):
        load_weights(path)


def test_tensors_of_another_size(path: Path) -> None:
    rewrite(path, config=json.dumps({**TINY.as_dict(), "channels": [8, 16]}))
    with pytest.raises(WeightsError, match="do not fit"):
        load_weights(path).build()


@pytest.mark.parametrize(
    "ranges",
    [
        "{",
        "[]",
        "3",
        "[" * 100000,
        '{"enter": [0]}',
        '{"enter": [1, 2]}',
        '{"enter": [-1, Infinity]}',
        '{"enter": [-Infinity, 1]}',
        '{"enter": [0, NaN]}',
        '{"enter": [0, 1' + 400 * "0" + "]}",
        '{"enter": [0, 1e-320]}',
        '{"enter": [-1e39, 1e39]}',
        '{"enter": ["-1", "1"]}',
        '{"enter": [false, true]}',
        '{"enter": "01"}',
        '{"enter": null}',
    ],
)
def test_ranges_that_cannot_be_understood(path: Path, ranges: str) -> None:
    rewrite(path, ranges=ranges)
    with pytest.raises(WeightsError, match="a header with the sizes of the network and ranges"):
        load_weights(path)


def test_weights_that_overflow_are_not_saved(path: Path) -> None:
    before, weights = path.read_bytes(), tiny_weights()
    weights.tensors["enter.weight"] *= 1e30
    with pytest.raises(WeightsError, match="not finite"):
        save_weights(path, weights)
    assert path.read_bytes() == before


@pytest.mark.parametrize("blocks", [[1], [1, 1, 1], [0, 1], [True, True], [10**30, 1], [1.0, 1.0], "11", 1, [-1, 1]])
def test_blocks_that_are_none(path: Path, blocks: object) -> None:
    rewrite(path, config=json.dumps({**TINY.as_dict(), "blocks": blocks}))
    with pytest.raises(WeightsError, match=r"do not fit the network they describe: .+"):
        load_weights(path).build()


@pytest.mark.parametrize("config", ['{"depth": 3}', "{", "[]", '{"cells": 3}', "{}x"])
def test_a_header_that_cannot_be_understood(path: Path, config: str) -> None:
    rewrite(path, config=config)
    with pytest.raises(WeightsError, match="expected a tensor 'deviation' and a header with the sizes"):
        load_weights(path)

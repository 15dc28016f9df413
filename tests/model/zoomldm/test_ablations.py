"""What the paper compares: a Summarizer of convolutions, and encoders of another width, by configuration alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from everslide.model.errors import WeightsError
from everslide.model.zoomldm.config import SummarizerConfig, read_config
from everslide.model.zoomldm.summarizer import CNNSummarizer, Summarizer, make_summarizer
from everslide.model.zoomldm.zoomldm import load_zoomldm
from tests.model.zoomldm.tiny import TINY, document, write_checkpoint

CNN = replace(TINY, summarizer=replace(TINY.summarizer, kind="cnn", layers=4))
HIPT = replace(TINY, summarizer=replace(TINY.summarizer, input_channels=384))


def test_convolutions_give_what_the_transformer_gives_and_see_their_neighbours_above_all() -> None:
    torch.manual_seed(0)
    network = make_summarizer(SummarizerConfig(24, 32, 32, 64, 1, kind="cnn")).eval()
    assert isinstance(network, CNNSummarizer) and isinstance(make_summarizer(TINY.summarizer), Summarizer)
    grid, mag = torch.randn(1, 24, 8, 8), torch.tensor([3])
    before = network(grid, mag)
    assert before.shape == (1, 65, 32)
    other = grid.clone()
    other[:, :, 0, 4] += 1
    changed = (network(other, mag) - before)[0, 1:].abs().amax(1).reshape(8, 8)
    assert changed[1, 4] > 3 * changed[3:].max(), "a group's norm joins the rest, a little"
    assert (network(grid, torch.tensor([2])) - before).abs().max() > 1e-3
    assert network(torch.randn(2, 24, 2, 2), torch.tensor([1, 1])).shape == (2, 65, 32), "fewer tokens are padded"


@pytest.mark.parametrize("config", [CNN, HIPT], ids=["cnn", "hipt"])
def test_they_are_checkpoints_like_any_other(config: object, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, config)  # type: ignore[arg-type]
    values = document(config)  # type: ignore[arg-type]
    values["model"]["params"]["cond_stage_config"]["params"]["kind"] = config.summarizer.kind  # type: ignore
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    assert read_config(folder / "config.yaml") == config
    loaded = load_zoomldm(folder)
    width = loaded.config.summarizer.input_channels
    assert loaded.condition(torch.randn(2, width, 4, 4), 2).shape == (2, 65, 32)


def test_other_kinds_are_refused() -> None:
    with pytest.raises(WeightsError, match="expected transformer or cnn"):
        SummarizerConfig(kind="rnn")  # type: ignore[arg-type]

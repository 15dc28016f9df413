"""What is timed is tissue: glass costs nothing."""

from __future__ import annotations

from everslide.model.evaluation.speed import speed
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.painter import MAX_WINDOWS_PER_TILE


def test_a_deep_link_and_panning_amid_tissue() -> None:
    figures = speed(SpeckleModel(), 7)
    assert MAX_WINDOWS_PER_TILE * 0.6 < figures["cold_deep_link"]["windows"] <= MAX_WINDOWS_PER_TILE
    assert 1 <= figures["panning"]["windows_per_tile"] < 3
    assert figures["cold_deep_link"]["seconds"] > 0 and figures["panning"]["threads"] >= 1

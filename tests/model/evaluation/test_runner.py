"""The whole evaluation and its report, on drawn tissue painted with speckle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from everslide.model.errors import DataError
from everslide.model.evaluation.fields import Plan
from everslide.model.evaluation.report import markdown
from everslide.model.evaluation.runner import evaluate
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.training.prepare import prepare
from tests.model.encoders import ColourEncoder
from tests.model.pictures import tissue, write_images

PLAN = Plan(places=1, fields=1, field_px=512, neighbours=4, training_squares=6)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    base = tmp_path_factory.mktemp("evaluation")
    fields = {
        name: (tissue(side, side, seed), 0.5) for name, side, seed in (("a", 1024, 1), ("b", 512, 2), ("c", 1024, 3))
    }
    prepare(write_images(base / "images", {f"{k}.png": v for k, v in fields.items()}), base / "out", ["[ac].png"])
    found: dict[str, Any] = json.loads(json.dumps(evaluate(base / "out", SpeckleModel(), ColourEncoder(), PLAN)))
    return found


def test_every_test_is_there(figures: dict[str, Any]) -> None:
    assert figures["held_out"] == ["a", "c"] and figures["calls_per_window"] == 1
    assert [(test["title"], [row["magnification"] for row in test["rows"]]) for test in figures["tests"]] == [
        ("one octave down, from real parents", [2.5, 5, 10, 20]),
        ("4 octaves down, from real parents", [2.5, 5, 10, 20]),
        ("from the sketch to 20x", [2.5, 5, 10, 20]),
    ]
    assert [(row["magnification"], row["octaves"], row["apart"]) for row in figures["distances"]] == [
        (5, 1, 8), (10, 1, 32), (20, 1, 32), (5, 4, 8), (10, 4, 32), (20, 4, 32),
    ]  # fmt: skip
    assert 4 <= figures["cold_deep_link"]["windows"] <= 67
    assert figures["panning"]["windows_per_tile"] > 0 and figures["seconds"] > 0
    assert figures["plan"]["field_px"] == 512
    assert figures["seeds"] == {"two_seeds_differ": True, "one_seed_repeats": True}


def test_speckle_is_found_out(figures: dict[str, Any]) -> None:
    one, four = ([x for x in figures["distances"] if x["octaves"] == n][-1] for n in (1, 4))
    assert four["ratio"]["value"] > one["ratio"]["value"] > 1 and four["kernel"]["value"] > one["kernel"]["value"]
    nuclei = figures["nuclei"][1]
    assert nuclei["octaves"] == 4 and nuclei["density_ratio"]["value"] < 0.9, "no nucleus is painted"
    assert figures["memorisation"]["distance_ratio"]["value"] > 1, "speckle was not copied from anywhere"
    assert any(verdict["missed_by"] > 0 for verdict in figures["bounds"])


def test_what_is_missing_is_named(figures: dict[str, Any]) -> None:
    missing = "\n".join(figures["missing"])
    assert "1.25x painted from 0.625x: no held-out image shows 1.25x and has 128 px or more of it" in missing
    assert "2.5x, one octave down, distances: 2 squares of tissue, expected 16 or more" in missing
    assert "meaning of 20x under 2.5x: expected 4 or more places that share an image, found 0" in missing


def test_the_report(figures: dict[str, Any]) -> None:
    text = markdown(figures)
    assert "### Painted one octave down, from real parents" in text and "### Painted from the sketch to 20x" in text
    met = sum(verdict["missed_by"] == 0 for verdict in figures["bounds"])
    assert f"{met} of {len(figures['bounds'])} are met." in text
    assert text.count("**missed by ") == len(figures["bounds"]) - met > 0
    assert "## Not measured" in text and "- 1.25x painted from 0.625x: no held-out image" in text
    assert "Two seeds paint different pixels: yes. One seed paints the same bytes again: yes." in text
    assert "trained at 20x; at other magnifications its features are only a yardstick" in text


def test_every_row_of_a_table_has_its_cells(figures: dict[str, Any]) -> None:
    tables = [block.splitlines() for block in markdown(figures).split("\n\n") if block.startswith("|")]
    assert len(tables) == 8
    for head, *rows in tables:
        assert len(rows) >= 1 and {row.count("|") for row in rows} == {head.count("|")}, head


def test_a_folder_without_20x_is_measured_as_far_as_it_goes(tmp_path: Path) -> None:
    images = {"a.png": (tissue(512, 512, 1), 1.0), "b.png": (tissue(256, 256, 2), 1.0)}
    prepare(write_images(tmp_path / "images", images), tmp_path / "out", ["a.png"])
    figures = evaluate(tmp_path / "out", SpeckleModel(), ColourEncoder(), PLAN)
    assert figures["nuclei"] == figures["meaning"] == [] and figures["memorisation"] == {}
    assert [x["magnification"] for x in figures["distances"]] == [5, 10, 5, 10]
    text = markdown(figures)
    assert "- 20x painted from 10x: no held-out image shows 20x" in text
    assert "- meaning of 20x under its 2.5x parent: no held-out image at 20x" in text
    assert "- memorisation: expected 20x images in training and held out" in text


def test_nothing_to_evaluate(tmp_path: Path) -> None:
    prepare(write_images(tmp_path / "images", {"a.png": (tissue(96, 96), 0.5)}), tmp_path / "out", ["a.png"])
    with pytest.raises(DataError, match="no held-out image is large enough"):
        evaluate(tmp_path / "out", SpeckleModel(), ColourEncoder(), PLAN)
    with pytest.raises(DataError, match=r"no index\.json"):
        evaluate(tmp_path, SpeckleModel(), ColourEncoder(), PLAN)

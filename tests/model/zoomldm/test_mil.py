"""Multiple-instance learning on bags whose answer is known, and the denoiser's features that it is for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from everslide.model.errors import DataError, ImageError
from everslide.model.zoomldm.features import denoiser_features
from everslide.model.zoomldm.mil import Bag, MILSettings, auc, auc_interval, cross_validated, train_mil
from everslide.server.cli import main
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import tiny, write_checkpoint

CPU = torch.device("cpu")
QUICK = MILSettings(hidden=16, steps=400, rate=3e-3, decay=0.1, folds=2)


def bags(separable: bool, count: int = 100) -> list[Bag]:
    """Thirty patches of noise; where the label is 1, six of them point one way. Otherwise: labels at random."""
    rng = torch.Generator().manual_seed(3)
    way, out = torch.randn(8, generator=rng), []
    for number in range(count):
        label = number % 2
        features = torch.randn(30, 8, generator=rng)
        if separable and label:
            features[:6] += 5 * way / way.norm()
        out.append(Bag(features, label, f"case{number}"))
    return out


def test_few_patches_among_many_are_found() -> None:
    found = cross_validated(bags(separable=True), QUICK, CPU)
    assert found.auc > 0.9 and found.low > 0.8 and found.low <= found.auc <= found.high
    assert (found.slides, found.cases) == (100, 100)
    network = train_mil(bags(separable=True), QUICK, CPU)
    with torch.inference_mode():
        _, attention = network(bags(separable=True)[1].features)
    assert float(attention.sum()) == pytest.approx(1) and attention[:6].mean() > 2 * attention[6:].mean()


def test_where_there_is_nothing_to_find_nothing_is_claimed() -> None:
    found = cross_validated(bags(separable=False), QUICK, CPU)
    assert found.low < 0.5 < found.high


def test_the_area_by_hand_and_its_interval_over_cases() -> None:
    labels = np.array([0, 0, 1, 1])
    assert auc(np.array([0.1, 0.4, 0.35, 0.8]), labels) == 0.75
    assert auc(np.zeros(4), labels) == 0.5
    with pytest.raises(ValueError, match="both labels"):
        auc(np.zeros(2), np.array([1, 1]))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    scores = labels + rng.standard_normal(60)
    alone = auc_interval(scores, labels, [str(i) for i in range(60)], 1)
    tenfold = auc_interval(np.repeat(scores, 10), np.repeat(labels, 10), [str(i // 10) for i in range(600)], 1)
    assert alone == pytest.approx(tenfold, abs=0.03), "ten slides of a case show no more than one"


def test_too_few_cases_for_the_folds_are_named() -> None:
    with pytest.raises(DataError, match="at least 5 cases of each label, found 4 and 4"):
        cross_validated(bags(separable=True, count=8), MILSettings(folds=5), CPU)


def test_features_depend_on_layer_and_time_and_equal_images_have_equal_ones() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    found = denoiser_features(tiny(), torch.cat([image, image]), 100, "mid")
    assert found.shape == (2, 64) and found.std() > 1e-3
    torch.testing.assert_close(found[0], found[1])
    assert (denoiser_features(tiny(), image, 600, "mid")[0] - found[0]).abs().max() > 1e-3
    assert denoiser_features(tiny(), image, 100, "up1").shape[0] == 1
    with pytest.raises(ImageError, match="expected one of mid, down0"):
        denoiser_features(tiny(), image, 100, "middle")


def test_from_slides_and_labels_to_an_area(tmp_path: Path) -> None:
    weights = write_checkpoint(tmp_path / "brca")
    (tmp_path / "slides").mkdir()
    lines = ["slide,case,label"]
    for number in range(8):
        pixels = tissue(64, 128, number)
        Image.fromarray(pixels if number % 2 else 255 - pixels // 4).save(tmp_path / "slides" / f"{number}.png")
        lines.append(f"{number},c{number},{number % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    run = CliRunner()
    made = run.invoke(
        main, ["zoomldm", "features", *map(str, sorted((tmp_path / "slides").iterdir())), "--weights", str(weights),
               "--layer", "mid", "--time", "100", "--tissue", "0", "--out", str(tmp_path / "features")],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert np.load(tmp_path / "features" / "3.npy").shape == (2, 64)
    command = ["zoomldm", "mil", str(tmp_path / "features"), str(tmp_path / "labels.csv"), "--folds", "2"]
    first, second = (run.invoke(main, [*command, "--steps", "10"]).stdout for _ in range(2))
    found = json.loads(first)
    assert first == second and (found["slides"], found["cases"]) == (8, 8)
    assert 0 <= found["low"] <= found["auc"] <= found["high"] <= 1
    (tmp_path / "labels.csv").write_text("slide,case\n0,c0\n")
    bad = run.invoke(main, [*command, "--steps", "10"])
    assert bad.exit_code == 1 and "expected columns slide, case, label" in bad.output

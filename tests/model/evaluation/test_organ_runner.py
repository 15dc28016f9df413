"""`everslide evaluate-organs` on made-up sections: what is copied, swapped or missing is found and told."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from everslide.model.commands import evaluate_organs as command
from everslide.model.errors import SlideError
from everslide.model.evaluation import organ_runner
from everslide.model.evaluation.organ_report import organ_markdown
from everslide.model.evaluation.organ_runner import OrganEvaluation
from everslide.model.evaluation.organ_sections import Section, real_sections, squares
from everslide.model.mini.weights import save_weights
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.window_model import WindowModel
from everslide.model.sampling_config import SamplingCapabilities
from tests.model.encoders import ColourEncoder
from tests.model.evaluation.made_sections import BLUE, PINK, made_section, prepared_sections
from tests.model.networks import tiny_weights

Pixels = NDArray[np.uint8]
CASES = {"colon": 2, "liver": 1, "skin": 2, "spleen": 4}
SIDE = 960
"""At 16 um per pixel: 120 px at 128."""


class Knowing(SpeckleModel):
    """A model that knows organs."""

    capabilities = SamplingCapabilities(1, organs=tuple(CASES.items()))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = {
        f"{organ}{seed}": (f"{organ}, normal", made_section(seed, dark, SIDE))
        for organ, dark, seeds in (("colon", PINK, (1, 2)), ("skin", BLUE, (3, 4)), ("liver", BLUE, (5,)))
        for seed in seeds
    }
    return prepared_sections(tmp_path_factory.mktemp("sections"), images)


def evaluated(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, painted: dict[str, list[Section]], organs: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Figures where these sections are painted."""

    def stand_in(_model: WindowModel, organ: str, _seeds: Iterable[int]) -> list[Section]:
        return painted[organ]

    monkeypatch.setattr(organ_runner, "painted_sections", stand_in)
    figures = OrganEvaluation(prepared, Knowing(), ColourEncoder(), organs, 2).run()
    found: dict[str, Any] = json.loads(json.dumps(figures))
    return found


def painted_like(prepared: Path, organ: str, of: str, seed: int | None = None) -> list[Section]:
    """A section of `organ` that is the first real one `of` an organ, turned; or another one in its colours."""
    real = next(one for one in real_sections(prepared) if one.organ == of)
    own = {"colon": PINK, "skin": BLUE, "liver": BLUE}[of]

    def look(pixels: Pixels, s: int) -> Pixels:
        return np.rot90(pixels) if seed is None else made_section(seed, own, 120 << (8 - s) if s > 5 else 512)

    return [Section(organ, "seed-1", look(real.whole, 8), {s: look(field, s) for s, field in real.fields.items()})]


def test_a_painted_copy_of_a_training_section_is_told(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painted = {
        "colon": painted_like(prepared, "colon", "colon"),
        "skin": painted_like(prepared, "skin", "skin", seed=30),
        "liver": painted_like(prepared, "liver", "liver", seed=31),
    }
    figures = evaluated(prepared, monkeypatch, painted)
    assert figures["organs"] == ["colon", "liver", "skin"]
    assert figures["memorisation"]["copies"] == ["colon"]
    rows = {row["organ"]: row for row in figures["memorisation"]["organs"]}
    assert rows["colon"]["painted_largest"]["nearest"] == "colon1"
    assert rows["colon"]["painted"] > 0.95 > 0.85 > rows["skin"]["painted_largest"]["correlation"]
    assert rows["colon"]["copies"][0]["section"] == "seed-1" and rows["skin"]["copies"] == []
    assert figures["classifier"]["fails"] == [] and figures["classifier"]["left_out"] == ["liver"]
    missing = "\n".join(figures["missing"])
    assert "spleen: no whole section of it" in missing and "liver: one case, which cannot be left out" in missing
    text = organ_markdown(figures)
    assert "Copies: colon." in text and "Fail: none." in text and "no part of this: liver." in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_swapped_organs_fail(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painted = {
        "colon": painted_like(prepared, "colon", "skin", seed=30),
        "skin": painted_like(prepared, "skin", "colon", seed=31),
    }
    figures = evaluated(prepared, monkeypatch, painted, ("colon", "skin"))
    assert figures["classifier"]["fails"] == ["colon", "skin"]
    assert figures["classifier"]["real"] >= 0.75 and figures["classifier"]["painted"] == 0
    assert {row["um_per_px"] for row in figures["distances"]} == {64, 32, 16}
    assert "colon at 128 um/px: fewer than 2 squares, no distance" in figures["missing"]
    row = next(row for row in figures["distances"] if row["organ"] == "colon" and row["um_per_px"] == 64)
    assert row["kernel"] > row["between_cases"], "blue tissue is farther from pink than pink from pink"
    assert "Fail: colon, skin." in organ_markdown(figures)


def test_squares_cover_a_field_the_densest_first() -> None:
    field = np.full((160, 320, 3), 243, np.uint8)
    field[20:140, 190:310] = made_section(1)
    found = squares(field)
    shares = [float((square < 200).any(-1).mean()) for square in found]
    assert 1 <= len(found) <= 6 and {square.shape for square in found} == {(128, 128, 3)}
    assert shares == sorted(shares, reverse=True)
    assert len(squares(np.full((40, 90, 3), 243, np.uint8))) == 1, "glass is laid around a small one"


def test_the_command_paints_measures_and_writes_the_fields(prepared: Path, tmp_path: Path) -> None:
    weights, out = tmp_path / "own.safetensors", tmp_path / "out"
    save_weights(weights, tiny_weights(cases={"colon": 2, "skin": 2}))
    options = ("--weights", weights, "--organ", "colon", "--seeds", 1, "--out", out)
    result = CliRunner().invoke(command, [str(prepared), *map(str, options)])
    assert result.exit_code == 0, result.output
    assert (out / "organs.md").read_text("utf-8") in result.output
    figures = json.loads((out / "organs.json").read_text("utf-8"))
    assert figures["organs"] == ["colon"] and figures["seeds"] == 1
    painted = sorted(str(path.relative_to(out)) for path in out.glob("painted/*/*/*.png"))
    assert painted == [f"painted/colon/{um}um/seed-1.png" for um in (128, 16, 32, 64)]
    assert sorted(path.stem for path in out.glob("real/colon/32um/*.png")) == ["colon1", "colon2"]
    assert not (out / "real" / "skin").exists()
    with Image.open(out / painted[1]) as picture:
        assert picture.size == (512, 512) and "SYNTHETIC - not for diagnosis" in picture.info["Description"]


def test_an_organ_that_is_not_known_is_refused(prepared: Path) -> None:
    with pytest.raises(SlideError, match="colon, liver, skin, spleen"):
        OrganEvaluation(prepared, Knowing(), ColourEncoder(), ("heart",), 1)

"""`everslide new` and organs: chosen, listed, in regions, of weights of one's own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from everslide.model import organs
from everslide.model.commands import new
from everslide.model.mini import sections
from everslide.model.mini.model import SHIPPED_WEIGHTS
from everslide.model.mini.weights import load_weights, save_weights
from everslide.model.organs import style_of
from everslide.model.style_reference import read_reference
from tests.model.networks import tiny_weights


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    save_weights(path, tiny_weights(cases={"colon": 3, "lymph node": 1}))
    return path


def run(folder: Path, *arguments: object) -> Result:
    return CliRunner().invoke(new, [*map(str, arguments), "--out", str(folder / "slides.toml")])


def slides(folder: Path) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = tomllib.loads((folder / "slides.toml").read_text("utf-8"))["slide"]
    return listed


@pytest.mark.parametrize("flag", ["--organs", "--organ"])
def test_organs_are_listed_with_the_cases_behind_each(own: Path, flag: str) -> None:
    listed = CliRunner().invoke(new, ["--weights", str(own), flag])
    assert listed.exit_code == 0
    assert listed.output == "colon       a likeness of 3 cases\nlymph node  a likeness of 1 case\n"
    shipped = CliRunner().invoke(new, [flag])
    assert len(shipped.output.splitlines()) == len(load_weights(SHIPPED_WEIGHTS).cases) > 10
    other = CliRunner().invoke(new, ["--model", "speckle", flag])
    assert other.output == "model speckle: its weights know no organs\n"


def test_the_list_says_where_there_is_no_whole_section(tmp_path: Path) -> None:
    save_weights(tmp_path / "own.safetensors", tiny_weights(cases={"colon": 3, "thyroid": 1}))
    listed = CliRunner().invoke(new, ["--weights", str(tmp_path / "own.safetensors"), "--organs"])
    assert listed.output == (
        "colon    a likeness of 3 cases\n"
        "thyroid  a likeness of 1 case, of no whole section: outline and colours are borrowed from other organs\n"
    )
    shipped = CliRunner().invoke(new, ["--organs"]).output.splitlines()
    assert [line.split("  ")[0] for line in shipped if "no whole section" in line] == ["oral mucosa", "prostate"]


def test_the_shipped_network_of_sections_knows_every_measured_organ() -> None:
    """Otherwise it would paint one as unknown, and nothing would say so."""
    known = sections.load_sections(sections.SHIPPED_SECTIONS).config.organs
    assert set(organs.palettes()) <= set(known)


def test_a_slide_of_an_organ(own: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "mine", "--organ", "lymph node", "--weights", own)
    assert done.exit_code == 0, done.output
    assert f"everslide serve --weights {own} --slides" in done.output
    assert slides(tmp_path)[0]["organ"] == "lymph node"
    assert run(tmp_path, "plain").exit_code == 0
    assert "organ" not in slides(tmp_path)[1], "one is drawn from the seed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--organ", "heart"), "organ 'heart': model mini was trained on colon, lymph node; choose one"),
        (
            ("--organ", "colon", "--model", "speckle"),
            "model speckle was trained on none, since its weights know",
        ),
        (("--organ", "colon", "--model", "zoomldm-brca"), "model zoomldm-brca was trained on none"),
        (("--region", "0,0,5000,4000=organ:heart"), "organ 'heart': model mini was trained on colon, lymph node"),
        (("--region", "0,0,70000,4000=organ:colon"), "expected a part of the slide of 65536 x 49152 um"),
        (("--region", "0,0,0,4000=organ:colon"), "expected a part of the slide"),
        (("--region", "0,0,0.5,4000=organ:colon"), "1 um or more a side"),
        (("--region", "0,0,400=organ:colon"), "expected X,Y,WIDTH,HEIGHT=PICTURE or X,Y,WIDTH,HEIGHT=organ:ORGAN"),
        (("--region", "0,0,400,400=organ:"), "organ ''"),
        (("--steps", "3"), "slide mine: its model mini: steps 3: expected one of 1, 2, 4, 8"),
        (("--guidance", "9"), "slide mine: its model mini: guidance 9: expected 1 to 4"),
        (("--model", "speckle", "--steps", "2"), "its model speckle has no choice of steps or guidance"),
    ],
)
def test_what_cannot_be_is_reported_and_writes_nothing(
    own: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = run(tmp_path, "mine", "--weights", own, *arguments)
    assert done.exit_code == 1 and message in done.output, done.output
    assert not (tmp_path / "slides.toml").exists() and not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--organ", ""), "expected a name, found an empty text"),
        (("--organ=",), "expected a name, found an empty text"),
        (("--organ", "colon", "--organ", "lymph node"), "expected once, found 2 times: 'colon', 'lymph node'"),
        (("--organ", "colon", "--organ", "colon"), "expected once, found 2 times"),
        (("--organs",), "lists and makes nothing: leave out 'mine'"),
    ],
)
def test_an_organ_is_named_once_or_not_at_all(
    own: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = run(tmp_path, "mine", "--weights", own, *arguments)
    assert done.exit_code == 2 and "--organ" in done.output and message in done.output, done.output
    assert not (tmp_path / "slides.toml").exists()


def test_a_model_that_does_not_exist_gets_no_slide(tmp_path: Path) -> None:
    done = run(tmp_path, "mine", "--model", "nonsense")
    assert done.exit_code == 2 and "'nonsense' is not one of 'mini', 'speckle'" in done.output
    assert not (tmp_path / "slides.toml").exists()


@pytest.mark.parametrize("organ", ["x" * 5000, "x y" * 5000])
def test_a_long_name_is_not_repeated_whole(own: Path, tmp_path: Path, organ: str) -> None:
    for more in (("--organ", organ), ("--region", f"0,0,5000,4000=organ:{organ}"), ("--region", organ)):
        done = run(tmp_path, "mine", "--weights", own, *more)
        assert done.exit_code == 1 and len(done.output) < 400, done.output


def test_an_underscore_stands_for_a_space_everywhere(own: Path, tmp_path: Path) -> None:
    region = ("--region", "0,0,5000,4000=organ:lymph_node")
    assert run(tmp_path, "mine", "--weights", own, "--organ", "lymph_node", *region).exit_code == 0
    assert slides(tmp_path)[0]["organ"] == "lymph node"
    reference = read_reference(tmp_path / str(slides(tmp_path)[0]["reference"]))
    assert reference.regions[0].style.as_dict() == style_of("lymph node", 1).as_dict()


def test_a_region_is_not_told_to_be_drawn(own: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "mine", "--weights", own, "--region", "0,0,5000,4000=organ:heart")
    assert "choose one of these" in done.output and "drawn" not in done.output


def test_weights_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    done = run(tmp_path, "mine", "--organ", "colon", "--weights", tmp_path / "none.safetensors")
    assert done.exit_code == 1 and "no such file" in done.output


@pytest.mark.parametrize("damage", ["missing", "cut"])
@pytest.mark.parametrize("file", ["sections.safetensors", "sections.json"])
@pytest.mark.parametrize("model", ["mini", "speckle"])
def test_a_slide_that_could_not_be_painted_is_not_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, model: str, damage: str
) -> None:
    holder, name = (sections, "SHIPPED_SECTIONS") if file == "sections.safetensors" else (organs, "SECTIONS")
    path = tmp_path / file
    if damage == "cut":
        path.write_bytes(getattr(holder, name).read_bytes()[:-500])
    monkeypatch.setattr(holder, name, path)
    done = run(tmp_path, "mine", "--model", model)
    assert done.exit_code == 1 and f"{path}: " in done.output and "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert not (tmp_path / "slides.toml").exists()


def test_nothing_is_added_for_weights_that_are_not_there(tmp_path: Path) -> None:
    done = run(tmp_path, "mine", "--weights", tmp_path / "none.safetensors")
    assert done.exit_code == 1 and "none.safetensors: no such file" in done.output
    assert not (tmp_path / "slides.toml").exists()


def test_a_name_is_needed(tmp_path: Path) -> None:
    assert run(tmp_path).exit_code == 2
    assert run(tmp_path, "--organ", "colon").exit_code == 2


def test_regions_of_organs(own: Path, tmp_path: Path) -> None:
    regions = ("--region", "0,0,5000.5,4000=organ:lymph node", "--region", "9000,0,4000,4000=organ:colon")
    done = run(tmp_path, "mine", "--seed", 3, "--weights", own, *regions)
    assert done.exit_code == 0, done.output
    reference = read_reference(tmp_path / str(slides(tmp_path)[0]["reference"]))
    assert reference.everywhere is None
    assert [one.style.organ for one in reference.regions] == ["lymph node", "colon"]
    assert reference.regions[0].width_um == 5000.5
    assert reference.regions[1].style.as_dict() == style_of("colon", 3).as_dict()


def test_a_slide_of_a_tiny_picture_is_as_large_as_it_is_served(own: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 3, 3), 180, np.uint8)).save(tmp_path / "tiny.png")
    parent = ("--parent", tmp_path / "tiny.png", "--mpp", "1")
    done = run(tmp_path, "tiny", *parent, "--weights", own, "--region", "0,0,100,100=organ:colon")
    assert done.exit_code == 0 and "256 x 256 px of 20x" in done.output, done.output

"""References: what a picture looks like, a slide conditioned on it, and files of it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from everslide.model import style_reference
from everslide.model.commands import new
from everslide.model.errors import ImageError, SlideError
from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TOP_SCALE, Rect, TileIndex
from everslide.model.mini.model import load_mini
from everslide.model.mini.patch_encoder import PATCH_PX, load_encoder
from everslide.model.mini.sections import make_sketch
from everslide.model.mini.style_extraction import style_of_picture, tissue_squares
from everslide.model.mini.weights import save_weights
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.painter import Painter
from everslide.model.sampling_config import SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import (
    EDGE_UM,
    REFERENCE_CHANNELS,
    Reference,
    Region,
    Style,
    read_reference,
    write_reference,
)
from tests.model.networks import tiny_weights
from tests.model.painting import sketch_of
from tests.model.pictures import tissue

COLOURS = np.linspace(90, 220, 15).reshape(5, 3).astype(np.float32)
BLUE = np.array([[60, 60, 180]] * 5, np.float32)


def style(value: float, colours: np.ndarray = COLOURS) -> Style:
    return Style(np.full(REFERENCE_CHANNELS, value, np.float32), colours)


def test_without_regions_every_window_has_the_style_of_everywhere() -> None:
    reference = Reference(style(3.0))
    for rect, s in ((Rect(0, 0, 320, 320), 0), (Rect(-5000, 70, 320, 320), 7)):
        found = reference.embedding(rect, s)
        assert found.shape == (64,) and found.dtype == np.float32
        np.testing.assert_array_equal(found, style(3.0).embedding)


def test_where_nothing_is_said_the_embedding_is_zero() -> None:
    assert not Reference(None).embedding(Rect(0, 0, 320, 320), 3).any()
    region = Region(0, 0, 1000, 1000, style(5.0))
    assert not Reference(None, (region,)).embedding(Rect(20_000, 0, 320, 320), 0).any()


def test_a_region_counts_inside_and_gives_way_at_its_edge() -> None:
    """A window of 10x is 320 um a side. Over EDGE_UM, half of them outside, a region gives way to everywhere."""
    reference = Reference(style(1.0), (Region(0, 0, 32_000, 32_000, style(5.0)),))
    y = 16_000

    def value_at(x_um: float) -> float:
        return float(reference.embedding(Rect(round(x_um), y, 320, 320), 1)[0])

    assert value_at(1000) == 5.0, "inside"
    assert value_at(32_000 + EDGE_UM / 2) == 1.0, "beyond the edge"
    assert value_at(32_000 - 160) == pytest.approx(3.0, abs=0.01), "its middle on the edge: half of either"
    across = [value_at(x) for x in range(31_500, 32_150, 50)]
    assert across == sorted(across, reverse=True), "evenly from one to the other"


@pytest.mark.parametrize("size", [(10.0, 10.0), (50.0, 2000.0), (150.0, 199.0), (399.0, 300.0)])
def test_a_small_region_is_covered_whole_in_its_middle(size: tuple[float, float]) -> None:
    region = Region(5000, 7000, *size, style(5.0))
    x, y = (corner + side * np.array([0.26, 0.5, 0.74]) for corner, side in zip((5000, 7000), size, strict=True))
    np.testing.assert_allclose(region.cover(x[None], y[:, None]), 1)
    beyond = region.cover(np.array([4900.0, 5000.0, 5000 + size[0] / 8]), np.full(3, 7000 + size[1] / 2))
    assert beyond[0] == 0 and 0.4 < beyond[1] <= 0.5 < beyond[2] <= 1


def test_a_region_of_hardly_any_width_is_none_that_breaks() -> None:
    region = Region(0, 0, 5e-324, 5e-324, style(5.0))
    assert np.isfinite(region.cover(np.array([[0.0, 1.0]]), np.array([[0.0], [1.0]]))).all()
    assert Reference(style(3.0), (region,)).embedding(Rect(0, 0, 320, 320), 0)[0] == 3.0


def test_a_large_region_is_blended_as_ever_and_the_digest_knows_how(monkeypatch: pytest.MonkeyPatch) -> None:
    region = Region(0, 0, 4000, 4000, style(5.0))
    covered = region.cover(np.array([-100.0, -50.0, 0.0, 50.0, 100.0]), np.full(5, 2000.0))
    np.testing.assert_allclose(covered, [0, 0.25, 0.5, 0.75, 1])
    before = Reference(None, (region,)).digest, Reference(style(3.0)).digest
    monkeypatch.setattr(style_reference, "COVER_FORMAT", 99)
    after = Reference(None, (region,)).digest, Reference(style(3.0)).digest
    assert before[0] != after[0] and before[1] == after[1], "slides without regions stay what they are"


def test_a_region_counts_by_its_share_of_the_window() -> None:
    """A window of 1.25x is 2560 um a side: a region of a quarter of it, far larger than its edges are wide."""
    region = Region(0, 0, 1280 * 8, 1280 * 8, style(1.0))
    window = Rect(0, 0, 2560, 2560)  # of plane 4, 8 um a pixel: 20480 um a side
    assert float(Reference(None, (region,)).embedding(window, 4)[0]) == pytest.approx(0.25, abs=0.03)


def test_the_same_um_are_the_same_place_at_every_scale() -> None:
    reference = Reference(style(0.0), (Region(100, 300, 2000, 900, style(1.0)),))
    fine = reference.embedding(Rect(1600, 800, 1280, 1280), 0)
    for s in (1, 2, 3):
        coarse = Rect(1600 >> s, 800 >> s, 1280 >> s, 1280 >> s)
        np.testing.assert_allclose(reference.embedding(coarse, s), fine, atol=1e-6)


def test_where_regions_overlap_the_later_one_counts() -> None:
    first, second = (Region(0, 0, 9000, 9000, style(value)) for value in (2.0, 7.0))
    window = Rect(5000, 5000, 320, 320)
    assert float(Reference(None, (first, second)).embedding(window, 0)[0]) == 7.0
    assert float(Reference(None, (second, first)).embedding(window, 0)[0]) == 2.0


def test_a_look_reads_back_as_the_same_look() -> None:
    found = Style.from_dict(json.loads(json.dumps(style(0.123456789).as_dict())))
    assert found.as_dict() == style(0.123456789).as_dict()
    assert Reference(found).digest == Reference(style(0.123456789)).digest


@pytest.mark.parametrize(
    "values",
    [
        {"embedding": [0.0] * 63},
        {"embedding": [[0.0] * 64]},
        {"embedding": [float("nan")] * 64},
        {"colours": [[1, 2, 3]]},
        {"colours": None},
        {"embedding": "x"},
    ],
    ids=str,
)
def test_damaged_looks_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ImageError, match="a reference: "):
        Style.from_dict(style(1.0).as_dict() | values)


def test_files(tmp_path: Path) -> None:
    reference = Reference(style(1.23456), (Region(1, 2, 3, 4, style(2.0)),))
    write_reference(tmp_path / "r.json", reference)
    assert read_reference(tmp_path / "r.json").digest == reference.digest
    assert reference.digest != Reference(style(1.3)).digest
    for text in ("{", "[]", '{"everywhere": {"prototypes": [[3]], "colours": []}}', '{"regions": [{"um": [1]}]}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ImageError, match="expected"):
            read_reference(tmp_path / "bad.json")


def test_the_look_of_a_picture() -> None:
    encoder = load_encoder()
    picture = np.concatenate([tissue(512, 256, 1), np.full((512, 256, 3), 244, np.uint8)], axis=1)
    found = style_of_picture(picture, 0.5, encoder)
    assert found.embedding.shape == (REFERENCE_CHANNELS,) and found.colours.shape == (5, 3)
    patches = tissue_squares(picture, PATCH_PX)
    assert len(patches) == 8, "glass does not count"
    np.testing.assert_allclose(found.embedding, encoder.embed(patches).mean(0), atol=1e-3)
    assert (found.colours.mean(1)[:-1] <= found.colours.mean(1)[1:]).all(), "darkest first"
    assert found.colours.mean() < 235, "glass does not count"
    enlarged = style_of_picture(tissue(256, 256, 1), 1.0, encoder)
    assert enlarged.embedding.shape == (REFERENCE_CHANNELS,)


@pytest.mark.parametrize(
    ("pixels", "um_per_px", "expected"),
    [
        (tissue(256, 256), 8.0, "nuclei must be seen"),
        (tissue(100, 300), 0.5, "at least 128 a side"),
        (np.full((256, 256, 3), 244, np.uint8), 0.5, "without tissue"),
    ],
)
def test_pictures_that_are_refused(pixels: np.ndarray, um_per_px: float, expected: str) -> None:
    with pytest.raises(ImageError, match=expected):
        style_of_picture(pixels, um_per_px)


def test_a_slide_like_a_picture_is_another_slide(tmp_path: Path) -> None:
    save_weights(tmp_path / "mini.safetensors", tiny_weights())
    model, slide = load_mini(tmp_path / "mini.safetensors", side_by_side=1), Slide("a", 7)
    assert model.steerable
    reference = Reference(style(2.0, BLUE))
    plain, like = (Painter(slide, model, MemoryTiles(), make_sketch(slide, reference=r), r) for r in (None, reference))
    assert plain.fingerprint != like.fingerprint
    tile = TileIndex(TOP_SCALE - 1, 1, 1)
    assert not np.array_equal(plain.tile(tile), like.tile(tile))
    read = Reference.from_dict(reference.as_dict())
    again = Painter(slide, model, MemoryTiles(), make_sketch(slide, reference=read), read)
    np.testing.assert_array_equal(again.tile(tile), like.tile(tile))
    assert again.fingerprint == like.fingerprint


def test_a_model_without_conditions_takes_no_reference() -> None:
    with pytest.raises(SlideError, match="takes no reference picture"):
        Painter(Slide("a", 7), SpeckleModel(), MemoryTiles(), sketch_of(Slide("a", 7)), Reference(style(1.0)))


def test_the_sketch_takes_the_colours_of_its_looks() -> None:
    slide = Slide("a", 7)
    plain = make_sketch(slide).tile(0, 0)
    tissue_there = plain.mean(-1) < 225
    assert tissue_there.sum() > 500
    blue = make_sketch(slide, reference=Reference(style(1.0, BLUE))).tile(0, 0)
    assert (blue[tissue_there][:, 2].astype(int) - blue[tissue_there][:, 0]).mean() > 60
    half = Reference(None, (Region(0, 0, 256 * 128 / 2, 1e9, style(1.0, BLUE)),))
    part = make_sketch(slide, reference=half).tile(0, 0)
    np.testing.assert_array_equal(part[:, 140:], plain[:, 140:])
    inside = tissue_there[:, :120]
    assert (part[:, :120][inside][:, 2].astype(int) - part[:, :120][inside][:, 0]).mean() > 40


def run_new(*arguments: object) -> str:
    result = CliRunner().invoke(new, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_new_writes_a_slide_and_what_its_pictures_look_like(tmp_path: Path) -> None:
    Image.fromarray(tissue(256, 256, 1)).save(tmp_path / "a.png")
    out = tmp_path / "slides.toml"
    region = f"--region=100,200,3000,1500={tmp_path / 'a.png'}"
    said = run_new("mine", "--seed", 5, "--like", tmp_path / "a.png", region, "--size", 8192, 4096, "--out", out)
    assert "8192 x 4096 px" in said and 'reference = "mine.reference.json"' in out.read_text()
    reference = read_reference(tmp_path / "mine.reference.json")
    assert reference.everywhere is not None
    assert [(r.x_um, r.y_um, r.width_um, r.height_um) for r in reference.regions] == [(100, 200, 3000, 1500)]
    run_new("plain", "--unbounded", "--steps", 2, "--guidance", 3, "--out", out)
    from everslide.server.slides import read_slides

    (mine, plain), _ = read_slides(out, "mini")
    assert mine.reference is not None and mine.reference.digest == reference.digest
    assert plain.reference is None and plain.slide.unbounded
    assert (mine.slide.sampling, plain.slide.sampling) == (SamplingConfig(), SamplingConfig(2, 3.0))


@pytest.mark.parametrize(
    "name", ["\N{MICROSCOPE}.png", "a'b\".png", "12\u202fµm.png", "\N{WOMAN}\u200d\N{MICROSCOPE}.png"]
)
def test_new_writes_names_of_files_that_are_read_again(tmp_path: Path, name: str) -> None:
    from everslide.server.slides import read_slides

    Image.fromarray(tissue(256, 256, 1)).save(tmp_path / name, "PNG")
    run_new("mine", "--parent", tmp_path / name, "--mpp", 4, "--out", tmp_path / "slides.toml")
    (mine,), wrong = read_slides(tmp_path / "slides.toml", "mini")
    assert mine.top is not None and wrong == []


@pytest.mark.parametrize("name", ["a\nb.png", "a\tb.png", os.fsdecode(b"\xff.png")])
def test_names_that_no_file_of_slides_can_hold_are_reported(tmp_path: Path, name: str) -> None:
    picture = io.BytesIO()
    Image.fromarray(tissue(256, 256, 1)).save(picture, "PNG")
    (tmp_path / name).write_bytes(picture.getvalue())
    result = CliRunner().invoke(new, ["mine", "--parent", str(tmp_path / name), "--mpp", "4"])
    assert result.exit_code == 1 and "cannot name it" in result.output


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line", ['name = "one"', "name='one'"])
def test_new_adds_to_a_file_as_editors_save_it(tmp_path: Path, encoding: str, line: str) -> None:
    from everslide.server.slides import read_slides

    out = tmp_path / "slides.toml"
    out.write_bytes(f'[[slide]]\r\n{line}\r\nseed = 1\r\ntitle = "Drüse"\r\n'.encode(encoding))
    run_new("two", "--out", out)
    slides, wrong = read_slides(out, "mini")
    assert [(each.slide.name, each.title) for each in slides] == [("one", "Drüse"), ("two", "two")] and wrong == []
    again = CliRunner().invoke(new, ["one", "--out", str(out)])
    assert again.exit_code == 1 and "has a slide one already" in again.output


def test_a_reference_of_another_slide_is_not_overwritten(tmp_path: Path) -> None:
    run_new("a", "--region", "0,0,5000,5000=organ:fat", "--out", tmp_path / "one.toml")
    before = (tmp_path / "a.reference.json").read_bytes()
    again = CliRunner().invoke(new, ["a", "--region", "0,0,5000,5000=organ:bone", "--out", str(tmp_path / "two.toml")])
    assert again.exit_code == 1 and "a.reference.json: exists already" in again.output
    assert (tmp_path / "a.reference.json").read_bytes() == before and not (tmp_path / "two.toml").exists()


def test_a_file_of_slides_that_cannot_be_written_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_new("a", "--out", tmp_path / "slides.toml")
    before = (tmp_path / "slides.toml").read_bytes()
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if target.name == "slides.toml":
            raise OSError("no space left")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    region = ["--region", "0,0,5000,5000=organ:fat"]
    again = CliRunner().invoke(new, ["b", *region, "--out", str(tmp_path / "slides.toml")])
    assert again.exit_code == 1 and "slides.toml: " in again.output
    assert (tmp_path / "slides.toml").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"slides.toml"}


@pytest.mark.parametrize(
    "change",
    [
        {"regions": 5},
        {"regions": None},
        {"regions": [3]},
        {"um": [0, 0, float("nan"), 5]},
        {"um": [0, 0, -5, 5]},
        {"um": [0, 0, float("inf"), 5]},
        {"colours": [[float("nan")] * 3] * 5},
        {"colours": [[999, 0, 0]] * 5},
    ],
    ids=str,
)
def test_odd_references_are_reported(change: dict[str, Any]) -> None:
    region = {"um": [0, 0, 5, 5], **style(1.0).as_dict()}
    assert Reference.from_dict({"regions": [region]}).regions
    values = change if "regions" in change else {"regions": [{**region, **change}]}
    with pytest.raises(ImageError, match=r"reference|region"):
        Reference.from_dict(values)


@pytest.mark.parametrize("place", ["missing/slides.toml", "latin.toml", "file/slides.toml"])
def test_a_file_of_slides_that_cannot_be_used_is_reported(tmp_path: Path, place: str) -> None:
    (tmp_path / "latin.toml").write_bytes(b'[[slide]]\nname = "a"\ntitle = "Dr\xfcse"\n')
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(new, ["two", "--out", str(tmp_path / place)])
    assert result.exit_code == 1 and result.output.startswith("Error: ") and place in result.output
    assert (tmp_path / "latin.toml").read_bytes().endswith(b'\xfcse"\n')


@pytest.mark.parametrize("name", ["endless", "pipe"])
def test_a_file_of_slides_is_no_device(tmp_path: Path, name: str) -> None:
    """It would be read without an end, and then replaced by a file."""
    out = tmp_path / name
    if name == "pipe":
        os.mkfifo(out)
    else:
        out.symlink_to("/dev/zero")
    done = CliRunner().invoke(new, ["a", "--out", str(out)])
    assert done.exit_code == 1 and f"{name}: expected a file of slides, found a folder or device" in done.output
    assert Path("/dev/zero").is_char_device() and [path.name for path in tmp_path.iterdir()] == [name]


def test_a_reference_without_an_end_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="found more than 16777216 bytes"):
        read_reference(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--region", "1,2=x.png"], "expected X,Y,WIDTH,HEIGHT=PICTURE"),
        (["--region", "1..2,3,4,5=x.png"], "expected X,Y,WIDTH,HEIGHT=PICTURE"),
        (["--parent", "p.png"], "both of --parent and --mpp"),
        (["--like", "missing.png"], "missing.png"),
        (["--size", "1000", "1000", "--unbounded"], "expected --size or --unbounded, found both"),
        (["--steps", "0"], "steps 0: expected 1 or more"),
        (["--guidance", "0"], "guidance 0.0: expected a number from 1 on"),
    ],
)
def test_new_refuses(tmp_path: Path, arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(new, ["a", *arguments, "--out", str(tmp_path / "s.toml")])
    assert result.exit_code != 0 and expected in result.output and not (tmp_path / "s.toml").exists()

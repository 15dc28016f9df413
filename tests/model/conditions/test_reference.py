"""References: what a picture looks like, a slide that is told so, and files of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from everslide.model.commands import new
from everslide.model.conditions import looking
from everslide.model.conditions.cdm import CDM, CDMConfig
from everslide.model.conditions.encoder import PatchEncoder, load_encoder
from everslide.model.conditions.looking import look_of
from everslide.model.conditions.reference import Look, Reference, Region, read_reference, write_reference
from everslide.model.conditions.sources import CDMConditions
from everslide.model.errors import ImageError, SlideError
from everslide.model.evaluate import MemoryTiles
from everslide.model.fake import SpeckleDenoiser
from everslide.model.geometry import TileIndex
from everslide.model.manner import Manner
from everslide.model.mini import MiniDenoiser, load_mini
from everslide.model.painter import Painter
from everslide.model.sketch import TOP_SCALE, Sketch
from everslide.model.slide import Slide
from everslide.model.weights import save_weights
from tests.model.networks import tiny_weights
from tests.model.pictures import tissue

COLOURS = np.linspace(90, 220, 15).reshape(5, 3).astype(np.float32)
BLUE = np.array([[60, 60, 180]] * 5, np.float32)


def look(value: float, colours: np.ndarray = COLOURS, length: int = 4) -> Look:
    return Look(np.array([[value] * length, [value + 1] * length], np.float32), colours)


def test_cells_are_put_in_the_words_of_the_prototypes() -> None:
    cells = np.zeros((4, 2, 2), np.float32)
    snapped = look(3.0).snapped(cells)
    assert snapped.shape == cells.shape and ((snapped >= 3.0) & (snapped < 3.01)).all(), "the nearer of 3 and 4"


def test_a_region_counts_inside_and_gives_way_at_its_edge() -> None:
    reference = Reference(None, (Region(0, 0, 3200, 3200, look(5.0)),))
    cells = np.zeros((4, 4, 4), np.float32)
    inside = reference.steer(cells, 10, 10, 2)  # a cell of 5x is 128 um a side
    assert (inside > 4.9).all()
    np.testing.assert_array_equal(reference.steer(cells, 100, 100, 2), cells)
    edge = reference.steer(cells, 23, 10, 2)[0, 0]
    assert edge[0] > edge[2] >= edge[3] == 0


def test_files(tmp_path: Path) -> None:
    reference = Reference(look(1.23456), (Region(1, 2, 3, 4, look(2.0)),))
    write_reference(tmp_path / "r.json", reference)
    assert read_reference(tmp_path / "r.json").digest == reference.digest
    assert reference.digest != Reference(look(1.3)).digest
    for text in ("{", "[]", '{"everywhere": {"prototypes": 3}}', '{"regions": [{"um": [1]}]}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ImageError, match="expected"):
            read_reference(tmp_path / "bad.json")


def test_the_look_of_a_picture() -> None:
    encoder = load_encoder()
    picture = np.concatenate([tissue(512, 256, 1), np.full((512, 256, 3), 244, np.uint8)], axis=1)
    found = look_of(picture, 0.5, encoder)
    assert found.prototypes.shape[1] == 64 and 1 < len(found.prototypes) <= looking.PROTOTYPES
    assert (found.colours.mean(1)[:-1] <= found.colours.mean(1)[1:]).all(), "darkest first"
    assert found.colours.mean() < 235, "glass does not count"
    enlarged = look_of(tissue(256, 256, 1), 1.0, encoder)
    assert enlarged.prototypes.shape[1] == 64


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
        look_of(pixels, um_per_px)


def told_mini(folder: Path) -> MiniDenoiser:
    """A tiny network with a tiny conditioning diffusion model."""
    torch.manual_seed(1)
    save_weights(folder / "mini.safetensors", tiny_weights())
    encoder = PatchEncoder(load_encoder().config).eval()
    conditions = CDMConditions(CDM(CDMConfig(width=16, depth=1)), encoder)
    return load_mini(folder / "mini.safetensors", threads=1).told(lambda _: conditions)


def test_a_slide_like_a_picture_is_another_slide(tmp_path: Path) -> None:
    model, slide = told_mini(tmp_path), Slide("a", 7)
    assert model.steerable
    reference = Reference(look(2.0, BLUE, 64))
    plain, like = (Painter(slide, model, MemoryTiles(), reference=r) for r in (None, reference))
    assert plain.fingerprint != like.fingerprint
    tile = TileIndex(TOP_SCALE - 1, 1, 1)
    assert not np.array_equal(plain.tile(tile), like.tile(tile))
    again = Painter(slide, model, MemoryTiles(), reference=Reference.from_dict(reference.as_dict()))
    np.testing.assert_array_equal(again.tile(tile), like.tile(tile))
    assert again.fingerprint == like.fingerprint


def test_a_model_that_is_told_nothing_takes_no_reference(tmp_path: Path) -> None:
    save_weights(tmp_path / "mini.safetensors", tiny_weights())
    for model in (SpeckleDenoiser(), load_mini(tmp_path / "mini.safetensors", threads=1)):
        with pytest.raises(SlideError, match="takes no reference picture"):
            Painter(Slide("a", 7), model, MemoryTiles(), reference=Reference(look(1.0)))


def test_the_sketch_takes_the_colours_of_its_looks() -> None:
    slide = Slide("a", 7)
    plain = Sketch(slide).tile(0, 0)
    tissue_there = plain.mean(-1) < 225
    assert tissue_there.sum() > 500
    blue = Sketch(slide, reference=Reference(look(1.0, BLUE))).tile(0, 0)
    assert (blue[tissue_there][:, 2].astype(int) - blue[tissue_there][:, 0]).mean() > 60
    half = Reference(None, (Region(0, 0, 256 * 128 / 2, 1e9, look(1.0, BLUE)),))
    part = Sketch(slide, reference=half).tile(0, 0)
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
    region = f"--region=100,200,3000,4000={tmp_path / 'a.png'}"
    said = run_new("mine", "--seed", 5, "--like", tmp_path / "a.png", region, "--size", 8192, 4096, "--out", out)
    assert "8192 x 4096 px" in said and 'reference = "mine.reference.json"' in out.read_text()
    reference = read_reference(tmp_path / "mine.reference.json")
    assert reference.everywhere is not None
    assert [(r.x_um, r.y_um, r.width_um, r.height_um) for r in reference.regions] == [(100, 200, 3000, 4000)]
    run_new("plain", "--unbounded", "--steps", 2, "--guidance", 3, "--out", out)
    from everslide.server.slides import read_slides

    (mine, plain), _ = read_slides(out, "mini")
    assert mine.reference is not None and mine.reference.digest == reference.digest
    assert plain.reference is None and plain.slide.unbounded
    assert (mine.slide.manner, plain.slide.manner) == (Manner(), Manner(2, 3.0))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--region", "1,2=x.png"], "expected X,Y,WIDTH,HEIGHT=PICTURE"),
        (["--parent", "p.png"], "both of --parent and --mpp"),
        (["--like", "missing.png"], "missing.png"),
        (["--steps", "0"], "steps 0: expected 1 or more"),
        (["--guidance", "0"], "guidance 0.0: expected a number from 1 on"),
    ],
)
def test_new_refuses(tmp_path: Path, arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(new, ["a", *arguments, "--out", str(tmp_path / "s.toml")])
    assert result.exit_code != 0 and expected in result.output and not (tmp_path / "s.toml").exists()

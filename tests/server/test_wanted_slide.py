"""`everslide export` finds the slides that a server with the same flags offers: of a file, or made in the viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from everslide.model.errors import SlideError
from everslide.model.new_slide import NewSlide, add_slide
from everslide.model.organs import style_of
from everslide.model.sampling_config import SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Region
from everslide.server.app import create_app
from everslide.server.assembly import assemble
from everslide.server.cli import main
from everslide.server.documents import Documents
from everslide.server.settings import Settings
from everslide.server.slides import Catalogue, Entry, demo_entries
from everslide.server.wanted_slide import SlideSources, painted_otherwise, wanted_slide


def export(folder: Path, slide: str, *flags: str, model: str = "speckle", env: dict[str, str] | None = None) -> Result:
    own = ("--cache", str(folder / "cache"), "--data", str(folder / "data"), "--out", str(folder / f"{slide}.png"))
    return CliRunner().invoke(main, ["export", slide, "--model", model, *own, *flags], env=env)


def made(folder: Path, **more: object) -> tuple[str, bytes]:
    """A slide made in the viewer of a real server: its id, and the bytes of one of its tiles."""
    assembly = assemble(Settings(cache=None), Catalogue(demo_entries("speckle")))
    client = create_app(assembly.service, folder, documents=Documents(folder / "data")).test_client()
    wish = {"title": "Mine", "seed": "5", "model": "speckle", "width": 1024, "height": 768}
    answer = client.post("/api/slides", json=wish | more)
    assert answer.json is not None and answer.status_code == 201, answer.json
    name = str(answer.json["id"])
    tile = client.get(f"/slides/{name}_files/10/1_1.png").data
    assembly.close()
    return name, tile


def test_a_slide_that_was_made_is_exported_as_it_is_served(tmp_path: Path) -> None:
    name, tile = made(tmp_path)
    (tmp_path / "tile.png").write_bytes(tile)
    done = export(tmp_path, name, "--region", "256,256,256,256")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / f"{name}.png") as image, Image.open(tmp_path / "tile.png") as served:
        np.testing.assert_array_equal(np.asarray(image)[:256], np.asarray(served))
        assert "slide mine, model speckle, seed 5" in image.info["Comment"]


def test_a_slide_of_a_file_is_exported_with_its_regions(tmp_path: Path) -> None:
    regions = ("0,0,200,300=organ:fat", "250,0,100,100=organ:skin")
    add_slide(NewSlide("taught", 5, "mini", (1024, 768), organ="colon", regions=regions), tmp_path / "slides.toml")
    entry = wanted_slide("taught", "mini", SlideSources(file=tmp_path / "slides.toml"))
    assert entry.slide == Slide("taught", 5, 1024, 768, organ="colon")
    assert entry.reference is not None
    assert [region.style.organ for region in entry.reference.regions] == ["fat", "skin"]
    flags = ("--magnification", "0.3125", "--dry-run")
    for done in (
        export(tmp_path, "taught", "--slides", str(tmp_path / "slides.toml"), *flags, model="mini"),
        export(tmp_path, "taught", *flags, model="mini", env={"EVERSLIDE_SLIDES": str(tmp_path / "slides.toml")}),
    ):
        assert done.exit_code == 0 and "16 x 12 px: 1 tiles" in done.output, done.output


def test_a_slide_below_a_picture_keeps_it(tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 96, 3), 200, np.uint8)).save(tmp_path / "p.png")
    add_slide(NewSlide("below", 5, "speckle", parent=tmp_path / "p.png", parent_mpp=8), tmp_path / "slides.toml")
    entry = wanted_slide("below", "speckle", SlideSources(file=tmp_path / "slides.toml"))
    assert entry.top is not None and (entry.slide.width_px, entry.slide.height_px) == (1536, 1024)


def test_names_are_found_in_the_order_of_a_server(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    record = {"title": "t", "seed": "9", "width": 2000, "height": 1000, "model": "mini"}
    documents.change("slides", "made", lambda kept: kept.update({"a": record, "b": record, "demo-skin": record}))
    file = tmp_path / "slides.toml"
    file.write_text("".join(f'[[slide]]\nname = "{name}"\nseed = 8\n' for name in ("demo", "a")), "utf-8")
    sources = SlideSources(("spec:6",), file, lambda: documents)
    seeds = {name: wanted_slide(name, "mini", sources).slide.seed for name in ("demo", "spec", "a", "b", "demo-skin")}
    assert seeds == {"demo": 7, "spec": 6, "a": 8, "b": 9, "demo-skin": 9}
    assert wanted_slide("a:3", "mini", sources).slide.seed == 3
    with pytest.raises(SlideError, match=r"slide 'c': expected one of demo, endless, spec, a, b, .*name:seed"):
        wanted_slide("c", "mini", sources)


def test_what_is_wrong_is_reported_and_paints_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Documents(tmp_path / "data").change("slides", "made", lambda kept: kept.update({"odd": {"title": "t"}}))
    odd = export(tmp_path, "odd")
    assert odd.exit_code == 1 and "made.json: slide 'odd': expected field 'seed'" in odd.output
    (tmp_path / "slides.toml").write_text('[[slide]]\nname = "x"\n', "utf-8")
    missing = export(tmp_path, "x", "--slides", str(tmp_path / "slides.toml"))
    assert missing.exit_code == 1 and "slide 'x': expected one of demo, endless" in missing.output
    assert "slide 1: missing field 'seed'" in caplog.text
    nowhere = export(tmp_path, "x", "--slides", str(tmp_path / "none.toml"))
    assert nowhere.exit_code == 1 and "none.toml: cannot be read" in nowhere.output
    assert not (tmp_path / "cache").exists()


def test_steps_guidance_and_organ_are_its_own_unless_others_are_named() -> None:
    own = Entry(
        Slide("a", 1, sampling=SamplingConfig(2, 3.0), organ="colon", organ_drawn=True),
        "A",
        reference=Reference(None, (Region(0, 0, 400, 400, style_of("fat", 1)),)),
    )
    assert painted_otherwise(own, None, None, None) == own
    other = painted_otherwise(own, 4, None, "skin")
    assert other.slide == Slide("a", 1, sampling=SamplingConfig(4, 3.0), organ="skin")
    assert other.reference is own.reference
    assert painted_otherwise(own, None, 1, None).slide.sampling == SamplingConfig(2)

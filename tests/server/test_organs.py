"""The organ of a slide, by every entrance: what was chosen or drawn is kept, facts, and the same everywhere."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import large_image
import pytest
import tifffile
from click.testing import CliRunner
from flask.testing import FlaskClient
from large_image.exceptions import TileSourceError
from PIL import Image

from everslide.model.errors import SlideError
from everslide.model.geometry import Rect
from everslide.model.mini.weights import save_weights
from everslide.model.new_slide import NewSlide, add_slide
from everslide.model.organs import organ_of, palettes, style_of
from everslide.model.sampling_config import SamplingCapabilities
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Region
from everslide.server.app import create_app
from everslide.server.assembly import Assembly, assemble
from everslide.server.cli import _add_organs, main
from everslide.server.documents import Documents
from everslide.server.export import Pyramid, export_tiff, region_of
from everslide.server.painters import ModelFiles
from everslide.server.settings import Settings
from everslide.server.slides import (
    DEMO_ORGANS,
    Catalogue,
    Entry,
    demo_entries,
    organ_entries,
    parse_spec,
    read_slides,
)
from everslide.server.tiles import TileService
from everslide.server.wanted_slide import painted_otherwise, wanted_slide
from tests.model.networks import tiny_weights
from tests.server.stub import DEMO, Studio, make_service

CASES = (("colon", 3), ("lymph node", 1), ("skin", 2))
KNOWS = SamplingCapabilities(1, organs=CASES)
WISH = {"title": "Mine", "seed": "5", "model": "stub", "width": 20000, "height": 10000}


@pytest.fixture
def studio() -> Studio:
    """Of a model that knows organs."""
    return Studio(capabilities=KNOWS)


def facts(client: FlaskClient, name: str) -> dict[str, Any]:
    answer = client.get(f"/api/slides/{name}").json
    assert answer is not None
    return {key: answer[key] for key in ("organ", "organ_cases", "organ_drawn")}


def test_a_slide_reports_its_organ_whether_chosen_or_drawn(client: FlaskClient) -> None:
    drawn = organ_of(DEMO, dict(CASES))
    assert facts(client, "demo") == {"organ": drawn, "organ_cases": dict(CASES)[drawn], "organ_drawn": True}
    assert client.post("/api/slides", json=WISH | {"organ": "lymph node"}).status_code == 201
    assert facts(client, "mine") == {"organ": "lymph node", "organ_cases": 1, "organ_drawn": False}
    listed = client.get("/api/slides").json
    assert listed is not None and [slide["organ"] for slide in listed["slides"] if slide["id"] == "mine"] == [
        "lymph node"
    ]


def test_a_model_without_organs_reports_none(tmp_path: Path) -> None:
    service = make_service(Studio())
    client = create_app(service, tmp_path).test_client()
    assert facts(client, "demo") == {"organ": None, "organ_cases": None, "organ_drawn": None}
    assert "X-Everslide-Organ" not in client.get("/slides/demo_files/17/3_4.png").headers
    answer = client.post("/api/slides", json=WISH | {"organ": "colon"})
    assert answer.status_code == 400 and "its weights know no organs" in answer.get_data(as_text=True)
    service.close()


@pytest.mark.parametrize(
    ("organ", "expected"),
    [("heart", "colon, lymph node, skin"), (7, "'organ' as a text"), ("x" * 81, "'organ' as a text of at most 80")],
)
def test_organs_that_are_refused(client: FlaskClient, organ: object, expected: str) -> None:
    answer = client.post("/api/slides", json=WISH | {"organ": organ})
    assert answer.status_code == 400 and expected in answer.get_data(as_text=True)
    assert client.get("/api/slides/mine").status_code == 404


def test_an_organ_survives_a_restart_and_another_title(tmp_path: Path) -> None:
    found = []
    for title in ("First", "Second"):
        service = make_service(Studio(capabilities=KNOWS))
        client = create_app(service, tmp_path, documents=Documents(tmp_path / "data")).test_client()
        if client.get("/api/slides/mine").status_code == 404:
            client.post("/api/slides", json=WISH | {"organ": "skin"})
        assert client.patch("/api/slides/mine", json={"title": title}).status_code == 200
        found.append((facts(client, "mine"), client.get("/slides/mine_files/15/3_4.png").headers["ETag"]))
        service.close()
    assert found[0] == found[1] and found[0][0]["organ"] == "skin"


@pytest.mark.parametrize("more", [{"organ": "colon"}, {"seed": "6"}])
def test_what_is_painted_of_a_slide_is_never_changed(client: FlaskClient, more: dict[str, str]) -> None:
    client.post("/api/slides", json=WISH | {"organ": "skin"})
    answer = client.patch("/api/slides/mine", json={"title": "Other"} | more)
    assert answer.status_code == 400 and "make a new slide" in answer.get_data(as_text=True)
    assert facts(client, "mine")["organ"] == "skin"


def test_a_slide_made_of_an_organ_that_is_not_known_now_is_kept_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for capabilities in (KNOWS, SamplingCapabilities(1, organs=(("colon", 3),)), KNOWS):
        service = make_service(Studio(capabilities=capabilities))
        client = create_app(service, tmp_path, documents=Documents(tmp_path / "data")).test_client()
        if capabilities is KNOWS:
            client.post("/api/slides", json=WISH | {"organ": "skin"})
            assert facts(client, "mine")["organ"] == "skin"
        else:
            assert client.get("/api/slides/mine").status_code == 404
            assert "organ 'skin': model stub was trained on colon" in caplog.text
        service.close()


SKIN = {"x_um": 1000, "y_um": 0, "width_um": 2000.5, "height_um": 5000, "organ": "skin"}


def test_regions_of_other_organs_are_kept(tmp_path: Path) -> None:
    for _ in range(2):
        studio = Studio(capabilities=KNOWS)
        service = make_service(studio)
        client = create_app(service, tmp_path, documents=Documents(tmp_path / "data")).test_client()
        if client.get("/api/slides/mine").status_code == 404:
            assert client.post("/api/slides", json=WISH | {"organ": "colon", "regions": [SKIN]}).status_code == 201
        assert facts(client, "mine")["organ"] == "colon"
        (region,) = studio.references[-1].regions
        assert (region.x_um, region.y_um, region.width_um, region.height_um) == (1000, 0, 2000.5, 5000)
        assert region.style.organ == "skin"
        service.close()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"x_um": 8000}, "region 1 to be a part of the slide of 10000 x 5000 um"),
        ({"y_um": 0.5}, "2000.5 x 5000 um at 1000, 0.5"),
        ({"x_um": -1}, "region 1 to be a part of the slide"),
        ({"width_um": 0}, "region 1 to be a part of the slide"),
        ({"width_um": 1e-15}, "1 um or more a side"),
        ({"width_um": "9"}, "field 'regions.0.width_um' as a number"),
        ({"organ": "heart"}, "region 1: organ 'heart': model stub was trained on colon, lymph node, skin"),
        ({"organ": None}, "field 'regions.0.organ' as a text"),
    ],
)
def test_regions_that_are_refused(client: FlaskClient, change: dict[str, object], expected: str) -> None:
    answer = client.post("/api/slides", json=WISH | {"regions": [SKIN | change]})
    assert answer.status_code == 400 and expected in answer.get_data(as_text=True)
    assert client.post("/api/slides", json=WISH | {"regions": [SKIN] * 21}).status_code == 400
    assert client.post("/api/slides", json=WISH | {"regions": "all"}).status_code == 400
    assert client.get("/api/slides/mine").status_code == 404


def served_as(folder: Path, organs: tuple[tuple[str, int], ...], wish: dict[str, Any] | None) -> dict[str, Any]:
    """What a slide is of, on a server whose model knows these organs; made there where there is a wish."""
    service = make_service(Studio(capabilities=SamplingCapabilities(1, organs=organs)))
    client = create_app(service, folder, documents=Documents(folder / "data")).test_client()
    if wish:
        assert client.post("/api/slides", json=wish).status_code == 201
    found = facts(client, "mine")
    service.close()
    return found


def test_an_organ_that_was_drawn_stays_when_the_model_learns_others(tmp_path: Path) -> None:
    more = tuple((organ, 1) for organ in palettes() if organ not in dict(CASES))
    undrawn = [seed for seed in range(40) if organ_of(Slide("x", seed), dict(CASES)) != organ_of(
        Slide("x", seed), dict(CASES + more))]  # fmt: skip
    before = served_as(tmp_path, CASES, WISH | {"seed": str(undrawn[0])})
    assert before["organ_drawn"] and served_as(tmp_path, CASES + more, None) == before
    kept = json.loads((tmp_path / "data" / "slides" / "made.json").read_text("utf-8"))["mine"]
    assert (kept["organ"], kept["organ_drawn"]) == (before["organ"], True)
    fewer = tuple(one for one in CASES if one[0] != before["organ"])
    assert served_as(tmp_path, fewer, None)["organ"] in dict(fewer), "it has to be drawn again"
    assert served_as(tmp_path, (), None)["organ"] is None
    assert served_as(tmp_path, CASES, None) == before, "and comes back with its organ"


def test_a_slide_made_before_organs_were_kept_is_served(tmp_path: Path) -> None:
    before = served_as(tmp_path, CASES, WISH)
    file = tmp_path / "data" / "slides" / "made.json"
    kept = json.loads(file.read_text("utf-8"))
    kept["mine"]["organ"] = ""
    del kept["mine"]["organ_drawn"]
    file.write_text(json.dumps(kept), "utf-8")
    assert served_as(tmp_path, CASES, None) == before
    kept["mine"]["organ_drawn"] = "yes"
    kept["mine"]["organ"] = "skin"
    file.write_text(json.dumps(kept), "utf-8")
    service = make_service(Studio(capabilities=KNOWS))
    client = create_app(service, tmp_path, documents=Documents(tmp_path / "data")).test_client()
    assert client.get("/api/slides/mine").status_code == 404
    service.close()


def test_a_slide_paints_the_same_whether_its_organ_is_kept_or_drawn(weights: Path) -> None:
    drawn = Slide("a", 5, 2000, 1000)
    kept = replace(drawn, organ=organ_of(drawn, dict(CASES)), organ_drawn=True)
    fingerprints = []
    for slide in (drawn, kept):
        assembly = served(weights, Entry(slide, "A"))
        fingerprints.append(assembly.service.slide("a").fingerprint)
        assembly.close()
    assert fingerprints[0] == fingerprints[1]


def test_images_carry_the_organ(client: FlaskClient) -> None:
    client.post("/api/slides", json=WISH | {"organ": "lymph node"})
    for _ in range(2):  # painted, and then found in memory
        for path in ("/slides/mine_files/15/3_4.jpeg", "/iiif/3/mine/0,0,256,256/max/0/default.jpg"):
            answer = client.get(path)
            assert answer.headers["X-Everslide-Organ"] == "lymph node"
            assert b"organ lymph node: a likeness of 1 case" in answer.data
    info = client.get("/iiif/3/mine/info.json").json
    assert info is not None and (info["organ"], info["organCases"]) == ("lymph node", 1)
    part = client.get("/iiif/3/endless@0,0,4096,4096/info.json").json
    assert part is not None and part["organ"] == facts(client, "endless")["organ"]
    tile = client.get("/api/slides/mine/tiles/15/3/4").json
    assert tile is not None and tile["organ"] == "lymph node"


def test_regions_are_named_wherever_the_slides_organ_is(client: FlaskClient) -> None:
    skin = SKIN | {"organ_cases": 2, "organ_sections": 1}
    node = SKIN | {"x_um": 4000, "organ": "lymph node"}
    assert client.post("/api/slides", json=WISH | {"organ": "colon", "regions": [SKIN, node, SKIN]}).status_code == 201
    answer = client.get("/api/slides/mine").json
    assert answer is not None and answer["organ"] == "colon"
    assert answer["regions"] == [skin, node | {"organ_cases": 1, "organ_sections": 1}, skin]
    listed = client.get("/api/slides").json
    assert listed is not None and listed["slides"][-1]["regions"] == answer["regions"]
    words = (
        "organ colon: a likeness of 3 cases, regions of skin: a likeness of 2 cases; lymph node: a likeness of 1 case"
    )
    for path in (
        "/slides/mine_files/15/3_4.jpeg",
        "/slides/mine_files/15/3_4.png",
        "/iiif/3/mine/0,0,9,9/max/0/default.jpg",
    ):
        for _ in range(2):  # painted, and then found in memory
            image = client.get(path)
            assert image.headers["X-Everslide-Organ"] == "colon"
            assert image.headers["X-Everslide-Region-Organs"] == "skin, lymph node"
            assert words.encode() in image.data
    info = client.get("/iiif/3/mine/info.json").json
    assert info is not None and info["regionOrgans"] == [
        {"organ": "skin", "organCases": 2, "organSections": 1},
        {"organ": "lymph node", "organCases": 1, "organSections": 1},
    ]  # fmt: skip
    demo = client.get("/slides/demo_files/15/3_4.jpeg")
    assert "X-Everslide-Region-Organs" not in demo.headers and b"regions of" not in demo.data
    plain = client.get("/iiif/3/demo/info.json").json
    assert plain is not None and "regionOrgans" not in plain


def test_an_organ_of_no_whole_section_says_so_everywhere(tmp_path: Path) -> None:
    service = make_service(Studio(capabilities=SamplingCapabilities(1, organs=(("colon", 3), ("prostate", 3)))))
    client = create_app(service, tmp_path).test_client()
    region = SKIN | {"organ": "prostate"}
    for wish in (WISH | {"organ": "prostate"}, WISH | {"organ": "colon", "regions": [region], "title": "Other"}):
        assert client.post("/api/slides", json=wish).status_code == 201
    mine, other = (client.get(f"/api/slides/{name}").json for name in ("mine", "other"))
    assert mine is not None and (mine["organ_cases"], mine["organ_sections"]) == (3, 0)
    assert other is not None and (other["organ_sections"], other["regions"][0]["organ_sections"]) == (2, 0)
    for name in ("mine", "other"):
        tile = client.get(f"/slides/{name}_files/15/3_4.jpeg").data
        assert b"prostate: a likeness of 3 cases, of no whole section" in tile
    info = client.get("/iiif/3/mine/info.json").json
    assert info is not None and info["organSections"] == 0
    (model,) = client.get("/api/models").json["models"]  # type: ignore[index]
    assert [(one["name"], one["sections"]) for one in model["organs"]] == [("colon", 2), ("prostate", 0)]
    service.close()


def test_a_tile_is_of_the_organs_that_are_there(client: FlaskClient) -> None:
    client.post("/api/slides", json=WISH | {"organ": "colon", "regions": [SKIN | {"x_um": 0, "width_um": 2000}]})
    tiles = {place: client.get(f"/api/slides/mine/tiles/{place}").json for place in ("15/8/8", "15/30/8", "9/0/0")}
    assert {place: tile and tile["organ"] for place, tile in tiles.items()} == {
        "15/8/8": "skin", "15/30/8": "colon", "9/0/0": "colon, skin"
    }  # fmt: skip


def test_organs_of_any_name_are_reported(tmp_path: Path) -> None:
    """Weights of one's own may call them as they like: no name breaks a header or a file."""
    odd = "Dünn\r\ndarm 腸"
    service = make_service(Studio(capabilities=SamplingCapabilities(1, organs=((odd, 2),))))
    client = create_app(service, tmp_path).test_client()
    client.post("/api/slides", json=WISH | {"organ": odd})
    for suffix in ("png", "webp", "jpeg"):
        answer = client.get(f"/slides/mine_files/15/3_4.{suffix}")
        assert answer.status_code == 200
        assert answer.headers["X-Everslide-Organ"] == "D%C3%BCnn%0D%0Adarm %E8%85%B8"
        with Image.open(io.BytesIO(answer.data)) as image:
            image.load()
    service.close()


def test_the_gallery_shows_organs(client: FlaskClient) -> None:
    (model,) = client.get("/api/models").json["models"]  # type: ignore[index]
    sections = {"colon": 2, "lymph node": 1, "skin": 1}
    assert model["organs"] == [{"name": organ, "cases": n, "sections": sections[organ]} for organ, n in CASES]
    answer = client.get("/api/gallery/stub/12.jpeg?organ=lymph%20node")
    assert answer.status_code == 200 and b"organ lymph node" in answer.data
    refused = client.get("/api/gallery/stub/12.jpeg?organ=heart")
    assert refused.status_code == 400 and "colon, lymph node, skin" in refused.get_data(as_text=True)


def test_an_underscore_stands_for_a_space_by_every_entrance(client: FlaskClient, service: TileService) -> None:
    service.add(parse_spec("spec:5:organ=lymph_node", "stub"))
    region = SKIN | {"organ": "lymph_node"}
    wish = WISH | {"organ": "lymph_node", "regions": [region]}
    assert client.post("/api/slides", json=wish).status_code == 201
    for name in ("spec", "mine"):
        answer = client.get(f"/api/slides/{name}").json
        assert answer is not None and (answer["organ"], answer["organ_cases"]) == ("lymph node", 1)
        assert [one["organ"] for one in answer["regions"]] == ["lymph node"] * (name == "mine")
    shown = [client.get(f"/api/gallery/stub/12.jpeg?organ={name}").data for name in ("lymph_node", "lymph%20node")]
    assert shown[0] == shown[1]


def test_a_refusal_is_short_and_gives_advice_that_fits(client: FlaskClient) -> None:
    region = SKIN | {"organ": "heart"}
    refused = client.post("/api/slides", json=WISH | {"regions": [region]}).get_data(as_text=True)
    assert "region 1: organ 'heart'" in refused and "drawn" not in refused
    long = client.get(f"/api/gallery/stub/12.jpeg?organ={'x' * 5000}")
    assert long.status_code == 400 and len(long.data) < 600


@pytest.mark.parametrize("organs", [("",), ("colon", "skin")])
def test_an_export_is_of_one_organ(tmp_path: Path, organs: tuple[str, ...]) -> None:
    flags = [part for organ in organs for part in ("--organ", organ)]
    done = CliRunner().invoke(main, ["export", "demo", "--out", str(tmp_path / "x.png"), *flags])
    assert done.exit_code == 2 and "--organ" in done.output and not list(tmp_path.iterdir())


def test_an_export_says_its_organ(tmp_path: Path) -> None:
    service = make_service(Studio(capabilities=KNOWS))
    regions = Reference(None, (Region(0, 0, 500, 400, style_of("colon", 1)),))
    service.add(Entry(Slide("mine", 5, 2000, 1000, model="stub", organ="skin"), "Mine", reference=regions))
    slide = service.slide("mine")
    pyramid = Pyramid(service, region_of(slide, slide.zoom.max_level, Rect(0, 0, 600, 400)))
    export_tiff(pyramid, tmp_path / "x.ome.tiff")
    with tifffile.TiffFile(tmp_path / "x.ome.tiff") as tiff:
        words = "organ skin: a likeness of 2 cases, regions of colon: a likeness of 3 cases"
        assert tiff.ome_metadata is not None and words in tiff.ome_metadata
    service.close()


def test_specifications_with_an_organ() -> None:
    assert parse_spec("a:5:organ=lymph node", "mini").slide == Slide("a", 5, organ="lymph node")
    assert parse_spec("a:5:300x400:organ=skin", "mini").slide == Slide("a", 5, 300, 400, organ="skin")
    assert parse_spec("a:5:unbounded:organ=skin", "mini").slide.unbounded
    assert painted_otherwise(wanted_slide("a:5", "mini"), None, None, "skin").slide.organ == "skin"
    assert wanted_slide("demo-liver", "mini").slide.organ == "liver"
    for spec in ("a:5:organ=", "a:5:skin", "a:organ=skin", "a:5:organ=skin:unbounded"):
        with pytest.raises(SlideError, match=":organ=ORGAN behind it"):
            parse_spec(spec, "mini")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    save_weights(path, tiny_weights(cases=dict(CASES)))
    return path


def served(weights: Path, *entries: Entry) -> Assembly:
    return assemble(Settings(cache=None), Catalogue(entries), {"mini": ModelFiles(weights)})


def test_all_entrances_lead_to_the_same_slide(weights: Path, tmp_path: Path) -> None:
    add_slide(NewSlide("a", 5, "mini", (1024, 768), organ="skin", weights=weights), tmp_path / "slides.toml")
    listed, wrong = read_slides(tmp_path / "slides.toml", "mini")
    assert not wrong
    assembly = served(
        weights, *listed, parse_spec("b:5:1024x768:organ=skin", "mini"), parse_spec("c:5:1024x768", "mini")
    )
    client = create_app(assembly.service, tmp_path).test_client()
    wish = {"title": "d", "seed": "5", "model": "mini", "width": 1024, "height": 768, "organ": "skin"}
    assert client.post("/api/slides", json=wish).status_code == 201
    address = f"everslide://e?seed=5&width_px=1024&height_px=768&organ=skin&weights={weights}"
    source = large_image.open(address, noCache=True)
    facts = source.getInternalMetadata()
    assert (facts["organ"], facts["organ_cases"]) == ("skin", 2)
    slides = {name: assembly.service.slide(name) for name in "abcd"}
    assert {slides[name].fingerprint for name in "abd"} == {facts["fingerprint"]}
    drawn = slides["c"].organ
    assert drawn is not None and drawn.drawn
    assert (slides["c"].fingerprint == facts["fingerprint"]) == (drawn.name == "skin")
    assembly.close()
    with pytest.raises(TileSourceError, match="organ 'heart': model mini was trained on colon, lymph node, skin"):
        large_image.open(address.replace("skin", "heart"), noCache=True)


def test_a_region_of_an_organ_that_the_weights_do_not_know_is_refused(weights: Path) -> None:
    assembly = served(weights, *demo_entries("mini"))
    unknown = Reference(None, (Region(0, 0, 5000, 4000, style_of("liver", 1)),))
    with pytest.raises(SlideError, match="region 0,0,5000,4000: organ 'liver': model mini was trained on colon"):
        assembly.service.add(Entry(Slide("x", 1), "x", None, unknown))
    known = Reference(None, (Region(0, 0, 5000, 4000, style_of("skin", 1)),))
    assembly.service.add(Entry(Slide("x", 1), "x", None, known))
    assembly.close()


def test_six_slides_of_six_organs_are_there_without_asking() -> None:
    six = organ_entries("mini")
    assert [entry.slide.organ for entry in six] == list(DEMO_ORGANS) and len(set(DEMO_ORGANS)) == 6
    assert [entry.slide.name for entry in six][:2] == ["demo-colon", "demo-skin"]
    assert organ_entries("speckle") == ()


def test_demo_slides_need_weights_that_know_their_organ_and_take_no_name(weights: Path) -> None:
    own = Entry(Slide("demo-skin", 3), "My skin")
    assembly = served(weights, *demo_entries("mini"), own)
    _add_organs(assembly, "mini", Documents(None))
    names = [entry.slide.name for entry in assembly.service.catalogue]
    assert names == ["demo", "endless", "demo-skin", "demo-colon"], "these weights know neither liver nor kidney"
    assert assembly.service.slide("demo-skin").entry is own
    assert not any(assembly.service.queue.progress(name).painted for name in names), "nothing is painted at the start"
    assembly.close()

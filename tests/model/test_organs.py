"""The organ of a slide: chosen, drawn from its seed, or none; and what it is conditioned on then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from everslide.model import organs
from everslide.model.errors import SlideError, WeightsError
from everslide.model.geometry import Rect
from everslide.model.organs import conditioned, organ_of, palettes, style_of
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Region, Style

SECTIONS = organs.SECTIONS.read_text("utf-8")
KNOWN = ("colon", "fat", "skin", "thyroid")


def slide(seed: int = 7, organ: str = "") -> Slide:
    return Slide("s", seed, organ=organ)


def test_an_organ_is_chosen_or_drawn_from_the_seed() -> None:
    assert organ_of(slide(organ="skin"), KNOWN) == "skin"
    drawn = [organ_of(slide(seed), KNOWN) for seed in range(40)]
    assert drawn == [organ_of(slide(seed), KNOWN) for seed in range(40)]
    assert set(drawn) == {"colon", "fat", "skin"}, "thyroid has no sections, so it is chosen only"
    assert organ_of(slide(2**64 - 1), KNOWN) in KNOWN and organ_of(slide(), ()) == ""


def test_an_unknown_organ_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(SlideError, match="organ 'heart': model mini was trained on colon, fat, skin, thyroid"):
        organ_of(slide(organ="heart"), KNOWN)
    with pytest.raises(SlideError, match="its weights know no organs"):
        organ_of(slide(organ="skin"), ())


def test_in_the_name_of_an_organ_an_underscore_may_stand_for_a_space() -> None:
    known = ("lymph node", "soft_tissue", "skin")
    for text, organ in {"lymph_node": "lymph node", "lymph node": "lymph node", "soft_tissue": "soft_tissue"}.items():
        assert organ_of(slide(organ=text), known) == organ
    reference = Reference(None, (Region(0, 0, 4000, 4000, style_of("lymph_node", 1)),))
    like = conditioned(slide(organ="skin"), reference, known, real=False)
    assert like is not None and like.regions[0].style.organ == "lymph node"
    bare = conditioned(slide(), reference, known, real=True)
    assert bare is not None and bare.everywhere is None and bare.regions[0].style.organ == "lymph node"


def test_an_unknown_organ_of_any_length_is_named_in_a_line_and_no_region_is_told_to_be_drawn() -> None:
    with pytest.raises(
        SlideError, match="choose one of these, or leave it out to have one drawn from the seed"
    ) as told:
        organ_of(slide(organ="x" * 100_000), KNOWN)
    assert len(str(told.value)) < 300 and f"organ '{'x' * 56}...: model" in str(told.value)
    reference = Reference(None, (Region(0, 0, 4000, 4000, style_of("heart", 1)),))
    with pytest.raises(SlideError, match=r"region 0,0,4000,4000: organ 'heart'.*; choose one of these$"):
        conditioned(slide(), reference, KNOWN, real=False)


def test_an_organ_looks_like_one_of_its_sections() -> None:
    style = style_of("colon", 3)
    assert style.organ == "colon" and not style.embedding.any()
    assert any(np.array_equal(style.colours, one) for one in palettes()["colon"])
    assert len({style_of("colon", seed).colours.tobytes() for seed in range(30)}) == len(palettes()["colon"])
    assert style_of("thyroid", 3).colours.shape == (5, 3)


def test_a_slide_is_conditioned_on_its_organ() -> None:
    like = conditioned(slide(organ="fat"), None, KNOWN, real=False)
    assert like is not None and like.organs(Rect(0, 0, 512, 512), 3) == {"fat": 1.0}
    assert conditioned(slide(), None, (), real=False) is None, "a model that knows no organs"
    assert conditioned(slide(), None, KNOWN, real=True) is None, "what is below a picture shows its own organ"
    below = conditioned(slide(organ="fat"), None, KNOWN, real=True)
    assert below is not None and below.everywhere is not None and below.everywhere.organ == "fat"


def test_a_reference_keeps_its_tissue_and_its_regions() -> None:
    picture = Style(np.full(64, 0.5, np.float32), np.full((5, 3), 200, np.float32))
    region = Region(0, 0, 4000, 4000, style_of("skin", 1))
    both = conditioned(slide(organ="fat"), Reference(picture, (region,)), KNOWN, real=False)
    assert both is not None and both.everywhere is not None
    assert both.everywhere.organ == "fat" and np.array_equal(both.everywhere.embedding, picture.embedding)
    assert both.organs(Rect(2000, 2000, 512, 512), 0) == {"skin": 1.0}
    assert both.organs(Rect(40000, 40000, 512, 512), 0) == {"fat": 1.0}
    drawn = conditioned(slide(), Reference(picture, (region,)), KNOWN, real=False)
    assert drawn is not None and drawn.everywhere == picture, "none is drawn where a picture says what it is like"
    mixed = both.organs(Rect(7900, 2000, 512, 512), 0)
    assert mixed.keys() == {"fat", "skin"} and sum(mixed.values()) == pytest.approx(1)
    assert Reference.from_dict(both.as_dict()).digest == both.digest


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "cannot be read"),
        ("", "found JSONDecodeError"),
        (SECTIONS[:1000], "found JSONDecodeError"),
        ("[]", "found TypeError"),
        ("{}", "found KeyError: 'sections'"),
        ('{"sections": []}', "found ValueError: none"),
        (SECTIONS.replace("[206, 121, 148]", "[NaN, 121, 148]"), "a section of 'artery' with impossible numbers"),
        (SECTIONS.replace("[206, 121, 148]", "[206, 121]"), "found ValueError"),
        (SECTIONS.replace("60.16", "Infinity"), "a section of 'artery' with impossible numbers"),
        (SECTIONS.replace("60.16", "-60.16"), "a section of 'artery' with impossible numbers"),
        (SECTIONS.replace("0.051]", "1.051]"), "a section of 'artery' with impossible hollows"),
        (SECTIONS.replace('"artery"', "7"), "a section of 7"),
        (SECTIONS.replace("[206, 121, 148]", f"[{10**400}, 121, 148]"), "found OverflowError"),
    ],
    ids=range(13),
)
def test_measured_sections_that_are_missing_or_damaged_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, found: str
) -> None:
    assert text != SECTIONS
    path = tmp_path / "sections.json"
    if text is not None:
        path.write_text(text, "utf-8")
    monkeypatch.setattr(organs, "SECTIONS", path)
    with pytest.raises(WeightsError, match=rf"sections\.json: .*{found}.*; reinstall the package"):
        organs.sections_digest()
    path.write_text(SECTIONS, "utf-8")
    assert len(organs.groups_of("")) == len(json.loads(SECTIONS)["sections"]), "mended, it is read"

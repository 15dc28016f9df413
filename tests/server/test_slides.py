"""Slides named on the command line and in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from everslide.model.errors import SlideError
from everslide.model.organs import style_of
from everslide.model.sampling_config import SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Region, write_reference
from everslide.server.errors import NotFoundError
from everslide.server.slides import Catalogue, Entry, demo_entries, parse_spec, read_slides


def test_demos() -> None:
    demo, endless = demo_entries("mini")
    assert (demo.slide.name, demo.slide.width_px, demo.slide.height_px) == ("demo", 131072, 98304)
    assert (endless.slide.width_px, endless.slide.height_px, endless.slide.unbounded) == (2**31, 2**31, True)


@pytest.mark.parametrize(
    ("spec", "slide"),
    [
        ("a:1", Slide("a", 1)),
        ("my-slide_2:18446744073709551615", Slide("my-slide_2", 2**64 - 1)),
        ("a:1:1000x700", Slide("a", 1, 1000, 700)),
        ("a:1:unbounded", Slide("a", 1, 2**31, 2**31, unbounded=True)),
    ],
)
def test_specs(spec: str, slide: Slide) -> None:
    assert parse_spec(spec, "mini") == Entry(slide, slide.name)


@pytest.mark.parametrize(
    "spec",
    ["", "a", "a:", "a:x", "a:-1", ":1", "A:1", "../a:1", "a:1:1000", "a:1:10x10", "a:1:bounded", f"a:{2**64}", "a:1:"],
)
def test_bad_specs(spec: str) -> None:
    with pytest.raises(SlideError):
        parse_spec(spec, "mini")


def test_a_file_of_slides(tmp_path: Path) -> None:
    path = tmp_path / "slides.toml"
    path.write_text(
        '[[slide]]\nname = "a"\nseed = 3\n'
        '[[slide]]\nname = "b"\nseed = 4\ntitle = "Second"\nwidth_px = 1000\nheight_px = 700\n'
        '[[slide]]\nname = "c"\nseed = 5\nunbounded = true\nwidth_px = 4294967296\nmodel = "speckle"\n'
    )
    assert read_slides(path, "mini") == (
        [
            Entry(Slide("a", 3), "a"),
            Entry(Slide("b", 4, 1000, 700), "Second"),
            Entry(Slide("c", 5, 2**32, unbounded=True, model="speckle"), "c"),
        ],
        [],
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[slide]]\nname = "a"\nseed = 1\ncolour = 3', "slide 1: unknown field 'colour': expected name, seed"),
        ('[[slide]]\nname = "a"', "slide 1: missing field 'seed'"),
        ('[[slide]]\nname = "a"\nseed = 1\n[[slide]]\nseed = 1', "slide 2: missing field 'name'"),
        ('[[slide]]\nname = "a"\nseed = "1"', "slide 1: field 'seed': expected a whole number, found '1'"),
        ('[[slide]]\nname = "a"\nseed = true', "slide 1: field 'seed': expected a whole number, found True"),
        (
            '[[slide]]\nname = "a"\nseed = 1\nunbounded = 1',
            "slide 1: field 'unbounded': expected true or false, found 1",
        ),
        ('[[slide]]\nname = "a"\nseed = -1', "slide 1: slide a: seed -1 is not in"),
        ('[[slide]]\nname = "A"\nseed = 1', "slide 1: slide name 'A'"),
        ("", "missing field 'slide'"),
        ("slide = 3", "missing field 'slide'"),
        ("slides = []", "unknown field 'slides'"),
        ("[[slide", "slide 1: cannot be read as TOML"),
    ],
)
def test_bad_files_name_the_file_and_the_field(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "slides.toml"
    path.write_text(text)
    _, wrong = read_slides(path, "mini")
    assert len(wrong) == 1 and wrong[0].startswith(f"{path}: {reason}")


GOOD = '[[slide]]\nname = "good"\nseed = 3\n'


@pytest.mark.parametrize(
    ("slip", "reason"),
    [
        ('[[slide]]\nname = "bad\nseed = 1\n', "slide 2: cannot be read as TOML: Illegal character '\\n' (at line 5"),
        ('[[slide]]\nname = "bad"\nseed = 1,\n', "slide 2: cannot be read as TOML: Expected newline"),
        ('[[slide]]\nname = "bad"\nseed = 1\nseed = 2\n', "slide 2: cannot be read as TOML: Cannot overwrite a value"),
        ('[[slide\nname = "bad"\nseed = 1\n', "slide 2: cannot be read as TOML: Expected ']]'"),
        ('[[slide]]\nname = "good"\nseed = 1\n', "slide 2: another slide is named 'good'"),
        ('[[slide]]\nname = "bad"\nseed = 1\nmodel = "maxi"\n', "slide 2: model 'maxi': expected one of mini"),
        ('[[slide]]\nname = "bad"\nseed = 1\nparent = "nowhere.png"\nmpp = 2.0\n', "slide 2: "),
        ("colour = 3\n", "slide 1: unknown field 'colour'"),
        (f'[[slide]]\nname = "bad"\nseed = {"9" * 5000}\n', "slide 2: cannot be read as TOML: Exceeds the limit"),
        (f'[[slide]]\nname = "bad"\nseed = {"[" * 3000}{"]" * 3000}\n', "slide 2: cannot be read as TOML: maximum"),
        ('[[slide]]\nname = "bad"\nseed = 1\nparent = "~nobody-x/a"\nmpp = 2\n', "slide 2: field 'parent': '~nobody"),
    ],
)
def test_a_slip_in_a_file_costs_its_slide_and_no_other(tmp_path: Path, slip: str, reason: str) -> None:
    path = tmp_path / "slides.toml"
    path.write_text(f"{GOOD}{slip}{GOOD.replace('good', 'last')}")
    entries, wrong = read_slides(path, "mini")
    assert [entry.slide.name for entry in entries][-1:] == ["last"]
    assert "bad" not in [entry.slide.name for entry in entries]
    assert len(wrong) == 1 and wrong[0].startswith(f"{path}: {reason}") and "\n" not in wrong[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_a_file_as_editors_save_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "slides.toml"
    path.write_bytes('[[slide]]\r\nname = "a"\r\nseed = 1\r\ntitle = "Drüse"\r\n'.encode(encoding))
    entries, wrong = read_slides(path, "mini")
    assert [entry.title for entry in entries] == ["Drüse"]
    assert len(wrong) == (encoding == "cp1252")


def test_a_file_whose_lines_end_as_on_old_macs(tmp_path: Path) -> None:
    path = tmp_path / "slides.toml"
    path.write_bytes(
        f"{GOOD}{GOOD.replace('good', 'bad')}x\n{GOOD.replace('good', 'last')}".replace("\n", "\r").encode()
    )
    entries, wrong = read_slides(path, "mini")
    assert [entry.slide.name for entry in entries] == ["good", "last"]
    assert len(wrong) == 1 and "at line 7" in wrong[0]


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("A\\u0000\\tB", "A B"),
        ("\\u202eabc\\u2066", "abc"),
        ("\\u200b \\u00ad", "a"),
        ("", "a"),
        ("می‌خواهم", "می‌خواهم"),
    ],
)
def test_titles_are_one_line_that_can_be_seen(tmp_path: Path, title: str, shown: str) -> None:
    path = tmp_path / "slides.toml"
    path.write_text(f'[[slide]]\nname = "a"\nseed = 1\ntitle = "{title}"\n', "utf-8")
    assert [entry.title for entry in read_slides(path, "mini")[0]] == [shown]


def test_steps_and_guidance_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "slides.toml"
    path.write_text('[[slide]]\nname = "a"\nseed = 1\nsteps = 2\nguidance = 2.5\n[[slide]]\nname = "b"\nseed = 1\n')
    assert [entry.slide.sampling for entry in read_slides(path, "mini")[0]] == [
        SamplingConfig(2, 2.5),
        SamplingConfig(),
    ]
    path.write_text('[[slide]]\nname = "a"\nseed = 1\nguidance = 3\n')
    assert [entry.slide.sampling.key for entry in read_slides(path, "mini")[0]] == ["-guidance3.0"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("steps = 0", "steps 0: expected 1 or more; leave them out for the model's own"),
        ('steps = "2"', "field 'steps': expected a whole number, found '2'"),
        ("guidance = 0.5", "guidance 0.5: expected a number from 1 on; leave it out for none"),
        ("guidance = '2'", "field 'guidance': expected a number, found '2'"),
        (f"guidance = {'9' * 400}", "field 'guidance': expected a number"),
        ("manner = 2", "unknown field 'manner'"),
    ],
)
def test_wrong_steps_and_guidance_in_a_file(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "slides.toml"
    path.write_text(f'[[slide]]\nname = "a"\nseed = 1\n{line}\n')
    assert [line.startswith(f"{path}: slide 1: {reason}") for line in read_slides(path, "mini")[1]] == [True]


def test_a_file_without_an_end_is_reported() -> None:
    with pytest.raises(SlideError, match="/dev/zero: expected at most 16777216 bytes"):
        read_slides(Path("/dev/zero"), "mini")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"nothing\.toml"):
        read_slides(tmp_path / "nothing.toml", "mini")


def test_catalogue() -> None:
    entries = (parse_spec("b:1", "mini"), parse_spec("a:2", "mini"))
    catalogue = Catalogue(entries)
    assert list(catalogue) == list(entries)
    assert catalogue["a"] is entries[1]
    with pytest.raises(NotFoundError, match="one of the slides b, a; found 'c'"):
        catalogue["c"]


def test_two_slides_of_one_name() -> None:
    with pytest.raises(SlideError, match="two slides are named 'a'"):
        Catalogue((parse_spec("a:1", "mini"), parse_spec("a:2", "mini")))


@pytest.mark.parametrize("x_um", [-1.0, 400.0, 1e9])
def test_a_region_beside_its_slide_is_told_and_the_slide_left_out(tmp_path: Path, x_um: float) -> None:
    write_reference(tmp_path / "one.json", Reference(None, (Region(x_um, 0.0, 200.0, 100.0, style_of("skin", 1)),)))
    path = tmp_path / "slides.toml"
    path.write_text(
        '[[slide]]\nname = "small"\nseed = 3\nwidth_px = 1000\nheight_px = 700\nreference = "one.json"\n'
        '[[slide]]\nname = "other"\nseed = 4\n'
    )
    entries, wrong = read_slides(path, "mini")
    assert [entry.slide.name for entry in entries] == ["other"]
    assert len(wrong) == 1 and "region 1 of its reference: expected a part of the slide of 500 x 350 um" in wrong[0]


def test_a_region_of_a_slide_without_an_end_lies_anywhere_on_it(tmp_path: Path) -> None:
    write_reference(tmp_path / "one.json", Reference(None, (Region(1e8, 0.0, 200.0, 100.0, style_of("skin", 1)),)))
    path = tmp_path / "slides.toml"
    path.write_text('[[slide]]\nname = "endless"\nseed = 3\nunbounded = true\nreference = "one.json"\n')
    entries, wrong = read_slides(path, "mini")
    assert [entry.slide.name for entry in entries] == ["endless"] and not wrong

"""A slide's identity: it changes with each thing that can change a pixel, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy

from everslide.model import organs
from everslide.model.geometry import WindowGrid
from everslide.model.mini.sections import load_section_painter, make_sketch
from everslide.model.pyramid import keyed_noise as noise
from everslide.model.pyramid import painter, sketch
from everslide.model.pyramid.fake_model import SpeckleModel
from everslide.model.pyramid.painter import Painter, identity
from everslide.model.pyramid.top import ImageTop
from everslide.model.pyramid.windows import LocalWindows
from everslide.model.sampling_config import SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import COLOURS, Reference, Style
from tests.model.painting import ForgetfulTiles
from tests.model.pictures import tissue

SLIDE = Slide("a", 1)
PICTURE = tissue(64, 64)
LOOK = Style(np.zeros(64, np.float32), np.full((COLOURS, 3), 150, np.float32))


class Other(SpeckleModel):
    """As of another library, device, thread count or weights: models hash those into their fingerprint."""

    fingerprint = "0dd"


class Coarser(SpeckleModel):
    grid = WindowGrid(256, 192)


def of(slide: Slide = SLIDE, model: SpeckleModel | None = None, top: ImageTop | None = None) -> str:
    return identity(slide, LocalWindows(model or SpeckleModel()), top or make_sketch(slide), None)


def liked() -> str:
    reference = Reference(LOOK)
    return identity(SLIDE, LocalWindows(SpeckleModel()), make_sketch(SLIDE, reference=reference), reference)


CHANGES: dict[str, Callable[[], str]] = {
    "seed": lambda: of(replace(SLIDE, seed=2)),
    "width": lambda: of(replace(SLIDE, width_px=4096)),
    "without an end": lambda: of(replace(SLIDE, width_px=2**31, height_px=2**31, unbounded=True)),
    "steps": lambda: of(replace(SLIDE, sampling=SamplingConfig(2))),
    "guidance": lambda: of(replace(SLIDE, sampling=SamplingConfig(guidance=2))),
    "weights, library or device": lambda: of(model=Other()),
    "grid of windows": lambda: of(model=Coarser()),
    "picture": lambda: of(top=ImageTop(PICTURE, 3)),
    "a pixel of the picture": lambda: of(top=ImageTop(np.where(np.arange(64)[:, None, None] == 5, 9, PICTURE), 3)),
    "scale of the picture": lambda: of(top=ImageTop(PICTURE, 4)),
    "reference": liked,
}


def test_each_thing_that_can_change_a_pixel_changes_it() -> None:
    found = {"none": of(), **{name: change() for name, change in CHANGES.items()}}
    assert len(set(found.values())) == len(found), found


STAGES = (
    (painter, "PYRAMID_FORMAT"),
    (noise, "SEED_FORMAT"),
    (sketch, "SKETCH_FORMAT"),
    (sketch, "LAYOUT_FORMAT"),
    (load_section_painter(), "fingerprint"),
    (np, "__version__"),
    (scipy, "__version__"),
)


@pytest.mark.parametrize(("module", "name"), STAGES, ids=lambda each: getattr(each, "__name__", each))
def test_so_does_the_version_of_each_stage_and_library(
    module: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = of()
    monkeypatch.setattr(module, name, "99")
    assert of() != before


def test_so_do_the_measured_sections_that_a_sketch_is_drawn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, picture = of(), of(top=ImageTop(PICTURE, 3))
    (tmp_path / "sections.json").write_text(organs.SECTIONS.read_text("utf-8") + "\n", "utf-8")
    monkeypatch.setattr(organs, "SECTIONS", tmp_path / "sections.json")
    assert of() != before
    assert of(top=ImageTop(PICTURE, 3)) == picture, "nothing is drawn there"


def test_a_name_does_not_and_a_painter_says_the_same() -> None:
    assert of(replace(SLIDE, name="b")) == of() == of()
    assert Painter(SLIDE, SpeckleModel(), ForgetfulTiles(), make_sketch(SLIDE)).fingerprint == of()

"""A prepared folder packed for another machine: small, prepared again there, and of the same splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from everslide.model.errors import DataError
from everslide.model.training.pack import pack
from everslide.model.training.prepare import plane, prepare
from tests.model.pictures import section, tissue, write_images


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("packed")
    fields = {
        "a.png": (tissue(700, 700, 1), 0.5),
        "b.png": (tissue(500, 700, 2), 2.0),
        "c.png": (section(900, 200), 0.5),
    }
    prepare(write_images(base / "images", fields), base / "out", ["b*"], ["c*"])
    return base / "out"


def test_what_is_packed_is_prepared_again(prepared: Path, tmp_path: Path) -> None:
    size = pack(prepared, tmp_path / "kit", 30)
    assert size == sum(path.stat().st_size for path in (tmp_path / "kit").iterdir())
    again = prepare(tmp_path / "kit", tmp_path / "there", ["held-out__*"], ["validation__*"])
    assert {(x.name, x.split, x.finest) for x in again if x.kind == "field"} == {
        ("train__a", "train", 0),
        ("held-out__b", "held-out", 2),
        ("validation__c", "validation", 0),
    }
    (whole,) = (x for x in again if x.name == "train__a")
    assert plane(tmp_path / "there", whole, 0).shape == (700, 700, 3)
    difference = np.abs(plane(tmp_path / "there", whole, 0).astype(int) - tissue(700, 700, 1).astype(int)).mean()
    assert difference < 8, "the picture itself, but for its compression"


def test_it_keeps_to_its_size_and_to_the_tissue(prepared: Path, tmp_path: Path) -> None:
    whole = pack(prepared, tmp_path / "whole", 30)
    size = pack(prepared, tmp_path / "kit", 0.6 * whole / 1e6)
    assert size <= 0.66 * whole
    again = prepare(tmp_path / "kit", tmp_path / "there", ["held-out__*"], ["validation__*"])
    (cut,) = (x for x in again if x.name == "validation__c")
    assert plane(tmp_path / "there", cut, 0).shape[0] < 900
    assert (plane(tmp_path / "there", cut, 0).mean(-1) < 225).mean() > 0.2, "the section lies in it"


def test_too_few_megabytes_and_a_full_folder(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hold less than 256 px of each of 3 images: allow more"):
        pack(prepared, tmp_path / "kit", 0.001)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(DataError, match="expected an empty or new folder"):
        pack(prepared, tmp_path / "full", 30)

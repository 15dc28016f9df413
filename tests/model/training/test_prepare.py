"""Prepared pyramids: box means, splits by whole files, licences, scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from everslide.model.errors import DataError
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.training import prepare as module
from everslide.model.training.prepare import Prepared, plane, prepare, read_index, write_pyramid
from tests.model.pictures import GLASS, section, tissue, write_images


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two fields at 0.5 um/px and one at 4 um/px."""
    fields = {
        "Colon 1.png": (tissue(300, 260, 1), 0.5),
        "breast.png": (tissue(256, 256, 2), 0.5),
        "far.png": (tissue(128, 200, 3), 4.0),
    }
    return write_images(tmp_path / "images", fields)


def test_planes_and_splits(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepared = prepare(images, out, ["breast*"])
    expected = [
        Prepared("colon-1", "train", "field", 0, 2, licence="CC0"),
        Prepared("breast", "held-out", "field", 0, 2, licence="CC0"),
        Prepared("far", "train", "field", 3, 4, licence="CC0"),
    ]
    assert sorted(prepared, key=lambda x: x.name) == sorted(expected, key=lambda x: x.name)
    assert read_index(out) == prepared
    assert json.loads((out / "index.json").read_text())["format"] == 1
    np.testing.assert_array_equal(plane(out, expected[0], 0), tissue(300, 260, 1))
    np.testing.assert_array_equal(plane(out, expected[2], 3), tissue(128, 200, 3))


def test_planes_are_box_means_of_the_plane_below(images: Path, tmp_path: Path) -> None:
    for image in prepare(images, tmp_path / "out", []):
        for s in range(image.finest, image.coarsest):
            fine, coarse = plane(tmp_path / "out", image, s), plane(tmp_path / "out", image, s + 1)
            high, wide = (side // 2 * 2 for side in fine.shape[:2])
            np.testing.assert_array_equal(coarse, box_mean(np.asarray(fine[:high, :wide])))
            assert coarse.dtype == np.uint8


def test_an_image_between_two_scales_is_made_coarser(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", {"a.png": (tissue(200, 200), 0.8)})
    (image,) = prepare(images, tmp_path / "out", [])
    assert image.finest == 1 and plane(tmp_path / "out", image, 1).shape == (160, 160, 3)


@pytest.mark.parametrize(("um_per_px", "side"), [(0.25, 100), (0.49, 196), (0.505, 200)])
def test_nothing_is_finer_than_20x(tmp_path: Path, um_per_px: float, side: int) -> None:
    images = write_images(tmp_path / "images", {"a.png": (tissue(200, 200), um_per_px)})
    (image,) = prepare(images, tmp_path / "out", [])
    assert image.finest == 0
    assert plane(tmp_path / "out", image, 0).shape == (side, side, 3)


def test_whole_files_are_held_out(images: Path, tmp_path: Path) -> None:
    prepared = prepare(images, tmp_path / "out", ["Colon*", "far.png"])
    assert {x.name: x.split for x in prepared} == {"colon-1": "held-out", "breast": "train", "far": "held-out"}


def test_weights_are_chosen_on_other_files_than_they_are_reported_on(images: Path, tmp_path: Path) -> None:
    prepared = prepare(images, tmp_path / "out", ["breast*"], ["far*"])
    assert {x.name: x.split for x in prepared} == {"colon-1": "train", "breast": "held-out", "far": "validation"}
    assert read_index(tmp_path / "out") == prepared


def test_what_is_held_out_is_not_chosen_on(images: Path, tmp_path: Path) -> None:
    """A file that both patterns name is kept for reports."""
    prepared = prepare(images, tmp_path / "out", ["breast*"], ["*r*"])
    assert {x.name: x.split for x in prepared} == {"colon-1": "train", "breast": "held-out", "far": "validation"}


def listed(images: Path, **entries: dict[str, object]) -> None:
    """Change entries of the manifest; those that become empty are left out."""
    manifest = json.loads((images / "manifest.json").read_text())
    for name, values in entries.items():
        manifest[f"{name}.png"] = values
    (images / "manifest.json").write_text(json.dumps(manifest))


def test_licence_and_organ_are_those_of_the_manifest(images: Path, tmp_path: Path) -> None:
    listed(images, breast={"um_per_px": 0.5, "licence": "CC BY 4.0", "organ": "breast"}, far={"um_per_px": 4.0})
    found = {x.name: (x.licence, x.organ) for x in prepare(images, tmp_path / "out", [], licence="MIT")}
    assert found == {"colon-1": ("CC0", ""), "breast": ("CC BY 4.0", "breast"), "far": ("MIT", "")}
    index = json.loads((tmp_path / "out" / "index.json").read_text())["images"]
    assert {x["name"]: x["licence"] for x in index} == {"colon-1": "CC0", "breast": "CC BY 4.0", "far": "MIT"}


def test_images_without_a_licence_are_refused_before_anything_is_written(images: Path, tmp_path: Path) -> None:
    listed(images, breast={"um_per_px": 0.5}, far={"um_per_px": 4.0, "licence": ""})
    with pytest.raises(DataError, match=r"images without a licence: 2, breast\.png the first: .*manifest.*--licence"):
        prepare(images, tmp_path / "out", [])
    assert not (tmp_path / "out").exists()


def test_two_images_of_one_name_are_refused(images: Path, tmp_path: Path) -> None:
    """Their planes would overwrite each other: a folder is named after the file, in small letters."""
    write_images(images / "more", {"COLON 1.png": (tissue(256, 256, 9), 0.5)})
    listed(images, **{"more/COLON 1": {"um_per_px": 0.5, "licence": "CC0"}})
    with pytest.raises(DataError, match="two images are named colon-1"):
        prepare(images, tmp_path / "out", [])
    assert not (tmp_path / "out").exists()


def test_a_pattern_that_matches_nothing(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pattern 'lung\*' of the held-out images matches no image; found .*breast"):
        prepare(images, tmp_path / "out", ["lung*"])
    with pytest.raises(DataError, match=r"pattern 'lung\*' of the validation images matches no image"):
        prepare(images, tmp_path / "out", ["breast*"], ["lung*"])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_was_not_prepared(images: Path) -> None:
    with pytest.raises(DataError, match=r"no index\.json; make the folder with `everslide prepare"):
        read_index(images)
    with pytest.raises(DataError, match="expected a folder of images"):
        prepare(images / "none", images / "out", [])


def test_pyramids_end_before_they_are_tiny(tmp_path: Path) -> None:
    planes = write_pyramid(tmp_path, tissue(301, 260), 2)
    assert {s: pixels.shape[:2] for s, pixels in planes.items()} == {2: (301, 260), 3: (150, 130), 4: (75, 65)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s2.npy", "s3.npy", "s4.npy"]
    assert list(write_pyramid(tmp_path / "small", tissue(20, 30), 7)) == [7], "the finest plane is kept in any case"


def test_scenes_are_composed_of_each_split_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCENE_KINDS", ((5, 320, 256),))
    monkeypatch.setattr(module, "SCENES", {"train": (2,), "validation": (1,), "held-out": (1,)})
    sections = {"a.png": (section(200, 80, 1), 16.0), "b.png": (section(180, 75, 2), 16.0)}
    images = write_images(tmp_path / "images", sections)
    prepared = prepare(images, tmp_path / "out", ["b.png"])
    scenes = {x.name: x for x in prepared if x.kind == "scene"}
    assert {name: x.split for name, x in scenes.items()} == {
        "scene-s6-train-000": "train", "scene-s6-train-001": "train", "scene-s6-held-out-000": "held-out",
    }  # fmt: skip
    assert {(x.finest, x.coarsest) for x in scenes.values()} == {(6, 7)}
    first = np.array(plane(tmp_path / "out", scenes["scene-s6-train-000"], 6))
    assert first.shape == (128, 160, 3)
    prepare(images, tmp_path / "again", ["b.png"])
    np.testing.assert_array_equal(first, plane(tmp_path / "again", scenes["scene-s6-train-000"], 6))
    prepare(images, tmp_path / "seeded", ["b.png"], seed=1)
    assert not np.array_equal(first, plane(tmp_path / "seeded", scenes["scene-s6-train-000"], 6))


def test_scenes_are_as_sharp_as_the_sections_that_they_are_composed_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turning a section blurs it, and whoever learns from it."""
    monkeypatch.setattr(module, "SCENE_KINDS", ((5, 512, 512),))
    monkeypatch.setattr(module, "SCENES", {"train": (4,), "validation": (0,), "held-out": (0,)})
    grain = np.random.default_rng(3).normal(0, 25, (200, 200, 1))
    pixels = np.where(section(200, 80, 1) < 225, (section(200, 80, 1) + grain).clip(0, 220), GLASS).astype(np.uint8)
    prepared = prepare(write_images(tmp_path / "images", {"a.png": (pixels, 16.0)}), tmp_path / "out", [])

    def sharpness(kind: str) -> float:
        planes = [np.array(plane(tmp_path / "out", x, 6)).astype(float) for x in prepared if x.kind == kind]
        dark = [np.abs(np.diff(x, axis=1))[(x[:, 1:] < 200) & (x[:, :-1] < 200)] for x in planes]
        return float(np.concatenate(dark).mean())

    assert sharpness("scene") > 0.8 * sharpness("field")


@pytest.mark.parametrize("text", ["{", "{}", '{"images": [{"name": "a"}]}', "\xff"])
def test_an_index_that_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"index\.json: not a whole index .*make the folder again"):
        read_index(tmp_path)

"""Real images: found by manifest or by their own resolution, read at a wanted one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from everslide.model.errors import DataError, ImageError
from everslide.model.image_io import source_image as sources
from everslide.model.image_io.source_image import SourceImage, find_sources, is_slide, read_at, read_slide
from tests.model.pictures import missing, tissue, write_images

FIELD = tissue(512, 768)


@pytest.fixture
def large_image() -> None:
    """Whole-slide files can be read, or the test is skipped."""
    try:
        import large_image  # noqa: F401
    except ImportError:
        missing("large_image is not installed: whole-slide files are not tested")


def write_slide(path: Path, um_per_px: float | None) -> Path:
    """A pyramidal TIFF of FIELD, with its resolution or without."""
    import tifffile

    with tifffile.TiffWriter(path) as file:
        for zoom in (1, 2):
            dots = (1e4 / um_per_px / zoom,) * 2 if um_per_px else None
            file.write(
                FIELD[::zoom, ::zoom],
                tile=(256, 256),
                photometric="rgb",
                resolution=dots,
                resolutionunit="CENTIMETER" if dots else None,
                subfiletype=int(zoom > 1),
            )
    return path


def test_images_of_a_manifest(tmp_path: Path) -> None:
    write_images(tmp_path, {"b.png": (FIELD, 0.5), "a.jpg": (FIELD, 4.0)})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["notes.txt"] = {"um_per_px": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "unlisted.png").write_bytes((tmp_path / "b.png").read_bytes())
    assert find_sources(tmp_path) == [
        SourceImage(tmp_path / "a.jpg", 4.0, "CC0"),
        SourceImage(tmp_path / "b.png", 0.5, "CC0"),
    ]


def test_a_manifest_says_licence_and_organ_or_nothing(tmp_path: Path) -> None:
    listed = {"a.png": {"um_per_px": 0.5, "licence": "CC BY 4.0", "organ": "colon"}, "b.png": {"um_per_px": 1}}
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    assert [(source.licence, source.organ) for source in find_sources(tmp_path)] == [("CC BY 4.0", "colon"), ("", "")]


@pytest.mark.parametrize("um_per_px", [0, -1, "nan"])
def test_a_resolution_must_be_a_length(tmp_path: Path, um_per_px: object) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"a.png": {"um_per_px": um_per_px}}))
    with pytest.raises(DataError, match=r"expected um_per_px above 0 for a\.png"):
        find_sources(tmp_path)


def test_names() -> None:
    assert SourceImage(Path("x/Lymph Node 3.SVS"), 0.5).name == "lymph-node-3"


@pytest.mark.parametrize("content", [None, "{}"])
def test_folders_without_images(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"no whole-slide file and no manifest\.json"):
        find_sources(tmp_path)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a folder of images"):
        find_sources(tmp_path / "none")


@pytest.mark.parametrize("content", ["{", '{"a.png": {}}', '{"a.png": {"um_per_px": "half"}}', "[]"])
def test_a_manifest_that_cannot_be_understood(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json"):
        find_sources(tmp_path)


def test_a_plain_image_is_read_as_it_is(tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": (FIELD, 0.5)})
    np.testing.assert_array_equal(read_at(SourceImage(tmp_path / "a.png", 0.5), 0.5), FIELD)
    half = read_at(SourceImage(tmp_path / "a.png", 0.5), 1.0)
    assert half.shape == (256, 384, 3) and half.dtype == np.uint8
    mean = FIELD.reshape(256, 2, 384, 2, 3).mean((1, 3))
    assert float(np.abs(half - mean).mean()) < 3


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(FIELD[..., 0]).save(tmp_path / "grey.png")
    assert read_at(SourceImage(tmp_path / "grey.png", 1.0), 1.0).shape == (512, 768, 3)


def test_no_image_is_read_finer_than_it_is(tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": (FIELD, 2.0)})
    with pytest.raises(ImageError, match=r"a\.png: has 2\.0 um/px and cannot be read at the finer 1\.0"):
        read_at(SourceImage(tmp_path / "a.png", 2.0), 1.0)


def test_unreadable_and_huge_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(ImageError, match=r"broken\.png: expected a readable RGB image"):
        read_at(SourceImage(tmp_path / "broken.png", 1.0), 1.0)
    with pytest.raises(ImageError, match=r"none\.png"):
        read_at(SourceImage(tmp_path / "none.png", 1.0), 1.0)
    write_images(tmp_path, {"a.png": (FIELD, 1.0)})
    limit = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(sources, "MAX_PIXELS", 512 * 768 - 1)
    with pytest.raises(ImageError, match=r"a\.png: claims 768 x 512 px, expected at most"):
        read_at(SourceImage(tmp_path / "a.png", 1.0), 1.0)
    assert limit == Image.MAX_IMAGE_PIXELS, "Pillow's own limit is left as it was"


@pytest.mark.usefixtures("large_image")
def test_a_pyramidal_tiff_carries_its_own_resolution(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "slide.tif", 0.5)
    (source,) = find_sources(tmp_path)
    assert source.path == path and source.mpp == pytest.approx(0.5)
    np.testing.assert_array_equal(read_at(source, 0.5), FIELD)
    np.testing.assert_array_equal(read_at(source, 1.0), FIELD[::2, ::2])


@pytest.mark.usefixtures("large_image")
def test_a_slide_and_its_plain_twin_count_once(tmp_path: Path) -> None:
    write_slide(tmp_path / "slide.tif", 0.5)
    write_images(tmp_path, {"slide.png": (FIELD, 0.5)})
    assert [source.path.name for source in find_sources(tmp_path)] == ["slide.png"]


@pytest.mark.usefixtures("large_image")
def test_files_that_are_no_slides_are_taken_for_what_they_are(tmp_path: Path) -> None:
    Image.fromarray(FIELD).save(tmp_path / "named.svs", "PNG")
    assert not is_slide(tmp_path / "named.svs")
    for content, kind in ((b"", "it is an empty file"), (b"<!doctype html>", "it is a web page")):
        (tmp_path / "other.ndpi").write_bytes(content)
        assert is_slide(tmp_path / "other.ndpi")
        with pytest.raises(ImageError, match=rf"other\.ndpi: large_image cannot read it: .*; {kind}"):
            read_slide(tmp_path / "other.ndpi", 2.0)


@pytest.mark.usefixtures("large_image")
def test_slides_that_cannot_be_used(tmp_path: Path) -> None:
    write_slide(tmp_path / "slide.tif", None)
    with pytest.raises(ImageError, match=r"slide\.tif: carries no resolution"):
        find_sources(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "other.tif").write_bytes(b"II*\0 no slide")
    with pytest.raises(ImageError, match=r"other\.tif: large_image cannot read it"):
        find_sources(tmp_path / "broken")
    with pytest.raises(ImageError, match=r"other\.tif: large_image cannot read it"):
        read_at(SourceImage(tmp_path / "broken" / "other.tif", 0.5), 0.5)

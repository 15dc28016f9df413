"""`everslide export`: what a file's name says, and what is reported before anything is painted."""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from PIL import Image

from everslide.server.cli import main
from everslide.server.encode import JPEG, PNG
from everslide.server.errors import MalformedError
from everslide.server.exporting import kind_of
from everslide.server.journal import Journal


def export(folder: Path, *flags: str, slide: str = "demo") -> Result:
    return CliRunner().invoke(main, ["export", slide, "--model", "speckle", "--cache", str(folder / "cache"), *flags])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.ome.tiff", "tiff"),
        ("x.OME.TIF", "tiff"),
        ("x.tif", "tiff"),
        ("x.TIFF", "tiff"),
        ("x.PNG", PNG),
        ("x.Jpg", JPEG),
        ("x.JPEG", JPEG),
        ("x.DZI", "dzi"),
        ("ä x.y.png", PNG),
    ],
)
def test_a_suffix_in_any_case_says_what_the_file_is(name: str, kind: object) -> None:
    assert kind_of(Path(name)) == kind


@pytest.mark.parametrize("name", ["x", "x.webp", "x.svs", ".png", "x.png.txt"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MalformedError, match="expected a file that ends in"):
        kind_of(Path(name))
    done = export(tmp_path, "--out", str(tmp_path / name))
    assert done.exit_code == 1 and "expected a file that ends in .tiff, .tif, .png" in done.output


def test_files_in_capitals_are_written(tmp_path: Path) -> None:
    region = ("--region", "2048,2048,600,400")
    for name in ("a.TIF", "b.PNG", "c.JPG", "d.DZI"):
        done = export(tmp_path, *region, "--out", str(tmp_path / name))
        assert done.exit_code == 0, done.output
        assert (tmp_path / name).stat().st_size
    with tifffile.TiffFile(tmp_path / "a.TIF") as tiff:
        assert tiff.is_ome and len(tiff.series[0].levels) == 3
    for name, kind in (("b.PNG", "PNG"), ("c.JPG", "JPEG")):
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
    assert (tmp_path / "d_files").is_dir()


def test_a_dry_run_reports_how_much_there_is_and_paints_nothing(tmp_path: Path) -> None:
    done = export(tmp_path, "--out", str(tmp_path / "x.tif"), "--dry-run")
    assert done.exit_code == 0
    assert "131072 x 98304 px in 9 levels: 262144 tiles" in done.output
    assert "if none is painted yet" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    field = export(tmp_path, "--region", "60000,20000,2048,1536", "--out", str(tmp_path / "x.png"), "--dry-run")
    assert "2048 x 1536 px: 48 tiles" in field.output


def test_what_there_is_to_paint_is_reported_first(tmp_path: Path) -> None:
    done = export(tmp_path, "--region", "2048,2048,300,300", "--out", str(tmp_path / "x.png"))
    assert done.output.index("300 x 300 px: 4 tiles") < done.output.index("SYNTHETIC")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--region", "0,0,70000,200", "--out", "x.JPG"), "at most 65500 px a side, which is where jpeg ends"),
        (("--region", "0,0,9000,9000", "--out", "x.png"), "at most 64000000 pixels"),
        (("--out", "x.jpeg"), "at most 64000000 pixels"),
    ],
)
def test_limits_are_reported_before_painting(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    *rest, name = flags
    done = export(tmp_path, *rest, str(tmp_path / name))
    assert done.exit_code == 1
    assert words in done.output
    assert not list((tmp_path / "cache").rglob("*.png"))


@pytest.mark.parametrize("magnification", ["1e-320", "1e308", "0", "3"])
def test_what_is_no_magnification_is_reported(tmp_path: Path, magnification: str) -> None:
    done = export(tmp_path, "--out", str(tmp_path / "x.png"), "--magnification", magnification)
    assert done.exit_code == 1 and "expected 20, 10, 5" in done.output


@pytest.mark.parametrize("magnification", ["inf", "nan", "-5", "twenty"])
def test_what_is_no_number_is_reported_with_its_flag(tmp_path: Path, magnification: str) -> None:
    done = export(tmp_path, "--out", str(tmp_path / "x.png"), "--magnification", magnification)
    assert done.exit_code == 2 and "--magnification" in done.output and not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("name", ["x.png", "x.jpeg", "x.tif", "x.dzi"])
@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_place_that_cannot_be_written_is_reported_before_painting(tmp_path: Path, name: str, folder: str) -> None:
    (tmp_path / "file").write_text("in the way")
    done = export(tmp_path, "--region", "2048,2048,256,256", "--out", str(tmp_path / folder / name))
    if (name, folder) == ("x.dzi", "missing"):
        assert done.exit_code == 0, done.output
        return
    assert done.exit_code == 1 and "no folder" in done.output
    assert "tiles" not in done.output and not (tmp_path / "cache").exists(), "nothing was painted"


@pytest.mark.parametrize("name", [f"{'x' * 251}.png", f"{'x' * 250}.tif", "taken.png", "taken.tif"])
def test_a_name_that_cannot_be_written_is_reported_before_painting(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken.png.new").mkdir()
    (tmp_path / "taken.tif.part").mkdir()
    done = export(tmp_path, "--region", "2048,2048,256,256", "--out", str(tmp_path / name))
    assert done.exit_code == 1 and "expected a file that can be written" in done.output
    assert "tiles" not in done.output and not (tmp_path / "cache").exists(), "nothing was painted"
    assert len(list(tmp_path.iterdir())) == 2, "nothing was left"


def test_a_folder_of_something_else_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x_files").mkdir()
    (tmp_path / "x_files" / "everslide.txt").write_bytes(b"\xff\xfe")
    done = export(tmp_path, "--region", "2048,2048,256,256", "--out", str(tmp_path / "x.dzi"))
    assert done.exit_code == 1 and "holds another export" in done.output


def test_a_picture_of_an_odd_region_is_of_that_region(tmp_path: Path) -> None:
    done = export(tmp_path, "--region", "2049,2051,301,777", "--out", str(tmp_path / "x.png"))
    assert "301 x 777 px: 8 tiles" in done.output
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (301, 777 + 20) and "region 2049,2051 301x777" in image.info["Comment"]


@pytest.mark.parametrize("name", ["x.png", "x.JPG", "x.tif", "x.dzi"])
def test_a_file_that_is_there_is_replaced_only_by_request(tmp_path: Path, name: str) -> None:
    out, small = tmp_path / name, ("--region", "2048,2048,256,256")
    out.write_bytes(b"somebody's own")
    refused = export(tmp_path, *small, "--out", str(out))
    assert refused.exit_code == 1
    assert "which is there already" in refused.output and "--overwrite" in refused.output
    assert "tiles" not in refused.output and not (tmp_path / "cache").exists(), "nothing was painted"
    assert out.read_bytes() == b"somebody's own"
    assert export(tmp_path, *small, "--out", str(out), "--dry-run").exit_code == 0, "it would write nothing"
    done = export(tmp_path, *small, "--out", str(out), "--overwrite")
    assert done.exit_code == 0, done.output
    assert out.read_bytes() != b"somebody's own"


def test_a_link_to_nothing_is_a_name_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "x.png").symlink_to(tmp_path / "gone.png")
    refused = export(tmp_path, "--region", "2048,2048,256,256", "--out", str(tmp_path / "x.png"))
    assert refused.exit_code == 1 and "which is there already" in refused.output


def test_a_stopped_export_of_something_else_is_replaced_only_by_request(tmp_path: Path) -> None:
    out = tmp_path / "x.tif"
    Journal(tmp_path / "x.tif.part", {"what": "hours of painting"}).add(0, 0, b"a tile")
    refused = export(tmp_path, "--region", "2048,2048,256,256", "--out", str(out))
    assert refused.exit_code == 1 and "x.tif.part, a stopped export of something else" in refused.output
    assert b"a tile" in (tmp_path / "x.tif.part").read_bytes()
    assert export(tmp_path, "--region", "2048,2048,256,256", "--out", str(out), "--overwrite").exit_code == 0
    assert not (tmp_path / "x.tif.part").exists()


def test_tiles_of_another_export_are_replaced_only_by_request_and_never_mixed(tmp_path: Path) -> None:
    out, tiles = tmp_path / "x.dzi", tmp_path / "x_files"
    assert export(tmp_path, "--region", "2048,2048,1024,512", "--out", str(out)).exit_code == 0
    out.unlink()
    (tiles / "mine.txt").write_text("keep")
    refused = export(tmp_path, "--region", "2048,2048,300,300", "--out", str(out))
    assert refused.exit_code == 1 and "holds another export" in refused.output and "--overwrite" in refused.output
    assert (tiles / "10" / "3_1.jpeg").exists()
    assert export(tmp_path, "--region", "2048,2048,300,300", "--out", str(out), "--overwrite").exit_code == 0
    assert sorted(int(path.name) for path in tiles.iterdir() if path.is_dir()) == list(range(10))
    assert (tiles / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("strange", ["a folder", "a file"])
def test_tiles_are_not_put_among_files_of_somebody(tmp_path: Path, strange: str) -> None:
    tiles = tmp_path / "x_files"
    if strange == "a file":
        tiles.write_text("mine")
    else:
        tiles.mkdir()
        (tiles / "photo.jpg").write_bytes(b"mine")
    done = export(tmp_path, "--region", "2048,2048,256,256", "--out", str(tmp_path / "x.dzi"), "--overwrite")
    assert done.exit_code == 1 and "x_files" in done.output and "name another with --out" in done.output
    assert not (tmp_path / "cache").exists(), "nothing was painted"


@pytest.mark.parametrize("slide", ["endless", "mine:5:unbounded"])
@pytest.mark.parametrize("name", ["x.tif", "x.png", "x.dzi"])
def test_a_slide_without_an_end_wants_a_region(tmp_path: Path, slide: str, name: str) -> None:
    done = export(tmp_path, "--out", str(tmp_path / name), slide=slide)
    assert done.exit_code == 1
    assert "has no end: say which part with --region X,Y,WIDTH,HEIGHT" in done.output


@pytest.mark.parametrize(("suffix", "width"), [("webp", 16384), ("webp", 20000), ("jpg", 65501)])
def test_pictures_over_http_end_where_their_format_does(client: FlaskClient, suffix: str, width: int) -> None:
    answer = client.get(f"/iiif/3/demo/0,0,{width},100/max/0/default.{suffix}")
    assert answer.status_code == 413
    assert "px a side" in answer.get_json()["error"]["expected"]


def test_an_export_over_http_ends_where_its_format_does(client: FlaskClient) -> None:
    body = {"level": 17, "x": 0, "y": 0, "width": 65_600, "height": 300, "format": "jpeg"}
    assert client.post("/slides/demo/export", json=body).status_code == 413

"""Exports: opened again by what others read them with, resumed after a stop, within memory."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import large_image
import numpy as np
import openslide
import pytest
import pyvips
import tifffile
from click.testing import CliRunner
from flask.testing import FlaskClient
from numpy.typing import NDArray
from PIL import Image

from everslide.model.geometry import Rect, TileIndex
from everslide.model.mini.sections import make_sketch
from everslide.model.mini.weights import save_weights
from everslide.server.cli import main
from everslide.server.encode import JPEG, PNG
from everslide.server.errors import NotFoundError, TooLargeError
from everslide.server.export import Pyramid, export_dzi, export_field, export_tiff, region_of
from everslide.server.journal import Journal
from everslide.server.regions import read_region
from everslide.server.tiles import TileService
from tests.bio_formats import bio_formats
from tests.model.networks import tiny_weights
from tests.server.stub import Studio, make_service, stub_pixels

MARK = "SYNTHETIC - not for diagnosis"
RECT = Rect(1000, 600, 1500, 900)


@pytest.fixture
def pyramid(service: TileService) -> Pyramid:
    return Pyramid(service, region_of(service.slide("demo"), 17, RECT))


def expected(service: TileService, rect: Rect, level: int = 17) -> NDArray[np.uint8]:
    return read_region(service, service.slide("demo"), level, rect, lambda: False)


def test_a_region_is_put_together_from_tiles(service: TileService) -> None:
    pixels = expected(service, Rect(250, 500, 20, 30))
    left, right = stub_pixels(7, TileIndex(0, 0, 2)), stub_pixels(7, TileIndex(0, 1, 2))
    np.testing.assert_array_equal(pixels[12:], np.hstack([left[:18, 250:], right[:18, :14]]))


def test_a_pyramid_begins_at_a_whole_pixel_of_every_octave(pyramid: Pyramid) -> None:
    assert pyramid.octaves == 3
    assert pyramid.region.z_rect == Rect(1000, 600, 1500, 900)
    assert [pyramid.size(octave) for octave in range(4)] == [(1500, 900), (750, 450), (375, 225), (188, 113)]
    assert [pyramid.grid(octave) for octave in range(4)] == [(6, 4), (3, 2), (2, 1), (1, 1)]
    assert pyramid.tiles == 24 + 6 + 2 + 1


@pytest.mark.parametrize("lossless", [True, False])
def test_a_tiff_opens_in_tifffile_with_its_levels(
    service: TileService, pyramid: Pyramid, tmp_path: Path, lossless: bool
) -> None:
    out = tmp_path / "x.ome.tiff"
    export_tiff(pyramid, out, lossless)
    assert [path.name for path in tmp_path.iterdir()] == ["x.ome.tiff"]
    with tifffile.TiffFile(out) as tiff:
        assert tiff.is_ome
        assert MARK in str(tiff.ome_metadata)
        assert 'PhysicalSizeX="0.5"' in str(tiff.ome_metadata)
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == [(900, 1500, 3), (450, 750, 3), (225, 375, 3), (113, 188, 3)]
        for octave, level in enumerate(levels):
            rect = Rect(1000 >> octave, 600 >> octave, *pyramid.size(octave))
            error = np.abs(level.asarray().astype(int) - expected(service, rect, 17 - octave))
            assert error.max() == 0 if lossless else error.mean() < 2


@pytest.mark.parametrize("lossless", [True, False])
def test_a_tiff_opens_in_openslide_and_large_image(
    service: TileService, pyramid: Pyramid, tmp_path: Path, lossless: bool
) -> None:
    out = tmp_path / "x.ome.tiff"
    export_tiff(pyramid, out, lossless)
    with openslide.OpenSlide(out) as slide:
        assert slide.level_dimensions == ((1500, 900), (750, 450), (375, 225), (188, 113))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5, rel=1e-4)
        assert "openslide.objective-power" not in slide.properties, "it finds that in files of scanners only: see docs"
        assert MARK in slide.properties["tiff.ImageDescription"]
        region = np.asarray(slide.read_region((300, 200), 0, (256, 256)).convert("RGB"))
    truth = expected(service, Rect(1300, 800, 256, 256)).astype(int)
    assert int(np.abs(region - truth).max()) <= (0 if lossless else 14)
    source = large_image.open(str(out), noCache=True)
    metadata = source.getMetadata()
    assert (metadata["sizeX"], metadata["sizeY"]) == (1500, 900)
    assert metadata["mm_x"] == pytest.approx(0.0005, rel=1e-4)
    assert metadata["magnification"] == 20
    assert metadata["levels"] == 4
    found, _ = source.getRegion(
        region={"left": 300, "top": 200, "width": 256, "height": 256}, format=large_image.constants.TILE_FORMAT_NUMPY
    )
    assert int(np.abs(found[:, :, :3] - truth).max()) <= (0 if lossless else 14)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_tiff_opens_in_libvips_with_its_levels(pyramid: Pyramid, tmp_path: Path, lossless: bool) -> None:
    export_tiff(pyramid, tmp_path / "x.ome.tiff", lossless)
    sizes = []
    for page in range(4):
        image = pyvips.Image.tiffload(str(tmp_path / "x.ome.tiff"), page=page)
        sizes.append((image.width, image.height))
    assert sizes == [(1500, 900), (750, 450), (375, 225), (188, 113)]
    first = pyvips.Image.tiffload(str(tmp_path / "x.ome.tiff"))
    assert MARK in first.get("image-description")
    assert first.xres == pytest.approx(2000, rel=1e-3), "pixels in a millimetre"
    below = pyvips.Image.tiffload(str(tmp_path / "x.ome.tiff"), subifd=1)
    assert (below.width, below.height) == (375, 225), "the same levels the other way"


@pytest.mark.parametrize("lossless", [True, False])
def test_a_tiff_opens_in_bio_formats_with_its_levels(pyramid: Pyramid, tmp_path: Path, lossless: bool) -> None:
    """The reader of QuPath and ImageJ."""
    export_tiff(pyramid, tmp_path / "x.ome.tiff", lossless)
    seen = bio_formats(tmp_path / "x.ome.tiff")
    assert "Checking file format [OME-TIFF]" in seen
    assert re.findall(r"sizeX\[\d\] = (\d+)", seen) == ["1500", "750", "375", "188"]
    assert re.search(r'NominalMagnification="20(\.0)?"', seen)
    assert 'PhysicalSizeX="0.5"' in seen and MARK in seen


def test_a_file_of_one_level_has_none_below(service: TileService, tmp_path: Path) -> None:
    pyramid = Pyramid(service, region_of(service.slide("demo"), 17, Rect(0, 0, 200, 100)))
    export_tiff(pyramid, tmp_path / "x.ome.tiff")
    with tifffile.TiffFile(tmp_path / "x.ome.tiff") as tiff:
        assert [level.shape for level in tiff.series[0].levels] == [(100, 200, 3)]


@pytest.mark.parametrize(("level", "magnification"), [(17, "20"), (15, "5"), (13, "1.25")])
def test_a_tiff_says_its_magnification(service: TileService, tmp_path: Path, level: int, magnification: str) -> None:
    export_tiff(Pyramid(service, region_of(service.slide("demo"), level, Rect(0, 0, 300, 300))), tmp_path / "x.tif")
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        assert f'NominalMagnification="{magnification}"' in str(tiff.ome_metadata)


def test_a_coarser_level_has_its_own_um_per_px(service: TileService, tmp_path: Path) -> None:
    pyramid = Pyramid(service, region_of(service.slide("demo"), 15, Rect(0, 0, 300, 300)))
    export_tiff(pyramid, tmp_path / "x.ome.tiff")
    with openslide.OpenSlide(tmp_path / "x.ome.tiff") as slide:
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(2.0, rel=1e-4)


def test_a_stopped_export_goes_on_where_it_was(
    service: TileService, pyramid: Pyramid, tmp_path: Path, studio: Studio
) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 33
        if done == 20:
            raise StopError

    out = tmp_path / "x.ome.tiff"
    with pytest.raises(StopError):
        export_tiff(pyramid, out, lossless=True, progress=stop)
    assert not out.exists()
    part = out.with_name("x.ome.tiff.part")
    part.write_bytes(part.read_bytes()[:-100])  # as after a crash amid writing
    other = make_service(Studio())  # nothing is cached there
    seen: list[int] = []
    again = Pyramid(other, region_of(other.slide("demo"), 17, RECT))
    export_tiff(again, out, lossless=True, progress=lambda done, total: seen.append(done))
    assert seen[0] == 19 and seen[-1] == 33
    with tifffile.TiffFile(out) as tiff:
        np.testing.assert_array_equal(tiff.series[0].levels[0].asarray(), expected(service, RECT))
    assert not part.exists()
    other.close()


def test_a_journal_of_another_export_is_begun_anew(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {"what": "one"}) as journal:
        journal.add(0, 1, b"tile")
    with Journal(tmp_path / "j", {"what": "one"}) as journal:
        assert (0, 1) in journal and journal.get(0, 1) == b"tile"
    with Journal(tmp_path / "j", {"what": "another"}) as journal:
        assert len(journal) == 0


def test_a_journal_drops_what_is_damaged(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        for index in range(3):
            journal.add(0, index, b"tile %d" % index)
    data = bytearray((tmp_path / "j").read_bytes())
    data[-1] ^= 1
    (tmp_path / "j").write_bytes(bytes(data))
    with Journal(tmp_path / "j", {}) as journal:
        assert [(0, index) in journal for index in range(3)] == [True, True, False]
        journal.add(0, 2, b"again")
        assert journal.get(0, 2) == b"again"


@pytest.mark.parametrize(("name", "fmt", "worst"), [("x.png", PNG, 0), ("x.jpeg", JPEG, 12)])
def test_a_field_keeps_its_pixels_and_says_what_it_is(
    service: TileService, pyramid: Pyramid, tmp_path: Path, name: str, fmt: object, worst: int
) -> None:
    export_field(pyramid, tmp_path / name, fmt, 10**7)  # type: ignore[arg-type]
    with Image.open(tmp_path / name) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
        text = image.info.get("Comment") or image.info["comment"].decode()
        assert image.info["dpi"][0] == pytest.approx(50800, rel=1e-3)
    assert MARK in text and "seed 7" in text
    assert pixels.shape == (920, 1500, 3)
    assert int(np.abs(pixels[:880] - expected(service, RECT)[:880]).max()) <= worst
    assert (pixels[900:] > 150).any(), "the line below says so in letters"


def test_too_large_a_field_is_refused(pyramid: Pyramid, tmp_path: Path) -> None:
    with pytest.raises(TooLargeError):
        export_field(pyramid, tmp_path / "x.png", PNG, 1000)
    assert list(tmp_path.iterdir()) == []


def test_a_deep_zoom_folder_has_every_level(service: TileService, pyramid: Pyramid, tmp_path: Path) -> None:
    export_dzi(pyramid, tmp_path / "x.dzi")
    assert 'Width="1500" Height="900"' in (tmp_path / "x.dzi").read_text()
    levels = sorted(int(path.name) for path in (tmp_path / "x_files").iterdir() if path.is_dir())
    assert levels == list(range(12))
    sizes = {}
    for level in levels:
        with Image.open(tmp_path / "x_files" / str(level) / "0_0.jpeg") as image:
            sizes[level] = image.size
            assert MARK in image.info["comment"].decode()
    assert (sizes[11], sizes[9], sizes[8], sizes[3], sizes[0]) == ((256, 256), (256, 225), (188, 113), (6, 4), (1, 1))
    assert len(list((tmp_path / "x_files" / "11").iterdir())) == 24


def test_a_deep_zoom_folder_is_continued_and_never_mixed(
    service: TileService, pyramid: Pyramid, tmp_path: Path, studio: Studio
) -> None:
    export_dzi(pyramid, tmp_path / "x.dzi")
    (tmp_path / "x_files" / "11" / "3_2.jpeg").unlink()
    kept = tmp_path / "x_files" / "11" / "0_0.jpeg"
    before = kept.stat().st_mtime_ns
    export_dzi(pyramid, tmp_path / "x.dzi")
    assert (tmp_path / "x_files" / "11" / "3_2.jpeg").exists()
    assert kept.stat().st_mtime_ns == before
    other = Pyramid(service, region_of(service.slide("demo"), 17, Rect(0, 0, 512, 512)))
    with pytest.raises(FileExistsError, match="another export"):
        export_dzi(other, tmp_path / "x.dzi")


@pytest.mark.parametrize(
    ("level", "rect"),
    [(18, Rect(0, 0, 10, 10)), (17, Rect(131000, 0, 100, 10)), (17, Rect(0, 98304, 10, 10)), (-1, Rect(0, 0, 1, 1))],
)
def test_regions_that_are_none(service: TileService, level: int, rect: Rect) -> None:
    with pytest.raises(NotFoundError):
        region_of(service.slide("demo"), level, rect)


POST = {"level": 17, "x": 1000, "y": 600, "width": 300, "height": 200}


@pytest.mark.parametrize(
    ("fmt", "mimetype"), [("png", "image/png"), ("jpeg", "image/jpeg"), ("ome.tiff", "image/tiff")]
)
def test_exports_over_http(client: FlaskClient, fmt: str, mimetype: str) -> None:
    answer = client.post("/slides/demo/export", json=POST | {"format": fmt})
    assert (answer.status_code, answer.mimetype) == (200, mimetype)
    assert f"demo-17-1000-600.{fmt}" in answer.headers["Content-Disposition"]
    if fmt == "ome.tiff":
        with tifffile.TiffFile(io.BytesIO(answer.data)) as tiff:
            assert tiff.series[0].shape == (200, 300, 3)
    else:
        with Image.open(io.BytesIO(answer.data)) as image:
            assert image.size == (300, 220)


@pytest.mark.parametrize("fmt", ["png", "jpeg"])
def test_a_picture_has_exactly_the_pixels_of_its_region_wherever_that_lies(
    client: FlaskClient, service: TileService, fmt: str
) -> None:
    odd = {"x": 1001, "y": 603, "width": 1, "height": 999}
    answer = client.post("/slides/demo/export", json=POST | odd | {"format": fmt})
    with Image.open(io.BytesIO(answer.data)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape == (999 + 20, 1, 3)
    assert int(np.abs(pixels[:960] - expected(service, Rect(1001, 603, 1, 999))[:960]).max()) <= (12, 0)[fmt == "png"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"format": "exe"}, 400),
        ({"width": 0}, 400),
        ({"x": -1}, 400),
        ({"x": 131072}, 404),
        ({"level": 40}, 404),
        ({"x": 0, "y": 0, "width": 100_000, "height": 90_000}, 413),
    ],
)
def test_bad_exports_are_refused(client: FlaskClient, studio: Studio, change: dict[str, object], status: int) -> None:
    answer = client.post("/slides/demo/export", json=POST | change)
    assert answer.status_code == status
    assert not studio.painted


def test_the_command_exports_with_the_pixels_of_the_server(tmp_path: Path) -> None:
    out = tmp_path / "mine.ome.tiff"
    arguments = ["export", "mine:5:3000x2100", "--model", "speckle", "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(main, [*arguments, "--region", "700,500,600,400", "--lossless", "--out", str(out)])
    assert result.exit_code == 0, result.output
    from everslide.model.evaluation.fields import MemoryTiles
    from everslide.model.pyramid.fake_model import SpeckleModel
    from everslide.model.pyramid.painter import Painter
    from everslide.model.slide import Slide

    slide = Slide("mine", 5, 3000, 2100, model="speckle")
    painter = Painter(slide, SpeckleModel(), MemoryTiles(), make_sketch(slide))
    with tifffile.TiffFile(out) as tiff:
        pixels = tiff.series[0].levels[0].asarray()
    np.testing.assert_array_equal(pixels[12 : 12 + 200, 68 : 68 + 256], painter.tile(TileIndex(0, 3, 2))[:200])


def test_the_command_exports_in_other_steps_and_says_so(tmp_path: Path) -> None:
    save_weights(tmp_path / "mini.safetensors", tiny_weights())
    arguments = ["export", "mine:5:512x512", "--weights", str(tmp_path / "mini.safetensors"), "--magnification", "10"]
    pictures = []
    for out, sampling in ((tmp_path / "own.png", ()), (tmp_path / "two.png", ("--steps", "2"))):
        result = CliRunner().invoke(main, [*arguments, *sampling, "--cache", str(tmp_path / "c"), "--out", str(out)])
        assert result.exit_code == 0, result.output
        with Image.open(out) as image:
            assert ("seed 5, 2 steps, fingerprint" in image.info["Comment"]) == bool(sampling)
            pictures.append(np.asarray(image)[:256])
    assert not np.array_equal(pictures[0], pictures[1]), "neither came from the other's cache"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--out", "x.bmp"], "ends in"),
        (["demo", "--out", "x.png", "--region", "1,2,3"], "X,Y,WIDTH,HEIGHT"),
        (["demo", "--out", "x.png", "--magnification", "7"], "expected 20, 10"),
        (["demo", "--out", "x.png", "--magnification", "40"], "expected 20, 10"),
        (["Demo", "--out", "x.png"], "name:seed"),
        (["demo", "--out", "x.png"], "pixels"),
        (["demo", "--out", "x.png", "--steps", "2"], "slide demo: its model speckle has no choice of steps"),
        (["demo", "--out", "missing/x.ome.tiff", "--region", "0,0,256,256"], "missing"),
    ],
)
def test_a_bad_command_says_what_is_wrong(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["export", "--model", "speckle", "--cache", str(tmp_path), *arguments])
    assert result.exit_code == 1
    assert words in result.output


@pytest.fixture(scope="module")
def large_export(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """An export of 24 million pixels in a process of its own, and the bytes of memory that it needed."""
    folder = tmp_path_factory.mktemp("large")
    code = (  # getrusage would count what the parent held when it forked
        "import sys; from everslide.server.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    command = [sys.executable, "-c", code, "export", "big:5:6000x4000", "--model", "speckle"]
    command += ["--cache", str(folder / "cache"), "--out", str(folder / "big.ome.tiff")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=True)
    yield folder / "big.ome.tiff", 1024 * int(done.stdout.splitlines()[-1])


def test_memory_does_not_grow_with_the_export(large_export: tuple[Path, int]) -> None:
    out, used = large_export
    assert used < 10**9
    with tifffile.TiffFile(out) as tiff:
        assert tiff.series[0].levels[0].shape == (4000, 6000, 3)
        assert len(tiff.series[0].levels) == 6

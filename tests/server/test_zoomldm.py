"""A ZoomLDM checkpoint and real pictures behind the service: what the painter promises arrives unchanged."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from everslide.model.errors import SlideError, WeightsError
from everslide.model.geometry import Rect, WindowGrid, windows_touching
from everslide.model.pyramid.wavelet import box_mean
from everslide.model.slide import Slide
from everslide.server.app import create_app
from everslide.server.assembly import make_stores
from everslide.server.cli import main
from everslide.server.painters import ModelFiles, Painters, load_painters
from everslide.server.queue import PaintQueue
from everslide.server.settings import Settings
from everslide.server.slides import Catalogue, Entry, read_slides
from everslide.server.tiles import TileService
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import write_checkpoint
from tests.server import processes

FAST = {"preset": "fast", "condition": "none"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("brca"))


def serving(entries: list[Entry], painters: Painters) -> TileService:
    models = {entry.slide.model: painters for entry in entries}
    return TileService(Catalogue(tuple(entries)), models, make_stores(Settings(cache=None)), PaintQueue(64))


def picture(folder: Path, side: int = 64) -> Path:
    Image.fromarray(tissue(side, side + 20, 2)).save(folder / "photo.png")
    return folder / "photo.png"


def slides_file(folder: Path, model: str, extra: str = "") -> Path:
    file = folder / "slides.toml"
    file.write_text(f'[[slide]]\nname = "photo"\nseed = 3\nmodel = "{model}"\nparent = "photo.png"\nmpp = 2.0\n{extra}')
    return file


def level(service: TileService, static: Path, number: int) -> NDArray[np.uint8]:
    client, zoom = create_app(service, static).test_client(), service.slide("photo").zoom
    t_cols, t_rows = zoom.grid(number)
    rows = []
    for row in range(t_rows):
        answers = [client.get(f"/slides/photo_files/{number}/{col}_{row}.png") for col in range(t_cols)]
        assert all(answer.status_code == 200 for answer in answers)
        rows.append(np.concatenate([pixels(answer.data) for answer in answers], 1))
    return np.concatenate(rows, 0)


@pytest.mark.parametrize("model", ["zoomldm-brca", "speckle"])
def test_zooming_into_a_picture_beyond_its_pixels(model: str, checkpoint: Path, tmp_path: Path) -> None:
    image = picture(tmp_path)
    entries, _ = read_slides(slides_file(tmp_path, model), model)
    assert entries[0].slide.width_px == 84 * 4 and entries[0].slide.height_px == 64 * 4
    painters = load_painters(model, ModelFiles(checkpoint, FAST) if "zoom" in model else None)
    service = serving(entries, painters)
    try:
        finest = service.slide("photo").zoom.max_level
        images = [level(service, tmp_path, number) for number in range(finest - 3, finest + 1)]
        np.testing.assert_array_equal(images[1], np.asarray(Image.open(image)), err_msg="the picture itself")
        for coarse, fine in itertools.pairwise(images):
            np.testing.assert_array_equal(box_mean(fine), coarse)
    finally:
        service.close()


def test_everslide_serve_keeps_its_promises_with_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    """Two servers, started as a user starts them, below an even picture, on which all lines are alike."""
    Image.new("RGB", (144, 144), (150, 140, 150)).save(tmp_path / "photo.png")
    file = slides_file(tmp_path, "zoomldm-brca")
    file.write_text(file.read_text().replace("mpp = 2.0", "mpp = 1.0"))
    options = ("--model", "zoomldm-brca", "--weights", str(checkpoint), "--no-cache", "--slides", str(file))
    with processes.serving(*options) as (_, address), processes.serving(*options) as (_, other):
        first = fetch_tile(address, 9, 0, 0)
        most = len(list(windows_touching(0, Rect(0, 0, 256, 256), WindowGrid(64, 48))))
        assert 0 < processes.metric(address, "everslide_windows_painted_total") <= most, "lazy and bounded"
        places = [(8, 0, 0), *((9, col, row) for row in (0, 1) for col in (0, 1))]
        here = {place: fetch_tile(address, *place) for place in places}
        there = {place: fetch_tile(other, *place) for place in reversed(places)}
        assert here == there and here[9, 0, 0] == first, "deterministic: other order, other process, same bytes"

    finest = np.concatenate([np.concatenate([pixels(here[9, col, row]) for col in (0, 1)], 1) for row in (0, 1)])
    given = pixels(here[8, 0, 0])
    np.testing.assert_array_equal(given, np.asarray(Image.open(tmp_path / "photo.png")))
    np.testing.assert_array_equal(box_mean(finest), given, err_msg="coherent")
    for axis in (0, 1):
        steps = np.abs(np.diff(finest.astype(float), axis=axis)).mean((1 - axis, 2))
        others = [line for line in range(1, 287, 2) if line != 255]  # of the border's parity: between blocks of 2 x 2
        assert steps[others].min() < steps[255] < steps[others].max(), "seamless"
        assert steps.min() > 0.5, "detail was painted everywhere"


def fetch_tile(address: str, level: int, col: int, row: int) -> bytes:
    return processes.fetch(f"{address}/slides/photo_files/{level}/{col}_{row}.png")


def pixels(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


def test_pictures_change_fingerprints(tmp_path: Path) -> None:
    picture(tmp_path)
    (entry,), _ = read_slides(slides_file(tmp_path, "speckle"), "speckle")
    plain = Entry(entry.slide, entry.title)
    services = [serving([each], load_painters("speckle")) for each in (entry, plain)]
    assert services[0].slide("photo").fingerprint != services[1].slide("photo").fingerprint
    for service in services:
        service.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('parent = "nowhere.png"\nmpp = 2.0', "nowhere.png"),
        ('parent = "photo.png"', "both of the fields parent and mpp"),
        ('parent = "photo.png"\nmpp = 0.5', "nothing finer to paint"),
        ('parent = "photo.png"\nmpp = true', "a number, found True"),
        ('parent = "lab.tiff"\nmpp = 2.0', "expected grey, RGB, palette, CMYK or YCbCr"),
        ('parent = "thin.png"\nmpp = 2.0', "at least 2 x 2 px, found 1 x 30"),
        ('parent = "text.png"\nmpp = 2.0', "expected a readable RGB image"),
    ],
)
def test_bad_pictures_are_named(tmp_path: Path, line: str, words: str) -> None:
    picture(tmp_path)
    Image.new("LAB", (30, 30)).save(tmp_path / "lab.tiff")
    Image.new("RGB", (1, 30)).save(tmp_path / "thin.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "slides.toml").write_text(f'[[slide]]\nname = "photo"\nseed = 3\n{line}\n')
    entries, (wrong,) = read_slides(tmp_path / "slides.toml", "speckle")
    assert entries == [] and words in wrong


def test_a_picture_coarser_than_the_model_is_refused(tmp_path: Path) -> None:
    picture(tmp_path)
    file = slides_file(tmp_path, "speckle")
    file.write_text(file.read_text().replace("mpp = 2.0", "mpp = 300.0"))
    (entry,), _ = read_slides(file, "speckle")
    with pytest.raises(SlideError, match="paints below scale 8 at most, found a picture of scale 10"):
        serving([entry], load_painters("speckle"))


def test_models_that_need_weights_and_options_say_so(checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="expected --weights FOLDER"):
        load_painters("zoomldm-brca")
    with pytest.raises(SlideError, match="preset 'slow': expected one of faithful, fast"):
        load_painters("zoomldm-brca", ModelFiles(checkpoint, {"preset": "slow"}))
    with pytest.raises(SlideError, match="--with 'speed': expected one of preset"):
        load_painters("zoomldm-brca", ModelFiles(checkpoint, {"speed": "1"}))
    with pytest.raises(SlideError, match="condition 'cdm': expected --with cdm=PATH"):
        load_painters("zoomldm-brca", ModelFiles(checkpoint, {"condition": "cdm"}))
    with pytest.raises(SlideError, match="takes no options"):
        load_painters("speckle", ModelFiles(None, {"preset": "fast"}))
    with pytest.raises(SlideError, match="--with 'preset': expected runtime, the only option of mini"):
        load_painters("mini", ModelFiles(None, {"preset": "fast"}))
    with pytest.raises(SlideError, match="--with runtime=cuda: expected one of torch, openvino"):
        load_painters("mini", ModelFiles(None, {"runtime": "cuda"}))
    with pytest.raises(WeightsError, match="expected a file of weights of mini, found a folder"):
        load_painters("mini", ModelFiles(checkpoint))
    painters = load_painters(
        "zoomldm-brca", ModelFiles(checkpoint, {"condition": "cdm", "cdm": str(checkpoint / "cdm.ckpt")})
    )
    assert painters.top_scale == 8
    others = load_painters("zoomldm-brca", ModelFiles(checkpoint))
    assert painters.identity(Slide("a", 1), None, None) != others.identity(Slide("a", 1), None, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--with", "preset"], "expected KEY=VALUE, found preset"),
        (["--with", "preset=slow"], "preset 'slow'"),
        (["--with", "preset=fast", "--with", "preset=joint"], "--with preset: expected once, found twice"),
        (["--with", "condition=parent"], "expected NAME:PATH"),
    ],
)
def test_serve_says_what_is_wrong_with_its_options(checkpoint: Path, arguments: list[str], words: str) -> None:
    command = [
        "serve",
        "--no-cache",
        "--port",
        "0",
        "--model",
        "zoomldm-brca",
        "--weights",
        str(checkpoint),
        *arguments,
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1 and words in result.output

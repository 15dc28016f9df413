"""The commands, from files to files, on tiny weights; and what they say of bad input."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner, Result
from PIL import Image

from everslide.model.mini.weights import save_weights
from everslide.model.pyramid.wavelet import box_mean
from everslide.server.cli import main
from everslide.server.slides import read_slides
from tests.model.networks import tiny_weights
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("brca"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    return result.output


def photo(folder: Path, high: int = 64, wide: int = 64) -> Path:
    Image.fromarray(tissue(high, wide, 1)).save(folder / "photo.png")
    return folder / "photo.png"


def is_synthetic(path: Path) -> bool:
    with Image.open(path) as image:
        return "SYNTHETIC" in image.info["Description"]


def test_models_are_listed_and_shown(checkpoint: Path, tmp_path: Path) -> None:
    text = done("models", "list")
    assert all(
        name in text for name in ("mini", "zoomldm-brca", "zoomldm-naip", "cdm-brca", "StonyBrook-CVLab/ZoomLDM")
    )
    shown = done("models", "show", checkpoint)
    assert "8 magnifications, 64 px" in shown and "unet" in shown and "parameters" in shown
    assert "cdm:" in done("models", "show", checkpoint / "cdm.ckpt")
    save_weights(tmp_path / "mini.safetensors", tiny_weights())
    assert "mini:" in done("models", "show", tmp_path / "mini.safetensors")
    assert "no such file" in refused("models", "show", tmp_path / "nothing")


def test_pulling_names_what_is_published_and_says_when_the_hub_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "expected one of zoomldm-brca" in refused("models", "pull", "other", "--out", tmp_path)
    asked = {}

    def fetch(repository: str, allow_patterns: list[str], local_dir: Path) -> None:
        asked[repository] = allow_patterns
        (local_dir / "brca").mkdir()

    monkeypatch.setattr("everslide.model.zoomldm.hub.snapshot_download", fetch)
    assert str(tmp_path / "brca") in done("models", "pull", "zoomldm-brca", "--out", tmp_path)
    assert asked == {"StonyBrook-CVLab/ZoomLDM": ["brca/*", "brca/*/*"]}

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("everslide.model.zoomldm.hub.snapshot_download", away)
    assert "cannot be fetched" in refused("models", "pull", "zoomldm-naip", "--out", tmp_path)


def test_sample(checkpoint: Path, tmp_path: Path) -> None:
    common = ("sample", "--weights", checkpoint, "--mag", 5, "--count", 2, "--steps", 3, "--out")
    done(*common, tmp_path / "a")
    done(*common, tmp_path / "b", "--cdm", checkpoint / "cdm.ckpt")
    images = [np.asarray(Image.open(tmp_path / folder / f"0000{i}.png")) for folder in "ab" for i in (0, 1)]
    assert all(image.shape == (64, 64, 3) for image in images)
    assert len({image.tobytes() for image in images}) == 4
    assert is_synthetic(tmp_path / "a" / "00000.png")
    (tmp_path / "grids").mkdir()
    assert "found none" in refused(*common, tmp_path / "d", "--embeddings", tmp_path / "grids")
    for number in range(2):
        np.save(tmp_path / "grids" / f"{number}.npy", np.random.default_rng(number).standard_normal((24, 4, 4)))
    done(*common, tmp_path / "d", "--embeddings", tmp_path / "grids")
    assert (tmp_path / "d" / "00001.png").read_bytes() != (tmp_path / "a" / "00001.png").read_bytes()
    for method in ("ddim", "dpm++"):
        done(*common, tmp_path / method, "--method", method)
        assert (tmp_path / method / "00001.png").read_bytes() != (tmp_path / "a" / "00001.png").read_bytes()
    done(*common, tmp_path / "c")
    assert (tmp_path / "c" / "00001.png").read_bytes() == (tmp_path / "a" / "00001.png").read_bytes()


def test_large(checkpoint: Path, tmp_path: Path) -> None:
    grid, out = tmp_path / "u.npy", tmp_path / "large.png"
    np.save(grid, np.random.default_rng(0).standard_normal((24, 2, 2)).astype(np.float16))
    text = done("large", "--weights", checkpoint, "--side", 2, "--steps", 2, "--embeddings", grid, "--out", out)
    assert "128 x 128 px, SYNTHETIC" in text and is_synthetic(out)
    assert np.asarray(Image.open(out)).shape == (128, 128, 3)
    other = ("--out", tmp_path / "x.png")
    assert "expected 2, 4" in refused("large", "--weights", checkpoint, "--side", 3, *other)
    assert "expected 4 x 4 embeddings" in refused(
        "large", "--weights", checkpoint, "--side", 4, "--embeddings", grid, *other
    )


def test_a_checkpoint_of_the_ground_speaks_of_metres_and_paints_large_by_default(tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.model.zoomldm.tiny import TINY

    naip = replace(TINY, summarizer=replace(TINY.summarizer, magnifications=2), domain="ground")
    weights = write_checkpoint(tmp_path / "naip", naip, data="ldm.data.naip.NAIPDataset")
    done("large", "--weights", weights, "--steps", 1, "--no-seams", "--out", tmp_path / "large.png")
    assert Image.open(tmp_path / "large.png").size == (128, 128), "two scales: two patches a side"
    common = ("sample", "--weights", weights, "--count", 1, "--steps", 1, "--out", tmp_path / "x", "--mag")
    done(*common, "2m")
    assert "counts in metres per pixel" in refused(*common, 20)
    assert "4 m per pixel: this checkpoint knows 2: 1 m per pixel, 2 m per pixel" in refused(*common, "4m")
    tissue_weights = write_checkpoint(tmp_path / "brca")
    ground = ("sample", "--weights", tissue_weights, "--out", tmp_path / "y", "--mag", "2m")
    assert "counts in magnifications of tissue" in refused(*ground)
    assert "mini paints tissue" in refused("superres", photo(tmp_path), "--from", "2m", "--out", tmp_path / "z.png")


def test_invert_then_superres_with_what_was_found(checkpoint: Path, tmp_path: Path) -> None:
    image, found = photo(tmp_path), tmp_path / "u.npy"
    text = done("invert", image, "--weights", checkpoint, "--mag", 10, "--steps", 3, "--variations", 1, "--out", found)
    assert "(24, 2, 2)" in text and is_synthetic(tmp_path / "u-0.png")
    u = np.load(found)
    assert u.shape == (24, 2, 2) and np.abs(u.mean(0)).max() < 1e-5
    out = {}
    for mode, more in {
        "uncond": (), "gt": ("--embeddings", found), "infer": ("--invert-steps", 2)
    }.items():  # fmt: skip
        path = tmp_path / f"{mode}.png"
        done("superres", image, "--model", "zoomldm", "--weights", checkpoint, "--from", 10, "--to", 20, "--mode", mode,
             *more, "--steps", 2, "--operator", "box", "--out", path, *(("--no-seams",) * (mode == "gt")))  # fmt: skip
        out[mode] = np.asarray(Image.open(path))
        assert out[mode].shape == (128, 128, 3)
    assert len({pixels.tobytes() for pixels in out.values()}) == 3
    np.save(tmp_path / "wide.npy", np.zeros((24, 2, 3), np.float32))
    refusal = ("superres", image, "--model", "zoomldm", "--from", 10, "--out", tmp_path / "x.png")
    assert "expected --weights" in refused(*refusal)
    wide = ("--weights", checkpoint, "--mode", "gt", "--embeddings", tmp_path / "wide.npy")
    assert "expected 2 x 2 embeddings" in refused(*refusal, *wide)
    assert "expected --embeddings" in refused(*refusal, "--weights", checkpoint, "--mode", "gt")


def test_superres_with_mini_leads_back_to_the_picture(tmp_path: Path) -> None:
    save_weights(tmp_path / "mini.safetensors", tiny_weights())
    image = photo(tmp_path, 40, 60)
    done("superres", image, "--weights", tmp_path / "mini.safetensors", "--from", 5, "--out", tmp_path / "out.png")
    painted = np.asarray(Image.open(tmp_path / "out.png"))
    assert painted.shape == (160, 240, 3)
    np.testing.assert_array_equal(box_mean(box_mean(painted)), tissue(40, 60, 1))
    assert "finer scale" in refused("superres", image, "--from", 5, "--to", 5, "--out", tmp_path / "x.png")
    again = ("superres", image, "--weights", tmp_path / "mini.safetensors", "--from", 5, "--out", tmp_path / "out.png")
    assert "is there already" in refused(*again)
    done(*again, "--overwrite")


@pytest.mark.parametrize("command", [("superres", "photo.png", "--from", 5), ("large", "--weights", "checkpoint")])
def test_a_picture_is_replaced_only_by_request(tmp_path: Path, command: tuple[object, ...]) -> None:
    image = photo(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    paths = tuple(tmp_path / str(part) if part in ("photo.png", "checkpoint") else part for part in command)
    before = image.read_bytes()
    text = refused(*paths, "--out", image)
    assert "is there already" in text and "--overwrite" in text
    assert image.read_bytes() == before


def test_new_makes_a_slide_that_serve_reads(tmp_path: Path) -> None:
    image, out = photo(tmp_path), tmp_path / "slides.toml"
    for name in ("one", "two"):
        text = done("new", name, "--parent", image, "--mpp", 2, "--out", out, "--seed", 9)
        assert "256 x 256 px of 20x" in text and f"`everslide serve --slides {out}`" in text
    (first, second), _ = read_slides(out, "mini")
    assert (first.slide.name, second.slide.name, first.slide.seed) == ("one", "two", 9)
    assert first.top is not None and first.top.s == 2
    below = done("new", "three", "--parent", image, "--mpp", 2, "--out", tmp_path / "x", "--model", "zoomldm-naip")
    assert "everslide serve --model zoomldm-naip --weights FOLDER --slides" in below
    assert "has a slide one already" in refused("new", "one", "--parent", image, "--mpp", 2, "--out", out)
    assert "nothing finer to paint" in refused("new", "three", "--parent", image, "--mpp", 0.25, "--out", out)
    assert "slide name" in refused("new", "Bad Name", "--parent", image, "--mpp", 2, "--out", out)


def test_measure(tmp_path: Path) -> None:
    for folder, seeds in (("real", range(6)), ("painted", (0, 1, 7, 8, 9))):
        (tmp_path / folder).mkdir()
        for number, seed in enumerate(seeds):
            Image.fromarray(tissue(96, 96, seed)).save(tmp_path / folder / f"{number}.png")
    figures = json.loads(done("measure", tmp_path / "painted", tmp_path / "real", "--crop", 48))
    assert figures["images"] == [5, 6] and figures["crops"] == [20, 24]
    assert figures["frechet"] > 0 and figures["crop_frechet"] > 0 and 0 < figures["ssim"] < 1
    same = json.loads(done("measure", tmp_path / "real", tmp_path / "real"))
    assert same["frechet"] < 1e-6 * figures["frechet"]
    assert same["ssim"] == pytest.approx(1) and same["similarity"] == pytest.approx(1) and same["memorised"] is None
    own = json.loads(done("measure", tmp_path / "real", tmp_path / "real", "--extractor", "mini"))
    assert own["extractor"] == "mini" and abs(own["frechet"]) < 1e-3
    assert "no such file" in refused("measure", tmp_path / "real", tmp_path / "real", "--extractor", "inception:x.pt")
    assert "expected texture, mini, or NAME:PATH" in refused("measure", tmp_path, tmp_path, "--extractor", "fid")
    (tmp_path / "empty").mkdir()
    assert "at least 2 images" in refused("measure", tmp_path / "empty", tmp_path / "real")
    script = torch.jit.script(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()))
    script.save(str(tmp_path / "net.pt"))  # type: ignore[no-untyped-call]
    scripted = done("measure", tmp_path / "painted", tmp_path / "real", "--extractor", f"script:{tmp_path / 'net.pt'}")
    assert json.loads(scripted)["frechet"] > 0


def test_copies_of_training_images_are_counted_and_shown(tmp_path: Path) -> None:
    for folder, seeds in (("real", range(8)), ("painted", (3, 11, 12))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            Image.fromarray(tissue(64, 64, seed)).save(tmp_path / folder / f"{seed:02d}.png")
    sheet = tmp_path / "pairs.png"
    common = ("measure", tmp_path / "painted", tmp_path / "real", "--resume", tmp_path / "state", "--batch", 2)
    figures = json.loads(done(*common, "--memorised", "--sheet", sheet))
    assert figures["memorised"] >= 1 / 3 and figures["nearest"][0] == ["03.png", "03.png", 0.0]
    assert [len(figures["nearest"]), figures["images"]] == [3, [3, 8]]
    assert Image.open(sheet).size == (1032, 512) and is_synthetic(sheet)
    assert not list((tmp_path / "state").iterdir()), "nothing is left where the command ended well"


def huge_png(path: Path) -> Path:
    """A header that claims 100,000 x 100,000 px, without its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    return path


def test_bad_images_are_named(checkpoint: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "odd.png", np.full((80, 80), -1.0, np.float32))
    Image.new("RGB", (1, 80)).save(tmp_path / "thin.png")
    whole = photo(tmp_path, 100, 100).read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    huge_png(tmp_path / "huge.png")
    Image.new("RGB", (100_000, 70)).save(tmp_path / "long.png")
    reasons = {
        "odd": "expected values of 0 to 65535, found -1 to -1",
        "thin": "px, found 1 x 80",
        "torn": "expected a readable RGB image",
        "huge": "100000 x 100000 px|100000000",
        "long": "100000 x 70 px, expected at most 65535 a side",
        "none": "expected a readable RGB image",
    }
    for name, words in reasons.items():
        image = tmp_path / f"{name}.png"
        for command in (
            ("invert", image, "--weights", checkpoint, "--mag", 5, "--out", tmp_path / "x.npy"),
            ("superres", image, "--from", 5, "--out", tmp_path / "x.png"),
            ("new", "slide", "--parent", image, "--mpp", 2, "--out", tmp_path / "x.toml"),
        ):
            text = refused(*command)
            assert any(word in text for word in words.split("|")), (command, text)
            assert image.name in text
    assert not list(tmp_path.glob("x.*"))


def test_bad_magnifications_are_named(checkpoint: Path, tmp_path: Path) -> None:
    image = photo(tmp_path)
    for mag in (7, 40, 0, -5):
        text = refused("invert", image, "--weights", checkpoint, f"--mag={mag}", "--out", tmp_path / "x.npy")
        assert "expected 20, 10, 5" in text and "1m, 2m, 4m or 8m" in text
    fine = ("invert", image, "--weights", checkpoint, "--mag", 20 / 2**8, "--out", tmp_path / "x.npy")
    assert "this checkpoint knows 8" in refused(*fine)
    sample = ("sample", "--weights", checkpoint, "--mag", 20 / 2**8, "--out", tmp_path / "x")
    assert "this checkpoint knows 8" in refused(*sample)

"""Pictures as people have them: read as they look, or refused with the reason; never white, black or sideways."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from everslide.model.errors import ImageError
from everslide.model.image_io.pixel_values import to_8_bits
from everslide.model.image_io.user_picture import Limits, read_picture, read_rgb

WIDTH, HEIGHT = 60, 40
FORMATS = ["PNG", "TIFF", "WEBP"]


def quarters() -> NDArray[np.uint8]:
    """Red, green, blue and grey, clockwise from the upper left but for the last two."""
    pixels = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = (200, 60, 60)
    pixels[: HEIGHT // 2, WIDTH // 2 :] = (60, 180, 60)
    pixels[HEIGHT // 2 :, : WIDTH // 2] = (60, 60, 200)
    return pixels


PIXELS = quarters()
GREY = np.asarray(Image.fromarray(PIXELS).convert("L"))


def read(data: bytes, **limits: int) -> NDArray[np.uint8]:
    pixels = read_picture(io.BytesIO(data), Limits(**limits))
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    return pixels


def file_of(image: Image.Image, fmt: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


def deep_png(values: NDArray[np.uint16]) -> bytes:
    return bytes(imagecodecs.png_encode(values))


def close(found: NDArray[np.uint8], expected: NDArray[np.uint8], most: int = 1) -> None:
    assert found.shape == expected.shape
    assert int(np.abs(found.astype(int) - expected.astype(int)).max()) <= most


def alike(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """After a lossy format: in the middles of the quarters, where no other colour is near."""
    height, width = expected.shape[:2]
    assert found.shape == expected.shape
    for row in (height // 4, 3 * height // 4):
        for column in (width // 4, 3 * width // 4):
            close(found[row, column], expected[row, column], 12)


def rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("fmt", [*FORMATS, "JPEG"])
def test_eight_bits_are_read_as_they_are(fmt: str) -> None:
    options = {"lossless": True} if fmt == "WEBP" else {"quality": 95, "subsampling": 0} if fmt == "JPEG" else {}
    found = read(file_of(Image.fromarray(PIXELS), fmt, **options))
    if fmt == "JPEG":
        alike(found, PIXELS)
    else:
        close(found, PIXELS, 0)


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize(
    "write", [tiff, deep_png, lambda x: tiff(x, byteorder=">"), lambda x: tiff(x, compression="lzw")]
)
@pytest.mark.parametrize("colour", [True, False])
def test_sixteen_bits_of_any_camera(top: int, write: Any, colour: bool) -> None:
    source = PIXELS if colour else GREY
    ramp = source.copy()
    ramp[0, 0] = 255  # a camera that was used to its limit
    values = np.rint(ramp.astype(np.float64) * top / 255).astype(np.uint16)
    data = write(values, photometric="rgb") if write is tiff and colour else write(values)
    close(read(data), ramp if colour else rgb(ramp))


@pytest.mark.parametrize(
    ("white", "kind"),
    [(1, np.float16), (255, np.float16)]
    + [(top, kind) for top in (1, 255, 65535) for kind in (np.float32, np.float64)],
)
def test_floats(white: int, kind: Any) -> None:
    values = (PIXELS / 255 * white).astype(kind)
    values[0, 0] = white
    expected = PIXELS.copy()
    expected[0, 0] = 255
    close(read(tiff(values, photometric="rgb")), expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((8, 8), -0.5, np.float32), "expected values of 0 to 65535, found -0.5"),
        (np.full((8, 8), np.nan, np.float32), "found NaN or infinity"),
        (np.full((8, 8), 1e9, np.float32), "found 1e\\+09"),
        (np.linspace(0, 1.2, 64, dtype=np.float32).reshape(8, 8), "found 0 to 1.2"),
        (np.full((8, 8), 5, np.float64), "found 5 to 5"),
        (np.full((8, 8), -3, np.int16), "found -3 to -3"),
        (np.full((8, 8), 1 << 20, np.uint32), "found 1.04858e\\+06"),
        (np.full((8, 8), 1j, np.complex64), "expected integers or floats"),
    ],
)
def test_what_is_no_grey_is_refused(values: NDArray[Any], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        read(tiff(values))


def test_floats_that_resampling_took_beyond_their_ends() -> None:
    values = PIXELS / 255
    values[0, 0], values[0, 1] = 1.04, -0.03
    expected = PIXELS.copy()
    expected[0, 0], expected[0, 1] = 255, 0
    close(read(tiff(values.astype(np.float32), photometric="rgb")), expected)


def test_bits_that_the_file_names_count() -> None:
    values = np.array([0, 15], np.uint8)
    np.testing.assert_array_equal(to_8_bits(values, 4), [0, 255])
    np.testing.assert_array_equal(to_8_bits(np.array([0, 500], np.uint16), 12), [0, 31])


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_black_and_white_and_palettes(fmt: str, mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    close(read(file_of(image, fmt)), np.asarray(image.convert("RGB")), 0)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_white_is_zero(kind: Any) -> None:
    values = (GREY.astype(kind) * (257 if kind is np.uint16 else 1)).astype(kind)
    close(read(tiff(np.iinfo(kind).max - values, photometric="miniswhite")), rgb(GREY))


def test_cmyk() -> None:
    image = Image.fromarray(PIXELS).convert("CMYK")
    close(read(file_of(image, "TIFF")), PIXELS, 1)
    alike(read(file_of(image, "JPEG", quality=97, subsampling=0)), PIXELS)


def test_ycbcr_and_compressions_of_tiff() -> None:
    for options in ({"compression": "jpeg"}, {"compression": "deflate", "predictor": True}):
        alike(read(tiff(PIXELS, photometric="rgb", **options)), PIXELS)
    close(read(file_of(Image.fromarray(PIXELS).convert("YCbCr"), "TIFF")), PIXELS, 2)


def test_planes_one_after_the_other() -> None:
    values = np.ascontiguousarray(np.moveaxis(PIXELS, -1, 0))
    close(read(tiff(values, photometric="rgb", planarconfig="separate")), PIXELS, 0)


@pytest.mark.parametrize("fmt", FORMATS)
def test_what_is_transparent_lies_on_white(fmt: str) -> None:
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, : WIDTH // 2] = 0
    hidden = np.where(alpha > 0, PIXELS, np.uint8(0))
    expected = np.where(alpha > 0, PIXELS, np.uint8(255))
    image = Image.fromarray(np.concatenate([hidden, alpha], axis=2))
    close(read(file_of(image, fmt, **({"lossless": True} if fmt == "WEBP" else {}))), expected, 0)
    half = Image.fromarray(np.concatenate([PIXELS, alpha // 255 * 127 + 1], axis=2).astype(np.uint8))
    assert read(file_of(half, "PNG"))[0, -1].tolist() == [157, 217, 157], "half of it"


def test_other_ways_to_be_transparent() -> None:
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, : WIDTH // 2] = 0
    clear = np.where(alpha[..., None] > 0, PIXELS, np.uint8(255))
    grey = Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(alpha)))
    close(read(file_of(grey, "PNG")), np.where(alpha[..., None] > 0, rgb(GREY), np.uint8(255)), 0)
    palette = Image.fromarray(PIXELS).quantize(8)
    index = palette.getpixel((0, 0))
    assert read(file_of(palette, "PNG", transparency=index))[0, 0].tolist() == [255, 255, 255]
    keyed = read(file_of(Image.fromarray(PIXELS), "PNG", transparency=(200, 60, 60)))
    assert keyed[0, 0].tolist() == [255, 255, 255]
    deep = np.concatenate([PIXELS.astype(np.uint16) * 257, alpha[..., None].astype(np.uint16) * 257], axis=2)
    close(read(deep_png(deep)), clear)
    close(read(tiff(deep, photometric="rgb", extrasamples=["unassalpha"])), clear)
    premultiplied = deep * (alpha[..., None] > 0)
    close(read(tiff(premultiplied.astype(np.uint16), photometric="rgb", extrasamples=["assocalpha"])), clear)


@pytest.mark.parametrize("top", [255, 1023, 4095, 65535])
@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "said nothing", "floats"])
def test_opaque_is_opaque_in_whatever_depth_it_was_counted(top: int, fmt: str) -> None:
    whole = np.dstack([PIXELS, np.full_like(GREY, 255)])
    whole[0, 0] = 255
    values = np.rint(whole.astype(np.float64) * top / 255).astype(np.float32 if fmt == "floats" else np.uint16)
    extra = "unspecified" if fmt == "said nothing" else "unassalpha"
    data = deep_png(values.astype(np.uint16)) if fmt == "PNG" else tiff(values, photometric="rgb", extrasamples=[extra])
    close(read(data), whole[..., :3])


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF"])
def test_a_picture_of_which_nothing_could_be_seen_is_refused(fmt: str) -> None:
    image = Image.fromarray(np.dstack([PIXELS, np.zeros_like(GREY)]))
    with pytest.raises(ImageError, match="is transparent all over"):
        read(file_of(image, fmt, **({"lossless": True, "exact": True} if fmt == "WEBP" else {})))


@pytest.mark.parametrize("mode", ["LA", "1", "P"])
def test_a_profile_of_greys_is_applied_to_whatever_is_grey(mode: str) -> None:
    image = Image.fromarray(GREY).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    close(read(file_of(image, "PNG", icc_profile=icc(b"GRAY"))), expected, 12)


def test_channels_of_unknown_meaning() -> None:
    full = np.concatenate([PIXELS, np.full((HEIGHT, WIDTH, 1), 255, np.uint8)], axis=2)
    close(read(tiff(full, photometric="rgb", extrasamples=["unspecified"])), PIXELS, 0)
    with pytest.raises(ImageError, match="not said to be transparency"):
        read(tiff(np.concatenate([PIXELS, GREY[..., None]], axis=2), photometric="rgb", extrasamples=["unspecified"]))
    with pytest.raises(ImageError, match="has 2 channels beside its colours"):
        read(tiff(np.dstack([PIXELS, GREY, GREY]), photometric="rgb", extrasamples=["unspecified"] * 2))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "deep PNG", "deep TIFF"])
def test_photos_stand_upright(orientation: int, fmt: str) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = Image.fromarray(PIXELS)
    turned.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned))
    deep = PIXELS.astype(np.uint16) * 257
    if fmt == "deep TIFF":
        data = tiff(deep, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    elif fmt == "TIFF":
        data = tiff(PIXELS, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    elif fmt == "deep PNG":
        whole = deep_png(deep)
        content = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
        data = whole[:33] + chunk + whole[33:]
    else:
        data = file_of(Image.fromarray(PIXELS), fmt, exif=exif, **({"quality": 95} if fmt != "PNG" else {}))
    found = read(data)
    if fmt in ("JPEG", "WEBP"):
        alike(found, expected)
    else:
        close(found, expected)


def icc(space: bytes = b"RGB ", swapped: bool = True) -> bytes:
    """A colour profile of sRGB's primaries, red and green swapped, with a straight curve."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    red, green, blue = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    if swapped:
        red, green = green, red
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(2.2 * 256), 0)
    text = b"test"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249),
        b"cprt": b"text\0\0\0\0none\0",
    }
    if space == b"RGB ":
        for letter, primary in zip((b"r", b"g", b"b"), (red, green, blue), strict=True):
            tags[letter + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*primary)
            tags[letter + b"TRC"] = curve
    else:
        tags[b"kTRC"] = curve
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", at + len(body), len(value))
        body += value
    head = bytearray(128)
    head[8:12], head[12:16], head[16:20], head[20:24] = b"\2\x40\0\0", b"mntr", space, b"XYZ "
    head[36:40] = b"acsp"
    head[68:80] = fixed(0.9642, 1.0, 0.8249)
    whole = bytes(head) + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "deep TIFF"])
def test_colour_profiles_are_applied(fmt: str) -> None:
    if fmt == "deep TIFF":
        data = tiff(PIXELS.astype(np.uint16) * 257, photometric="rgb", iccprofile=icc())
    else:
        data = file_of(Image.fromarray(PIXELS), fmt, icc_profile=icc())
    red, _, blue = read(data)[5, 5].tolist()
    assert red < 120, "the profile says that this red is green"
    close(read(file_of(Image.fromarray(PIXELS), "PNG", icc_profile=icc(swapped=False))), PIXELS, 12)
    close(read(file_of(Image.fromarray(GREY), "PNG", icc_profile=icc(b"GRAY"))), rgb(GREY), 12)
    close(read(file_of(Image.fromarray(GREY), "PNG", icc_profile=icc(swapped=False))), rgb(GREY), 12)
    assert blue < 120


@pytest.mark.parametrize("profile", [b"no profile", icc(b"GRAY"), icc()[:200]])
def test_a_profile_that_cannot_be_applied_is_reported(profile: bytes) -> None:
    with pytest.raises(ImageError, match=r"colour profile .*; save it as sRGB"):
        read(file_of(Image.fromarray(PIXELS), "PNG", icc_profile=profile))


def test_several_pages_are_refused_but_for_smaller_copies() -> None:
    with pytest.raises(ImageError, match="has 3 pages or planes of this size"):
        read(tiff(np.stack([PIXELS] * 3), photometric="rgb"))
    with pytest.raises(ImageError, match="has at least 64 pages or planes of this size"):
        read(tiff(np.stack([GREY[:8, :8]] * 100), photometric="minisblack"))
    with pytest.raises(ImageError, match="has 4 pages or planes of this size"):
        read(tiff(np.stack([GREY] * 4), imagej=True))
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(PIXELS, photometric="rgb")
        file.write(PIXELS[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(PIXELS[::4, ::4], photometric="rgb")
    close(read(out.getvalue()), PIXELS, 0)


def test_colours_of_another_kind_are_called_by_their_name() -> None:
    with pytest.raises(ImageError, match="found CIELAB; save it as RGB"):
        read(file_of(Image.fromarray(PIXELS, "LAB"), "TIFF"))


@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_moving_pictures_are_refused(fmt: str) -> None:
    frames = [Image.fromarray(np.roll(PIXELS, n, 0)) for n in range(3)]
    with pytest.raises(ImageError, match="moving picture"):
        read(file_of(frames[0], fmt, save_all=True, append_images=frames[1:]))


def test_photos_with_a_second_picture_inside_are_read() -> None:
    """Phones add a preview or a map of brightness."""
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::2, ::2])]
    alike(read(file_of(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)), PIXELS)


def claims(width: int, height: int, depth: int = 8) -> bytes:
    """A PNG file of a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def tiff_that_claims(**tags: int) -> bytes:
    """A TIFF of 16 x 16 px whose tags say otherwise."""
    data = bytearray(tiff(np.zeros((16, 16), np.uint8), tile=(16, 16)))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for name, value in tags.items():
            tag = file.pages.first.tags[name]
            data[tag.valueoffset : tag.valueoffset + tag.valuebytecount] = struct.pack(
                "<I" if tag.valuebytecount == 4 else "<H", value
            )
    return bytes(data)


@pytest.mark.parametrize("depth", [8, 16])
def test_enormous_claims_are_refused_before_anything_is_decoded(depth: int) -> None:
    for width, height in ((100_000, 100_000), (2**31 - 1, 2**31 - 1), (70_000, 10)):
        with pytest.raises(ImageError, match=r"expected at most|exceeds limit"):
            read(claims(width, height, depth))
    for tags in ({"ImageWidth": 2**31, "ImageLength": 2**31}, {"TileWidth": 65520, "TileLength": 65520}):
        with pytest.raises(ImageError, match=r"claims|cut short|expected"):
            read(tiff_that_claims(**tags))
    with pytest.raises(ImageError, match=f"claims {WIDTH} x {HEIGHT} px, expected at most 50 a side"):
        read(file_of(Image.fromarray(PIXELS), "PNG"), max_side=50)
    with pytest.raises(ImageError, match="expected at least 50 x 50 px"):
        read(file_of(Image.fromarray(PIXELS), "PNG"), min_side=50)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_files_cut_short_are_refused(fmt: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8)
    data = tiff(noise, photometric="rgb") if fmt == "TIFF" else file_of(Image.fromarray(noise), fmt)
    with pytest.raises(ImageError, match=r"expected a readable|cut short"):
        read(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "data", [b"", b"II*\0", b"MM\0*\0\0\0\x08", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b"<svg/>", b"GIF89a"]
)
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="expected a readable RGB image"):
        read(data)
    with pytest.raises(ImageError, match=r"found: [^<]*$"):
        read(data)
    path = tmp_path / "some ä file.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"some ä file\.png: expected a readable RGB image"):
        read_rgb(path)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "an empty file"),
        (b"\0" * 500, "a file of zeros"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 200, "a HEIC$"),
        (b"\0\0\0\x18ftypavif" + b"\0" * 200, "an AVIF$"),
        (b"\0" * 128 + b"DICM" + b"\0" * 100, "a DICOM file$"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"x" * 100, "a JPEG 2000 file$"),
        (b"GIF89a" + b"x" * 100, "a GIF$"),
        (b" \n<!DOCTYPE html><title>404</title>", "a web page$"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"II*\0\xff\0\0\0", "a damaged file"),
        (b"what is this", "another kind of file"),
    ],
)
def test_other_files_are_refused_by_name(data: bytes, kind: str) -> None:
    with pytest.raises(ImageError, match=f"found: {kind}"):
        read(data)


def test_damage_anywhere_is_an_error_with_words() -> None:
    rng = np.random.default_rng(3)
    samples = [
        tiff(PIXELS, photometric="rgb", compression="lzw"),
        tiff(PIXELS.astype(np.uint16) * 257, photometric="rgb", tile=(16, 16)),
        deep_png(PIXELS.astype(np.uint16) * 257),
        file_of(Image.fromarray(PIXELS).quantize(8), "TIFF"),
    ]
    for data in samples:
        for _ in range(40):
            torn = bytearray(data)
            for at in rng.integers(0, len(torn), 6):
                torn[at] = rng.integers(0, 256)
            try:
                read(bytes(torn), max_pixels=100_000)
            except ImageError as error:
                assert str(error)

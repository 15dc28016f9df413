"""`everslide new`: adds a slide to a file of slides, from a seed, below a real picture, or like reference pictures."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from everslide.model.errors import SlideError
from everslide.model.sampling_config import OWN, SamplingConfig
from everslide.model.slide import Slide

_NUMBER = r"(\d{1,12}(?:\.\d{0,6})?)"
_REGION = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}=(.+)", re.ASCII)


@dataclass(frozen=True)
class Wish:
    """What a new slide shall be.

    parent: a picture to zoom into, of parent_mpp um per pixel. like: a picture whose tissue and stain it shall have.
    regions: "X,Y,WIDTH,HEIGHT=PICTURE", in um from the corner of the slide. like_mpp: um per pixel of those pictures.
    sampling: whether the model offers it is known when it is served.
    """

    name: str
    seed: int
    model: str
    size_px: tuple[int, int] | None = None
    unbounded: bool = False
    parent: Path | None = None
    parent_mpp: float | None = None
    like: Path | None = None
    regions: tuple[str, ...] = ()
    like_mpp: float = 0.5
    sampling: SamplingConfig = OWN


def add_slide(wish: Wish, file: Path) -> str:
    """Add the slide to `file`, and write what its references look like beside it; a line that describes it.

    Raises SlideError, ImageError.
    """
    before, encoding = _read(file)
    if re.search(rf"""^[ \t]*name[ \t]*=[ \t]*["']{re.escape(wish.name)}["']""", before, re.MULTILINE):
        raise SlideError(f"{file}: has a slide {wish.name} already; choose another name or file")
    if (wish.parent is None) != (wish.parent_mpp is None):
        raise SlideError("expected both of --parent and --mpp, or none")
    if wish.parent and (wish.size_px or wish.unbounded):
        raise SlideError("--parent gives the size: leave out --size and --unbounded")
    width, height = wish.size_px or (Slide.width_px, Slide.height_px)
    slide = Slide(wish.name, wish.seed, width, height, model=wish.model)
    lines = ["[[slide]]", f'name = "{wish.name}"', f"seed = {wish.seed}", f"model = {_quoted(wish.model)}"]
    lines += [f"steps = {wish.sampling.steps}"] if wish.sampling.steps is not None else []
    lines += [f"guidance = {float(wish.sampling.guidance)}"] if wish.sampling.guided else []
    extent = f"{slide.width_px} x {slide.height_px} px of 20x"
    if wish.parent is not None and wish.parent_mpp is not None:
        from everslide.model.pyramid.top import read_top

        top = read_top(wish.parent, wish.parent_mpp)
        extent = " x ".join(str(side * 2**top.s) for side in top.size) + " px of 20x"
        lines += [f"parent = {_quoted(str(wish.parent.resolve()))}", f"mpp = {float(wish.parent_mpp)}"]
    elif wish.unbounded:
        lines += ["width_px = 2147483648", "height_px = 2147483648", "unbounded = true"]
        extent = "without an end"
    else:
        lines += [f"width_px = {slide.width_px}", f"height_px = {slide.height_px}"]
    if wish.like or wish.regions:
        lines.append(f"reference = {_quoted(_written(wish, file.parent))}")
    try:
        file.write_bytes(("\n".join(([before.rstrip(), ""] if before else []) + lines) + "\n").encode(encoding))
    except OSError as error:
        raise _unusable(file, error) from error
    return extent


def _read(file: Path) -> tuple[str, str]:
    """The text of a file, and its encoding: of UTF-8, 16 and 32, with a byte order mark or without. Raises
    SlideError."""
    try:
        data = file.read_bytes() if file.exists() else b""
        encoding = json.detect_encoding(data)
        return data.decode(encoding).replace("\r\n", "\n"), encoding
    except UnicodeDecodeError as error:
        raise SlideError(f"{file}: expected UTF-8, found another encoding; save it as UTF-8") from error
    except OSError as error:
        raise _unusable(file, error) from error


def _unusable(file: Path, error: OSError) -> SlideError:
    return SlideError(f"{file}: {error.strerror or error}; name another file with --out")


def _quoted(text: str) -> str:
    """A string of TOML. Raises SlideError for what TOML cannot say: names of files in another encoding."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise SlideError(f"{text!r}: a slide's file cannot name it; rename it without control characters, in UTF-8")
    return json.dumps(text, ensure_ascii=False)


def _written(wish: Wish, folder: Path) -> str:
    """The name of the file, in `folder`, that says what the reference pictures look like."""
    from everslide.model.mini.style_extraction import read_look
    from everslide.model.style_reference import Reference, Region, write_reference

    regions = []
    for text in wish.regions:
        match = _REGION.fullmatch(text)
        if match is None:
            raise SlideError(f"--region {text!r}: expected X,Y,WIDTH,HEIGHT=PICTURE, in um from the slide's corner")
        x_um, y_um, width_um, height_um = (float(match[i]) for i in range(1, 5))
        regions.append(Region(x_um, y_um, width_um, height_um, read_look(Path(match[5]), wish.like_mpp)))
    everywhere = read_look(wish.like, wish.like_mpp) if wish.like else None
    path = folder / f"{wish.name}.reference.json"
    try:
        write_reference(path, Reference(everywhere, tuple(regions)))
    except OSError as error:
        raise _unusable(path, error) from error
    return path.name

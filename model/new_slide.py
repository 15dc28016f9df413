"""`everslide new`: adds a slide to a file of slides, of a seed and an organ, below a real picture, or like others."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from everslide.model.errors import SlideError
from everslide.model.geometry import BASE_MPP
from everslide.model.organs import check_organ, style_of
from everslide.model.sampling_config import OWN, SamplingConfig
from everslide.model.slide import Slide

_NUMBER = r"(\d{1,12}(?:\.\d{0,6})?)"
if TYPE_CHECKING:
    from everslide.model.style_reference import Region

UNBOUNDED_PX = 2**31
"""Virtual extent of a slide without an end."""
_OF_ORGAN = "organ:"
_REGION = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}=(.+)", re.ASCII)


@dataclass(frozen=True)
class Wish:
    """What a new slide shall be.

    parent: a picture to zoom into, of parent_mpp um per pixel. like: a picture whose tissue and stain it shall have.
    regions: "X,Y,WIDTH,HEIGHT=PICTURE" or "X,Y,WIDTH,HEIGHT=organ:ORGAN", in um from the corner of the slide. like_mpp:
    um per pixel of those pictures. sampling: whether the model offers it is known when it is served. organ: what it is
    a slide of. weights: of the model, where the shipped ones are not meant; they say which organs there are.
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
    organ: str = ""
    weights: Path | None = None


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
    if wish.organ:
        check_organ(wish.organ, organ_cases(wish.model, wish.weights), f"slide {wish.name}", wish.model)
    slide = Slide(wish.name, wish.seed, width, height, model=wish.model)
    lines = ["[[slide]]", f'name = "{wish.name}"', f"seed = {wish.seed}", f"model = {_quoted(wish.model)}"]
    lines += [f"steps = {wish.sampling.steps}"] if wish.sampling.steps is not None else []
    lines += [f"guidance = {float(wish.sampling.guidance)}"] if wish.sampling.guided else []
    lines += [f"organ = {_quoted(wish.organ)}"] if wish.organ else []
    extent = f"{slide.width_px} x {slide.height_px} px of 20x"
    size = slide.width_px, slide.height_px
    if wish.parent is not None and wish.parent_mpp is not None:
        from everslide.model.pyramid.top import read_top

        top = read_top(wish.parent, wish.parent_mpp)
        size = top.size[0] * 2**top.s, top.size[1] * 2**top.s
        extent = " x ".join(map(str, size)) + " px of 20x"
        lines += [f"parent = {_quoted(str(wish.parent.resolve()))}", f"mpp = {float(wish.parent_mpp)}"]
    elif wish.unbounded:
        size = UNBOUNDED_PX, UNBOUNDED_PX
        lines += [f"width_px = {UNBOUNDED_PX}", f"height_px = {UNBOUNDED_PX}", "unbounded = true"]
        extent = "without an end"
    else:
        lines += [f"width_px = {slide.width_px}", f"height_px = {slide.height_px}"]
    if wish.like or wish.regions:
        lines.append(f"reference = {_quoted(_written(wish, size, file.parent))}")
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


def _written(wish: Wish, size: tuple[int, int], folder: Path) -> str:
    """The name of the file, in `folder`, that says what the references look like. size: of the slide in 20x pixels."""
    from everslide.model.mini.style_extraction import read_look
    from everslide.model.style_reference import Reference, write_reference

    regions = tuple(_region(text, wish, size) for text in wish.regions)
    everywhere = read_look(wish.like, wish.like_mpp) if wish.like else None
    path = folder / f"{wish.name}.reference.json"
    try:
        write_reference(path, Reference(everywhere, regions))
    except OSError as error:
        raise _unusable(path, error) from error
    return path.name


def _region(text: str, wish: Wish, size: tuple[int, int]) -> Region:
    """A region from its text. Raises SlideError, also where it does not lie on the slide; ImageError."""
    from everslide.model.mini.style_extraction import read_look
    from everslide.model.style_reference import Region

    match = _REGION.fullmatch(text)
    if match is None:
        raise SlideError(
            f"--region {text!r}: expected X,Y,WIDTH,HEIGHT=PICTURE or X,Y,WIDTH,HEIGHT=organ:ORGAN, "
            "in um from the slide's corner"
        )
    x_um, y_um, width_um, height_um = (float(match[i]) for i in range(1, 5))
    across_um, down_um = (side * BASE_MPP for side in size)
    if not (width_um > 0 < height_um and x_um + width_um <= across_um and y_um + height_um <= down_um):
        raise SlideError(f"--region {text!r}: expected a part of the slide of {across_um:g} x {down_um:g} um")
    if match[5].startswith(_OF_ORGAN):
        organ = match[5].removeprefix(_OF_ORGAN)
        check_organ(organ, organ_cases(wish.model, wish.weights), f"--region {text!r}", wish.model)
        style = style_of(organ, wish.seed)
    else:
        style = read_look(Path(match[5]), wish.like_mpp)
    return Region(x_um, y_um, width_um, height_um, style)


def organ_cases(model: str, weights: Path | None = None) -> dict[str, int]:
    """The organs that a model knows, each with the number of training cases behind it. Raises WeightsError."""
    if model != "mini":
        return {}
    from everslide.model.mini.model import SHIPPED_WEIGHTS
    from everslide.model.mini.weights import load_weights

    return dict(load_weights(weights or SHIPPED_WEIGHTS).cases)

"""`everslide new`: adds a slide to a TOML file of slides. It is painted from a seed and an organ, below a real picture,
or in the style of pictures."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from everslide.model.errors import SlideError, shown
from everslide.model.geometry import BASE_MPP, TILE_PX
from everslide.model.names import PUBLISHED
from everslide.model.organs import DRAWN, known_organ, style_of
from everslide.model.sampling_config import OWN, SamplingCapabilities, SamplingConfig
from everslide.model.slide import Slide
from everslide.model.whole_file import written_whole

_NUMBER = r"(\d{1,12}(?:\.\d{0,6})?)"
if TYPE_CHECKING:
    from everslide.model.style_reference import Region

UNBOUNDED_PX = 2**31
"""Width and height, in 20x pixels, that an unbounded slide is given."""
_OF_ORGAN = "organ:"
_REGION = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}=(.+)", re.ASCII)


@dataclass(frozen=True)
class NewSlide:
    """The options of `everslide new`.

    parent: a picture to zoom into, of parent_mpp um per pixel. like: a picture whose tissue and stain it shall have.
    regions: "X,Y,WIDTH,HEIGHT=PICTURE" or "X,Y,WIDTH,HEIGHT=organ:ORGAN", in um from the corner of the slide. like_mpp:
    um per pixel of `like` and of the regions' pictures. sampling: that of published models is checked only when the
    slide is served. organ: what it is a slide of. weights: file of the model's weights, which list the organs; None:
    those shipped.
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


def add_slide(new: NewSlide, file: Path) -> str:
    """Append the slide to `file`, and write its reference, if it has one, to a JSON file beside it.

    Returns the slide's extent in words. Raises SlideError, ImageError, WeightsError.
    """
    before, encoding = _read(file)
    if re.search(rf"""^[ \t]*name[ \t]*=[ \t]*["']{re.escape(new.name)}["']""", before, re.MULTILINE):
        raise SlideError(f"{file}: has a slide {new.name} already; choose another name or file")
    if (new.parent is None) != (new.parent_mpp is None):
        raise SlideError("expected both of --parent and --mpp, or none")
    if new.parent and (new.size_px or new.unbounded):
        raise SlideError("--parent gives the size: leave out --size and --unbounded")
    if new.size_px and new.unbounded:
        raise SlideError("expected --size or --unbounded, found both: a slide without an end has no size")
    width, height = new.size_px or (Slide.width_px, Slide.height_px)
    _check_painted(new)
    if new.organ:
        cases = organ_cases(new.model, new.weights)
        new = replace(new, organ=known_organ(new.organ, cases, f"slide {new.name}", new.model, or_else=DRAWN))
    slide = Slide(new.name, new.seed, width, height, model=new.model)
    lines = ["[[slide]]", f'name = "{new.name}"', f"seed = {new.seed}", f"model = {_quoted(new.model)}"]
    lines += [f"steps = {new.sampling.steps}"] if new.sampling.steps is not None else []
    lines += [f"guidance = {float(new.sampling.guidance)}"] if new.sampling.guided else []
    lines += [f"organ = {_quoted(new.organ)}"] if new.organ else []
    extent = f"{slide.width_px} x {slide.height_px} px of 20x"
    size = slide.width_px, slide.height_px
    if new.parent is not None and new.parent_mpp is not None:
        from everslide.model.pyramid.top import read_top

        top = read_top(new.parent, new.parent_mpp)
        size = max(top.size[0] * 2**top.s, TILE_PX), max(top.size[1] * 2**top.s, TILE_PX)
        extent = " x ".join(map(str, size)) + " px of 20x"
        lines += [f"parent = {_quoted(str(new.parent.resolve()))}", f"mpp = {float(new.parent_mpp)}"]
    elif new.unbounded:
        size = UNBOUNDED_PX, UNBOUNDED_PX
        lines += [f"width_px = {UNBOUNDED_PX}", f"height_px = {UNBOUNDED_PX}", "unbounded = true"]
        extent = "without an end"
    else:
        lines += [f"width_px = {slide.width_px}", f"height_px = {slide.height_px}"]
    reference = _written(new, size, file.parent) if new.like or new.regions else None
    lines += [f"reference = {_quoted(reference.name)}"] if reference else []
    try:
        _write(file, ("\n".join(([before.rstrip(), ""] if before else []) + lines) + "\n").encode(encoding))
    except SlideError:
        if reference:
            reference.unlink(missing_ok=True)
        raise
    return extent


def _check_painted(new: NewSlide) -> None:
    """Raises WeightsError where files that the slide would be painted with are missing or damaged, SlideError where
    the model does not offer its steps or guidance. Checkpoints of published models are named only when the slide is
    served."""
    if new.parent is None:
        from everslide.model.mini.sections import check_sections

        check_sections()
    cases = organ_cases(new.model, new.weights)
    if new.model not in PUBLISHED:
        from everslide.model.mini.sampler import offered

        capabilities = offered(cases) if new.model == "mini" else SamplingCapabilities(1)
        capabilities.check(new.sampling, f"slide {new.name}: its model {new.model}")


def _write(file: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises SlideError."""
    try:
        with written_whole(file.resolve()) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise _unusable(file, error) from error


def _read(file: Path) -> tuple[str, str]:
    """The text of a file, and its encoding: of UTF-8, 16 and 32, with a byte order mark or without. Raises
    SlideError, also for a device, which has no end and is not to be replaced."""
    if file.exists() and not file.is_file():
        raise SlideError(f"{file}: expected a file of slides, found a folder or device; name another file with --out")
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


def _written(new: NewSlide, size: tuple[int, int], folder: Path) -> Path:
    """Write the slide's reference to a new file in `folder`. size: of the slide in 20x pixels."""
    from everslide.model.mini.style_extraction import read_style
    from everslide.model.style_reference import Reference, write_reference

    regions = tuple(_region(text, new, size) for text in new.regions)
    everywhere = read_style(new.like, new.like_mpp) if new.like else None
    path = folder / f"{new.name}.reference.json"
    if path.exists():
        raise SlideError(f"{path}: exists already, and may be that of another slide; choose another name or folder")
    try:
        write_reference(path, Reference(everywhere, regions))
    except OSError as error:
        raise _unusable(path, error) from error
    return path


def _region(text: str, new: NewSlide, size: tuple[int, int]) -> Region:
    """A region from its text. Raises SlideError, also where it does not lie on the slide; ImageError."""
    from everslide.model.mini.style_extraction import read_style
    from everslide.model.style_reference import LEAST_UM, Region, lies_on

    match = _REGION.fullmatch(text)
    if match is None:
        raise SlideError(
            f"--region {shown(text)}: expected X,Y,WIDTH,HEIGHT=PICTURE or X,Y,WIDTH,HEIGHT=organ:ORGAN, "
            "in um from the slide's corner"
        )
    um = float(match[1]), float(match[2]), float(match[3]), float(match[4])
    across_um, down_um = (side * BASE_MPP for side in size)
    if not lies_on(um, (across_um, down_um)):
        raise SlideError(
            f"--region {shown(text)}: expected a part of the slide of {across_um:g} x {down_um:g} um, "
            f"{LEAST_UM:g} um or more a side"
        )
    if match[5].startswith(_OF_ORGAN):
        cases = organ_cases(new.model, new.weights)
        organ = known_organ(match[5].removeprefix(_OF_ORGAN), cases, f"--region {shown(text)}", new.model)
        style = style_of(organ, new.seed)
    else:
        style = read_style(Path(match[5]), new.like_mpp)
    return Region(*um, style)


def organ_cases(model: str, weights: Path | None = None) -> dict[str, int]:
    """Organ -> number of training cases, for each organ that a model knows. Raises WeightsError."""
    if model != "mini":
        return {}
    from everslide.model.mini.model import SHIPPED_WEIGHTS
    from everslide.model.mini.weights import load_weights

    return dict(load_weights(weights or SHIPPED_WEIGHTS).cases)

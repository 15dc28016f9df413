"""The organ of a slide, chosen by the user or drawn from the seed, and what real sections of it look like."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everslide.model.errors import SlideError, WeightsError, shown
from everslide.model.slide import Slide
from everslide.model.style_reference import COLOURS, REFERENCE_CHANNELS, Reference, Region, Style

Doubles = NDArray[np.float64]
SECTIONS = Path(__file__).parent / "weights" / "sections.json"
"""Colours and pieces of real sections, made by `everslide sections`."""


@lru_cache(maxsize=1)
def _read_sections(path: Path) -> tuple[list[dict[str, Any]], str]:
    """The measured sections and the SHA-256 of their file. Raises WeightsError."""
    remedy = "reinstall the package, or make it again with `everslide sections`"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: measured sections cannot be read ({error.strerror or error}); {remedy}") from error
    try:
        sections = json.loads(data)["sections"]
        for one in sections:
            _check_section(**one)
        if not sections:
            raise ValueError("none")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        found = f"{type(error).__name__}: {str(error)[:120]}"
        raise WeightsError(f"{path}: expected measured sections as JSON, found {found}; {remedy}") from error
    return sections, hashlib.sha256(data).hexdigest()


def _check_section(organ: object, colours: object, pieces: object) -> None:
    """Raises ValueError where the numbers of a section could not be drawn from."""
    levels, shapes = np.array(colours, np.float64), np.array(pieces, np.float64)
    if not isinstance(organ, str) or levels.shape != (COLOURS, 3) or shapes.ndim != 2 or shapes.shape[1] != 4:
        raise ValueError(f"a section of {organ!r} with colours {levels.shape} and pieces {shapes.shape}")
    area, elongation, solidity, hollow = shapes.T
    sound = (levels >= 0).all() and (levels <= 255).all() and len(shapes) and np.isfinite(shapes).all()
    if not (sound and (area > 0).all() and (elongation >= 1).all() and (solidity > 0).all() and (solidity <= 1).all()):
        raise ValueError(f"a section of {organ!r} with impossible numbers")
    if not ((hollow >= 0).all() and (hollow < 1).all()):
        raise ValueError(f"a section of {organ!r} with impossible hollows")


def _sections() -> list[dict[str, Any]]:
    return _read_sections(SECTIONS)[0]


def sections_digest() -> str:
    """SHA-256 of SECTIONS, hex: part of the fingerprint of every sketch, which is drawn from these numbers. Raises
    WeightsError where the file is missing or damaged, as all that reads it here."""
    return _read_sections(SECTIONS)[1]


def groups_of(organ: str) -> list[list[list[float]]]:
    """The pieces of each measured section of an organ; of every section where the organ has none.

    Returns sections -> pieces, the largest first -> the four numbers of a `PieceShape`.
    """
    return [one["pieces"] for one in _sections() if one["organ"] == organ] or [one["pieces"] for one in _sections()]


@dataclass(frozen=True)
class SlideOrgan:
    """The organ of a slide or of a region. cases: training cases of this organ that its model has seen. sections: whole
    sections that were measured of it; of an organ without one, outlines and colours are borrowed. drawn: it was drawn
    from the seed, not chosen by the user."""

    name: str
    cases: int
    sections: int
    drawn: bool

    @property
    def words(self) -> str:
        """For file marks and messages: "colon: a likeness of 3 cases". Always one line of printable text."""
        name = "".join(letter if letter.isprintable() else "?" for letter in self.name)
        return f"{name}: {likeness(self.cases, self.sections)}"


def likeness(cases: int, sections: int) -> str:
    """ "a likeness of 3 cases": so that nobody takes an organ learned from three cases for the organ in general; and
    "of no whole section" where none was measured, since its outlines and colours are those of other organs."""
    return f"a likeness of {cases} case{'s' * (cases != 1)}{'' if sections else ', of no whole section'}"


def measured_sections(organ: str) -> int:
    """Number of whole sections that were measured of an organ: what its outlines and colours are drawn after."""
    return len(palettes().get(organ, ()))


@lru_cache(maxsize=1)
def palettes() -> dict[str, Doubles]:
    """Organ -> colours (n, 5, 3) of its n measured sections, RGB in 0 .. 255, at 128 um/px.

    The five are means of equal shares of a section's pixels, darkest to palest.
    """
    found: dict[str, list[list[list[float]]]] = {}
    for one in _sections():
        found.setdefault(one["organ"], []).append(one["colours"])
    return {organ: np.array(colours, np.float64) for organ, colours in sorted(found.items())}


def organ_of(slide: Slide, known: Collection[str]) -> str:
    """The organ of a slide: the chosen one, else one drawn from the seed among those `known` that have measured
    sections; "" where there are none.

    One that was drawn earlier is drawn again where it is not `known`. Raises SlideError where a chosen one is not.
    """
    if slide.organ and not (slide.organ_drawn and slide.organ not in known):
        return known_organ(slide.organ, known, f"slide {slide.name}", slide.model, or_else=DRAWN)
    offered = [organ for organ in palettes() if organ in known]
    return offered[_drawn(slide.seed, 0, len(offered))] if offered else ""


DRAWN = "leave it out to have one drawn from the seed"


def known_organ(organ: str, known: Collection[str], who: str, model: str, or_else: str = "") -> str:
    """The organ among those `known` that a user means: in its name "_" may stand for a space, on command lines too that
    are divided at spaces.

    Raises SlideError where there is none. The message begins with `who`, and lists the known organs. or_else: what else
    can be done about it.
    """
    found = organ if organ in known else organ.replace("_", " ")
    if found in known:
        return found
    if not known:
        raise SlideError(
            f"{who}: organ {shown(organ)}: model {model} was trained on none, since its weights know no organs; "
            "leave it out"
        )
    raise SlideError(
        f"{who}: organ {shown(organ)}: model {model} was trained on {', '.join(sorted(known))}; "
        f"choose one of these{or_else and ', or '}{or_else}"
    )


def _drawn(seed: int, stream: int, count: int) -> int:
    """A number below `count` that follows from a seed; of raw bits, which numpy keeps stable."""
    return int(np.random.Philox([seed, stream]).random_raw() % count)


def style_of(organ: str, seed: int) -> Style:
    """The style of an organ: the colours of one of its measured sections, drawn from the seed, and a zero embedding.

    An organ without measured sections gets the colours of a section of any organ.
    """
    some = palettes().get(organ)
    rows = np.concatenate(list(palettes().values())) if some is None else some
    chosen = rows[_drawn(seed, 1, len(rows))]
    return Style(np.zeros(REFERENCE_CHANNELS, np.float32), chosen.astype(np.float32), organ)


def conditioned(slide: Slide, reference: Reference | None, known: Collection[str], real: bool) -> Reference | None:
    """The reference of a slide with the slide's organ added: what its windows are conditioned on, or None.

    known: organs of its model. real: the slide is painted below a real picture. Then, and where `reference` has a style
    of its own everywhere, an organ is added only if the user chose one: none is drawn from the seed.
    Raises SlideError where the slide's organ, or that of a region, is not `known`.
    """
    regions = tuple(_known_region(region, slide, known) for region in reference.regions) if reference else ()
    everywhere = reference.everywhere if reference else None
    organ = organ_of(slide, known) if slide.organ or not (real or everywhere) else ""
    if not organ:
        return Reference(everywhere, regions) if reference else None
    style = replace(everywhere, organ=organ) if everywhere else style_of(organ, slide.seed)
    return Reference(style, regions)


def _known_region(region: Region, slide: Slide, known: Collection[str]) -> Region:
    """A region with the name that its organ has among those `known`. Raises SlideError."""
    if not region.style.organ:
        return region
    where = f"{region.x_um:g},{region.y_um:g},{region.width_um:g},{region.height_um:g}"
    organ = known_organ(region.style.organ, known, f"slide {slide.name}: region {where}", slide.model)
    return replace(region, style=replace(region.style, organ=organ))


def slide_organ(slide: Slide, like: Reference | None, cases: Mapping[str, int]) -> SlideOrgan | None:
    """The organ that a slide is conditioned on outside its regions, or None.

    like: see `conditioned`. cases: organ -> number of training cases, for each organ of its model.
    """
    name = like.everywhere.organ if like and like.everywhere else ""
    drawn = slide.organ_drawn or not slide.organ
    return SlideOrgan(name, cases.get(name, 0), measured_sections(name), drawn) if name else None


def region_organs(like: Reference | None, cases: Mapping[str, int]) -> tuple[SlideOrgan, ...]:
    """The organs of a slide's regions, each once, in the order of the regions; see `slide_organ`."""
    names = dict.fromkeys(region.style.organ for region in like.regions if region.style.organ) if like else ()
    return tuple(SlideOrgan(name, cases.get(name, 0), measured_sections(name), drawn=False) for name in names)


def organ_words(organ: SlideOrgan | None, regions: Sequence[SlideOrgan] = ()) -> str:
    """For file marks and messages: ", organ colon: a likeness of 3 cases, regions of fat: a likeness of 2 cases".
    organ: of the slide. regions: of its regions."""
    own = f", organ {organ.words}" if organ else ""
    return f"{own}, regions of {'; '.join(one.words for one in regions)}" if regions else own
